"""The load: people who browse, log in and upload, at a steady rate that does not wait for the answers.

What is late does not slow what comes next (an open loop), so a slow platform is seen as slow and not as
idle; beyond ``MOST_IN_FLIGHT`` a request is dropped and counted.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

import aiohttp
import psycopg
from aiohttp import web

from watchkeeper.demo.database import Pool
from watchkeeper.demo.exposition import Counter, Family, Gauge
from watchkeeper.demo.idp import password_of
from watchkeeper.demo.service import ProcessMetrics, metrics_handler, run, serve
from watchkeeper.demo.settings import Settings
from watchkeeper.store.clock import Clock, SystemClock

MOST_IN_FLIGHT = 400
PLAYERS = 50
UPLOAD_BYTES = 16 << 10
RENDER_SECONDS = 0.35
"""From the catalogue's answer to the largest paint, in a browser that is not there."""
WRONG_PASSWORDS = 0.03

Action = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Stream:
    """One kind of traffic: what is done, and which share of all requests it is."""

    name: str
    share: float
    action: Action


class Load:
    """The people, and what they count."""

    def __init__(
        self, settings: Settings, session: aiohttp.ClientSession, clock: Clock, random: Random
    ) -> None:
        self._settings = settings
        self._session = session
        self._clock = clock
        self._random = random
        self._base = f"http://127.0.0.1:{settings.backend_port}"
        self._pool = Pool(settings.dsn(), size=1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._process = ProcessMetrics()
        self.sent = Counter("load_requests_total", "Requests by traffic and outcome.", ("traffic", "outcome"))
        self.in_flight = Gauge("load_requests_in_flight", "Requests that wait for their answer.")

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The traffic. Logins stay below 3 % of it, so that a silent provider is not also an API alert."""
        return (
            Stream("catalogue", 0.42, self._catalogue),
            Stream("game", 0.27, self._game),
            Stream("health", 0.14, self._health),
            Stream("beacon", 0.08, self._page),
            Stream("upload", 0.03, self._upload),
            Stream("login", 0.025, self._login),
            Stream("missing", 0.01, self._missing),
            Stream("job", 0.025, self._job),
        )

    def families(self) -> list[Family]:
        """What ``/metrics`` shows."""
        self.in_flight.set(len(self._tasks))
        return [self.sent, self.in_flight, *self._process.families()]

    async def run(self) -> None:
        """Send for ever."""
        await self._pool.fill()
        await asyncio.gather(*(self._keep(stream) for stream in self.streams))

    async def _keep(self, stream: Stream) -> None:
        gap = 1.0 / (self._settings.requests_per_second * stream.share)
        due = self._clock.monotonic() + self._random.uniform(0, gap)
        while True:
            await self._clock.wait(max(0.0, due - self._clock.monotonic()))
            due = max(due + gap * self._random.uniform(0.6, 1.4), self._clock.monotonic() - 1.0)
            if len(self._tasks) >= MOST_IN_FLIGHT:
                self.sent.add(traffic=stream.name, outcome="dropped")
                continue
            task = asyncio.create_task(self._guarded(stream))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _guarded(self, stream: Stream) -> None:
        try:
            await stream.action()
        except (aiohttp.ClientError, TimeoutError, psycopg.Error):
            self.sent.add(traffic=stream.name, outcome="failure")
        else:
            self.sent.add(traffic=stream.name, outcome="answered")

    async def _get(self, path: str) -> None:
        async with self._session.get(self._base + path) as response:
            await response.read()

    async def _health(self) -> None:
        await self._get("/health")

    async def _catalogue(self) -> None:
        await self._get(f"/api/games?after={self._random.randrange(360)}")

    async def _game(self) -> None:
        await self._get(f"/api/games/{self._random.randrange(1, 400)}")

    async def _missing(self) -> None:
        await self._get("/api/games/999999")

    async def _page(self) -> None:
        """A page view as a browser lives it: the catalogue, the paint, and the beacon about both."""
        started = self._clock.monotonic()
        await self._catalogue()
        paint = self._clock.monotonic() - started + RENDER_SECONDS * self._random.uniform(0.7, 2.0)
        shift = self._random.betavariate(1.2, 20)
        await self._post("/rum", {"lcp_seconds": round(paint, 4), "cls": round(shift, 4)})

    async def _login(self) -> None:
        name = f"player-{self._random.randrange(1, PLAYERS + 1)}"
        right = self._random.random() > WRONG_PASSWORDS
        password = password_of(self._settings.password_seed, name) if right else "a wrong password"
        await self._post("/login", {"user": name, "password": password})

    async def _upload(self) -> None:
        body = os.urandom(UPLOAD_BYTES)
        async with self._session.post(f"{self._base}/api/upload", data=body) as response:
            await response.read()

    async def _post(self, path: str, content: dict[str, str] | dict[str, float]) -> None:
        async with self._session.post(self._base + path, json=content) as response:
            await response.read()

    _job_types = itertools.cycle(("thumbnail",) * 9 + ("sweep",))

    async def _job(self) -> None:
        """What the platform's own scheduler queues."""
        async with self._pool.connection() as connection:
            await connection.execute(
                "INSERT INTO jobs (job_type, payload, source) "
                "VALUES (%s, '{\"width\": 320, \"height\": 200}', 'cron')",
                (next(self._job_types),),
            )


async def main() -> None:
    settings = Settings.of_process()
    timeout = aiohttp.ClientTimeout(total=20)
    connector = aiohttp.TCPConnector(limit=MOST_IN_FLIGHT)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        load = Load(settings, session, SystemClock(), Random(settings.password_seed))  # noqa: S311 - traffic
        app = web.Application()
        app.add_routes([web.get("/metrics", metrics_handler(load.families))])
        sending = asyncio.create_task(load.run())
        server = asyncio.create_task(serve(app, settings.load_port))
        done, _ = await asyncio.wait([server, sending], return_when=asyncio.FIRST_COMPLETED)
        sending.cancel()
        server.cancel()
        for task in done:
            task.result()


if __name__ == "__main__":
    run(main)
