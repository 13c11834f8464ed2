"""The faults: each does to the running platform what a real cause would do, and can be taken back.

No fault touches a metric. A fault is active from the moment it was injected completely until it was taken
back completely; one that fails half-way is taken back before its error is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Protocol

import aiohttp
import psycopg

from watchkeeper.demo import seaweed
from watchkeeper.demo.errors import DemoError
from watchkeeper.demo.releases import BAD
from watchkeeper.demo.s3 import S3Client
from watchkeeper.demo.settings import BUCKET, MIB, Settings
from watchkeeper.store.clock import Clock

logger = logging.getLogger(__name__)


class Levers(Protocol):
    """What a fault may use of the platform."""

    @property
    def settings(self) -> Settings:
        """Its ports and credentials."""

    @property
    def session(self) -> aiohttp.ClientSession:
        """For HTTP."""

    @property
    def clock(self) -> Clock:
        """Its time."""

    async def halt(self, name: str) -> None:
        """Stop a process and keep it stopped."""

    async def resume(self, name: str) -> None:
        """Start it again, and wait until it answers."""


class Fault:
    """One way to break the platform. ``cause`` says what is done, ``effect`` what should be seen."""

    name: ClassVar[str]
    cause: ClassVar[str]
    effect: ClassVar[str]

    def __init__(self, levers: Levers) -> None:
        self._levers = levers

    async def _connect(self) -> psycopg.AsyncConnection[tuple[object, ...]]:
        """A connection that is there for us even when the platform has taken all others."""
        dsn = self._levers.settings.dsn(superuser=True)
        return await psycopg.AsyncConnection.connect(dsn, autocommit=True)

    async def inject(self) -> None:
        """Break it."""
        raise NotImplementedError

    async def withdraw(self) -> None:
        """Take it back, also when it was injected only in part."""
        raise NotImplementedError


class BadDeploy(Fault):
    """Half of the requests run queries that PostgreSQL refuses."""

    name = "api"
    cause = f"release {BAD.version} answers every second request; it reads a column whose migration never ran"
    effect = "about a third of all requests end with status 500: warn at 3 % over 5 m, page at 5 % over 2 m"

    async def inject(self) -> None:
        await self._deploy(BAD.version)

    async def withdraw(self) -> None:
        await self._deploy(None)

    async def _deploy(self, version: str | None) -> None:
        settings = self._levers.settings
        async with self._levers.session.post(
            f"http://127.0.0.1:{settings.backend_port}/-/release",
            json={"canary": version},
            headers={"Authorization": f"Bearer {settings.control_token}"},
        ) as response:
            response.raise_for_status()


class Background(Fault):
    """A fault that lasts by doing something over and over."""

    def __init__(self, levers: Levers) -> None:
        super().__init__(levers)
        self._task: asyncio.Task[None] | None = None
        self._begun = asyncio.Event()

    async def inject(self) -> None:
        self._begun.clear()
        self._task = asyncio.create_task(self._last())
        begun = asyncio.create_task(self._begun.wait())
        try:
            async with asyncio.timeout(15):
                await asyncio.wait({self._task, begun}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            begun.cancel()
        if self._task.done():
            self._task.result()

    async def withdraw(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError, psycopg.Error):
                await self._task
            self._task = None

    async def _last(self) -> None:
        while True:
            try:
                await self._round()
            except psycopg.Error:
                if not self._begun.is_set():
                    raise
                logger.warning("fault %s: a round failed, the next follows", self.name, exc_info=True)
            self._begun.set()
            await self._levers.clock.wait(0.2)

    async def _round(self) -> None:
        raise NotImplementedError


class PoisonedQueue(Background):
    """Jobs that cannot succeed, faster than the worker takes them."""

    name = "jobs"
    cause = "a scanner floods the queue with thumbnail jobs whose width is the word 'wide'"
    effect = "the queue stays above 100 (warn after 10 m); most thumbnail jobs fail (page at 5 % in 5 m)"
    depth = 300
    _top_up = """
    INSERT INTO jobs (job_type, payload, source)
    SELECT 'thumbnail', '{"width": "wide", "height": 200}', 'scanner' FROM generate_series(1, %s - (
        SELECT count(*) FROM jobs WHERE state = 'queued' AND source = 'scanner'))
    """

    async def _round(self) -> None:
        async with await self._connect() as connection:
            while True:
                await connection.execute(self._top_up, (self.depth,))
                self._begun.set()
                await self._levers.clock.wait(1.0)

    async def withdraw(self) -> None:
        await super().withdraw()
        async with await self._connect() as connection:
            await connection.execute("DELETE FROM jobs WHERE source = 'scanner' AND state = 'queued'")


class LockedTable(Background):
    """A migration holds the catalogue's table for seconds, over and over."""

    name = "latency"
    cause = "a migration takes an exclusive lock on the table of games for 2 s, lets go, and takes it again"
    effect = "catalogue requests wait up to 2 s: warn after 10 m with p95 above 1.5 s"
    held_seconds = 2.0

    async def _round(self) -> None:
        async with await self._connect() as connection:
            while True:
                async with connection.transaction():
                    await connection.execute("LOCK TABLE games IN ACCESS EXCLUSIVE MODE")
                    self._begun.set()
                    await self._levers.clock.wait(self.held_seconds)
                await self._levers.clock.wait(0.1)


class LeakedConnections(Fault):
    """Sessions that were opened, began a transaction, and were forgotten."""

    name = "database"
    cause = "a report tool leaves sessions idle in transaction until 86 % of max_connections are taken"
    effect = "connections above 80 %: warn"
    share = 0.86
    """Beyond 80 %, yet the last places stay free: this fault is meant to warn, not to take the API down."""

    def __init__(self, levers: Levers) -> None:
        super().__init__(levers)
        self._sessions: list[psycopg.AsyncConnection[tuple[object, ...]]] = []

    async def inject(self) -> None:
        settings = self._levers.settings
        goal = round(settings.max_connections * self.share)
        first = await self._open()
        cursor = await first.execute("SELECT sum(numbackends) FROM pg_stat_database")
        row = await cursor.fetchone()
        assert row is not None
        await first.rollback()
        for _ in range(goal - int(str(row[0]))):
            try:
                await self._open()
            except psycopg.OperationalError:  # all are taken, which is the point
                break
        await first.execute("SELECT 1")

    async def _open(self) -> psycopg.AsyncConnection[tuple[object, ...]]:
        session = await psycopg.AsyncConnection.connect(
            self._levers.settings.dsn(), application_name="monthly-report"
        )
        self._sessions.append(session)
        await session.execute("SELECT 1")
        return session

    async def withdraw(self) -> None:
        while self._sessions:
            await self._sessions.pop().close()


class FullBucket(Fault):
    """Uploads until the cluster is nearly full."""

    name = "storage"
    cause = "an import uploads until the primary S3 cluster is 90 % full"
    effect = "capacity above 70 % (warn), then above 85 % (page)"
    share = 0.9
    object_bytes = 2 * MIB
    prefix = "import/"

    async def inject(self) -> None:
        levers = self._levers
        cluster = levers.settings.primary
        client = S3Client(levers.session, cluster, levers.clock)
        body = bytes(range(256)) * (self.object_bytes // 256)
        number = 0
        while True:
            used = (await seaweed.usage(levers.session, cluster)).used_bytes
            missing = int(cluster.capacity_bytes * self.share) - used
            if missing <= 0:
                return
            for _ in range(min(8, missing // self.object_bytes + 1)):
                await client.put(BUCKET, f"{self.prefix}{number:05d}", body)
                number += 1

    async def withdraw(self) -> None:
        levers = self._levers
        cluster = levers.settings.primary
        client = S3Client(levers.session, cluster, levers.clock)
        before = (await seaweed.usage(levers.session, cluster)).used_bytes
        imported = [entry async for entry in client.keys(BUCKET, self.prefix)]
        for key, _ in imported:
            await client.delete(BUCKET, key)
        goal = before - 0.9 * sum(size for _, size in imported)
        for _ in range(40):  # the bytes follow the names a little later
            if (await seaweed.usage(levers.session, cluster)).used_bytes <= goal:
                break
            await levers.clock.wait(0.25)
        await seaweed.reclaim(levers.session, cluster)


class SilentProvider(Fault):
    """The identity provider's process is stopped."""

    name = "auth"
    cause = "the identity provider's process is stopped"
    effect = "every login fails: auth success below 97 % pages"

    async def inject(self) -> None:
        await self._levers.halt("idp")

    async def withdraw(self) -> None:
        await self._levers.resume("idp")


FAULTS: tuple[type[Fault], ...] = (
    BadDeploy,
    PoisonedQueue,
    LeakedConnections,
    FullBucket,
    LockedTable,
    SilentProvider,
)
NAMES = tuple(fault.name for fault in FAULTS)


def named(name: str) -> type[Fault]:
    """The fault of that name. Raises :class:`DemoError` with the nearest name."""
    for fault in FAULTS:
        if fault.name == name:
            return fault
    near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise DemoError(f"There is no fault {name!r}.{hint} The faults are: {', '.join(NAMES)}.")


@dataclass(frozen=True)
class Outcome:
    """What became of a request to break or mend. ``changed`` is false when it was so already."""

    name: str
    changed: bool
    cause: str
    effect: str


class Board:
    """Which faults are active, since when. One change at a time."""

    def __init__(self, levers: Levers, faults: Sequence[type[Fault]] = FAULTS) -> None:
        self._clock = levers.clock
        self._faults = {fault.name: fault(levers) for fault in faults}
        self._since: dict[str, datetime] = {}
        self._lock = asyncio.Lock()

    @property
    def active(self) -> dict[str, datetime]:
        """The active faults and when each began, the oldest first."""
        return dict(self._since)

    @property
    def names(self) -> tuple[str, ...]:
        """Every fault there is."""
        return tuple(self._faults)

    def cause(self, name: str) -> str:
        """What the fault of that name does."""
        return self._faults[name].cause

    async def forget(self, name: str) -> None:
        """Let go of what a fault holds, at the end of the demo; the platform goes with it."""
        if isinstance(self._faults[name], (Background, LeakedConnections)):
            with contextlib.suppress(DemoError):
                await _told(self._faults[name], injecting=False)

    async def break_(self, name: str) -> Outcome:
        """Inject a fault; nothing happens when it is active already."""
        named(name)
        async with self._lock:
            fault = self._faults[name]
            if name in self._since:
                return _outcome(fault, changed=False)
            try:
                await _told(fault, injecting=True)
            except BaseException:
                with contextlib.suppress(DemoError):
                    await _told(fault, injecting=False)
                raise
            self._since[name] = self._clock.now()
            return _outcome(fault, changed=True)

    async def mend(self, name: str | None = None) -> list[Outcome]:
        """Take a fault back, or all of them. What cannot be taken back stays active, and is told."""
        if name is not None:
            named(name)
        async with self._lock:
            names = [name] if name is not None else list(self._since)
            outcomes: list[Outcome] = []
            errors: list[str] = []
            for each in names:
                fault = self._faults[each]
                changed = each in self._since
                if changed:
                    try:
                        await _told(fault, injecting=False)
                    except DemoError as error:
                        errors.append(str(error))
                        continue
                    del self._since[each]
                outcomes.append(_outcome(fault, changed=changed))
            if errors:
                raise DemoError("\n".join(errors))
            return outcomes


async def _told(fault: Fault, *, injecting: bool) -> None:
    try:
        await (fault.inject() if injecting else fault.withdraw())
    except (aiohttp.ClientError, TimeoutError, psycopg.Error, OSError) as error:
        raise DemoError(
            f"The fault {fault.name} could not be {'injected' if injecting else 'taken back'}: "
            f"{type(error).__name__}: {error}. "
            "`watchkeeper demo status` shows which process is not running."
        ) from error


def _outcome(fault: Fault, *, changed: bool) -> Outcome:
    return Outcome(fault.name, changed, fault.cause, fault.effect)
