"""The console under use: fifty people reading, a hundred event streams, a hundred thousand journal entries.

``watchkeeper serve`` with all its roles on the shipped runbook scrapes a target whose twenty services fail,
so that twenty pages fire. Its journal has 100,000 entries from before. A hundred clients keep ``/events``
open; an entry is appended every second, so that each of them is told something. Fifty people each ask for the
home page, the page of a firing alert, the page of the incident that it opened and the API's list of alerts in
turn, pausing ``--pause`` seconds (on average; between half and one and a half) after each answer, as somebody
does who reads. Everything runs on one machine: this bench's own clients take their share of it.

``violations`` counts answers that were not 200, routes whose 99th percentile is 200 ms or more, a first load
(the home page with its style, script and icon) of 200 kB or more, and streams that were not told.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import aiohttp

from bench.report import report
from bench.rules import Watchkeeper, memory_of
from tests.api_tokens import token_for
from tests.fakes.exporter import Ask, Exporter, Reply
from watchkeeper.runbook.loading import default_text
from watchkeeper.store import journal
from watchkeeper.store.clock import SystemClock
from watchkeeper.store.database import open_store

BOUND_SECONDS = 0.2
BOUND_BYTES = 200_000
SERVICES = 20


def main(argv: Sequence[str]) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="python -m bench console")
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--pause", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name, Exporter({"/metrics": _Failing().answer}) as exporter:
        directory = Path(name)
        _fill(directory / "watchkeeper", options.entries)
        runbook = directory / "runbook.yaml"
        runbook.write_text(default_text())
        scrapes: list[dict[str, object]] = [
            {"job_name": "shop", "static_configs": [{"targets": [exporter.address]}]}
        ]
        with Watchkeeper(directory, runbook, scrapes, "5s") as ours:
            token = token_for(directory / "watchkeeper")
            result = asyncio.run(_measure(ours, token, options))
    rows = [
        (
            path,
            f"{len(times):,}",
            f"{_at(times, 50):.0f} ms",
            f"{_at(times, 99):.0f} ms",
            f"{max(times) * 1e3:.0f} ms",
        )
        for path, times in result.seconds.items()
    ]
    slow = sum(_at(times, 99) >= BOUND_SECONDS * 1e3 for times in result.seconds.values())
    heavy = int(result.first_load >= BOUND_BYTES)
    report(
        f"{options.people} people and {options.streams} streams over {options.entries:,} journal entries",
        ("", "answers", "p50", "p99", "worst"),
        rows,
        {
            "violations": result.failed + slow + heavy + result.untold,
            "failed": result.failed,
            "streams_not_told": result.untold,
            **{f"{name}_p50_ms": round(_at(times, 50), 1) for name, times in result.seconds.items()},
            **{f"{name}_p99_ms": round(_at(times, 99), 1) for name, times in result.seconds.items()},
            "answers_per_second": round(sum(map(len, result.seconds.values())) / options.seconds, 1),
            "first_load_bytes": result.first_load,
            "events_told": result.told,
            "web_cpu_share": round(result.web_cpu, 2),
            "web_memory_mb": round(result.web_memory / 1e6),
        },
    )
    return 0


_HAPPENING = """
import sys, time
from pathlib import Path
from watchkeeper.store import journal
from watchkeeper.store.clock import SystemClock
from watchkeeper.store.database import open_existing

store, clock = open_existing(Path(sys.argv[1]), write=True), SystemClock()
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    with store.write() as conn:
        journal.append(conn, clock.now(), "bench.tick", "component:bench", "bench", {"summary": "tick"})
    time.sleep(1)
"""


class _Result:
    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {"home": [], "alert": [], "incident": [], "api": []}
        self.failed = 0
        self.first_load = 0
        self.told = 0
        self.untold = 0
        self.web_cpu = 0.0
        self.web_memory = 0


class _Failing:
    """Twenty services of which every tenth request fails."""

    def __init__(self) -> None:
        self._visits = 0

    def answer(self, _: Ask) -> Reply:
        """One scrape."""
        self._visits += 1
        lines = []
        for number in range(SERVICES):
            labels = f'service="s{number}",env="prod",region="eu"'
            lines.append(f'http_requests_total{{{labels},status="200"}} {self._visits * 900}')
            lines.append(f'http_requests_total{{{labels},status="500"}} {self._visits * 100}')
        return Reply(("\n".join(lines) + "\n").encode())


def _fill(data: Path, count: int) -> None:
    """A journal of ``count`` entries, as a few busy months leave it."""
    data.mkdir(mode=0o700)
    clock = SystemClock()
    begin = clock.now() - timedelta(days=90)
    with open_store(data, clock) as store:
        for start in range(0, count, 5000):
            with store.write() as conn:
                for number in range(start, min(start + 5000, count)):
                    at = begin + timedelta(days=90) * (number / count)
                    alert = f"{number % 997:016x}"
                    facts = {
                        "summary": f"HTTP error rate of s{number % 50} is 7 %",
                        "severity": "page" if number % 7 == 0 else "warn",
                        "labels": {"service": f"s{number % 50}", "env": "prod", "region": "eu"},
                        "episode": f"e{number}",
                    }
                    kind = ("alert.firing", "alert.resolved", "notification.queued")[number % 3]
                    cited = [("monitoring.api.error-rate.page", "met" if number % 3 else "missed")]
                    journal.append(conn, at, kind, "component:monitoring", f"alert:{alert}", facts, cited)


async def _measure(ours: Watchkeeper, token: str, options: argparse.Namespace) -> _Result:
    result = _Result()
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/html"}
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(ours.url, connector=connector, headers=headers, timeout=timeout) as web:
        alert = await _firing(web)
        result.first_load = await _first_load(web)
        told = [0] * options.streams
        listening = [
            asyncio.create_task(_listen(ours.url, headers, told, number)) for number in range(options.streams)
        ]
        await asyncio.sleep(2)
        incident = f"/incidents/{await _opened(web)}"
        paths = {"home": "/", "alert": f"/alerts/{alert}", "incident": incident, "api": "/api/alerts"}
        end = time.monotonic() + options.seconds
        chance = random.Random(4)
        people = [
            asyncio.create_task(
                _person(web, paths, result, end, options.pause, random.Random(chance.random()))
            )
            for _ in range(options.people)
        ]
        happening = asyncio.create_task(_happen(ours.data, end))
        with _cpu_share(ours, result):
            await asyncio.gather(*people)
        await happening
        await asyncio.sleep(2)
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
        result.told, result.untold = sum(told), sum(count < options.seconds / 2 for count in told)
    return result


async def _firing(web: aiohttp.ClientSession) -> str:
    """The fingerprint of a page that fires, once all of them do."""
    end = time.monotonic() + 240
    while time.monotonic() < end:
        async with web.get("/api/overview") as answer:
            if answer.status == 200:
                alerts = [one for one in (await answer.json())["alerts"] if one["state"] == "firing"]
                pages = [one["fingerprint"] for one in alerts if one["severity"] == "page"]
                if len(pages) >= SERVICES:
                    return str(pages[0])
        await asyncio.sleep(1)
    raise SystemExit("the pages did not fire within four minutes")


async def _opened(web: aiohttp.ClientSession) -> int:
    """The number of an incident that a page opened."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        async with web.get("/api/incidents?state=live") as answer:
            if answer.status == 200 and (found := (await answer.json())["incidents"]):
                return int(found[-1]["id"])
        await asyncio.sleep(1)
    raise SystemExit("no page opened an incident within a minute")


async def _first_load(web: aiohttp.ClientSession) -> int:
    """Bytes of the home page and of everything that it loads."""
    async with web.get("/") as answer:
        page = await answer.read()
    total = len(page)
    for address in sorted(set(re.findall(rb'(?:src|href)="(/static/[^"]+)"', page))):
        async with web.get(address.decode()) as answer:
            total += len(await answer.read())
    return total


async def _person(
    web: aiohttp.ClientSession,
    paths: dict[str, str],
    result: _Result,
    end: float,
    pause: float,
    chance: random.Random,
) -> None:
    await asyncio.sleep(chance.uniform(0, pause))
    while time.monotonic() < end:
        for name, path in paths.items():
            began = time.perf_counter()
            async with web.get(path) as answer:
                await answer.read()
                result.failed += answer.status != 200
            result.seconds[name].append(time.perf_counter() - began)
            await asyncio.sleep(pause * chance.uniform(0.5, 1.5))


async def _listen(url: str, headers: dict[str, str], told: list[int], number: int) -> None:
    async with (
        aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=None)) as web,
        web.get(f"{url}/events") as answer,
    ):
        async for line in answer.content:
            told[number] += line.startswith(b"event: journal")


async def _happen(data: Path, end: float) -> None:
    """An entry a second, written by a process of its own as another role would."""
    seconds = max(1.0, end - time.monotonic())
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _HAPPENING, str(data), str(seconds))
    await process.wait()


@contextmanager
def _cpu_share(ours: Watchkeeper, result: _Result) -> Iterator[None]:
    """How much of one core the role ``web`` took meanwhile."""
    pid = ours.roles()["web"]
    began, before = time.monotonic(), _cpu(pid)
    yield
    result.web_cpu = (_cpu(pid) - before) / (time.monotonic() - began)
    result.web_memory = memory_of(pid)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _at(times: Sequence[float], percent: int) -> float:
    """That percentile, in milliseconds."""
    return statistics.quantiles(times, n=100, method="inclusive")[percent - 1] * 1e3
