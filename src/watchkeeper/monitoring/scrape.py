"""The scraper: visits every target at its own moment of the interval, and hands what it says to the store.

Always true: one target's answer, however slow, large or wrong, changes nothing for the others; visits are
scheduled on the monotonic clock, so a step of the wall clock moves timestamps but neither adds nor loses a
visit; a visit ends before the target's next one is due. A target's moment lies just before an evaluation of
the rules (``phases.py``); one that is slow, or whose moment a step of the clock has moved, is brought there
by at most half an interval at a time.

    discovery.py -> Scraper.refresh -> (due) -> fetch.py -> ingest.Intake.prepare -> .store -> samples
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from watchkeeper.monitoring.discovery import Discovered, JobDiscovery
from watchkeeper.monitoring.exposition.layout import ExpositionError
from watchkeeper.monitoring.exposition.metadata import Family
from watchkeeper.monitoring.fetch import Answer, Fetcher, FetchError, Request, fetch_within
from watchkeeper.monitoring.ingest import Intake, LimitError, Outcome, Prepared, SampleSink
from watchkeeper.monitoring.phases import Phases
from watchkeeper.monitoring.targets import Finding, ScrapeJob, Target, TargetStatus
from watchkeeper.store.clock import Clock, to_ms

_LOG = logging.getLogger(__name__)

THREAD_BYTES: Final = 1 << 20
"""Bodies from this size on are read in a thread: reading one in the loop would hold up the other visits.

Measured (docs/scraping.md): 1 MiB whose values move takes 3 ms, 1 MiB of nothing but new series 75 ms.
"""
ALIGN_MS: Final = 2
"""A visit that is late by no more than this is stored at the time it was due, as in Prometheus."""
SLOW_FADES: Final = 0.9
"""How much of the longest time that an answer took is remembered from one visit to the next."""
_NAP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts since the start, for our own metrics."""

    scrapes: int = 0
    failed: int = 0
    samples: int = 0
    repeated: int = 0
    out_of_order: int = 0
    duplicates: int = 0
    skipped: int = 0


@dataclass(slots=True, eq=False)
class _Visit:
    """A target under observation. ``due`` is on the monotonic clock; ``due_ms`` that moment on the wall.

    ``took``: the seconds within which its answers have been stored of late.
    """

    target: Target
    intake: Intake
    status: TargetStatus
    due: float
    due_ms: float
    took: float = 0.0
    busy: bool = False
    gone: bool = False


@dataclass(slots=True)
class _Job:
    """A job, its discovery, and what that found last."""

    discovery: JobDiscovery
    found: Discovered = field(default_factory=Discovered)
    asking: bool = False
    problem: str = ""


class Scraper:
    """Scrapes the targets of its jobs until :meth:`run` is cancelled.

    ``base`` is the folder that relative paths of discovery files start from.
    """

    def __init__(self, sink: SampleSink, fetcher: Fetcher, clock: Clock, base: Path = Path()) -> None:
        self._sink = sink
        self._fetcher = fetcher
        self._clock = clock
        self._base = base
        self._jobs: dict[tuple[str, int], _Job] = {}
        self._visits: dict[str, _Visit] = {}
        self._queue: list[tuple[float, str]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._evaluated_every: float | None = None
        self._phases = Phases()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="exposition")
        self.totals = Totals()

    # -- what is scraped -----------------------------------------------------------------------

    def configure(self, jobs: Sequence[ScrapeJob], evaluated_every: float | None = None) -> None:
        """Scrape ``jobs`` from now on. Targets that stay keep their state and their place in the interval.

        ``evaluated_every``: seconds between the evaluations that are to find the answers fresh; None where
        there are none. A job that cannot be scraped as it is written goes on as it was; see
        :meth:`problems`.
        """
        self._evaluated_every = evaluated_every
        before, self._jobs = self._jobs, {}
        for job in jobs:
            number = sum(name == job.name for name, _ in self._jobs)
            discovery = JobDiscovery(job, self._base)
            old = before.get((job.name, number))
            if job.problem:
                _LOG.error("%s; the job goes on as it was", job.problem)
                entry = old or _Job(JobDiscovery(job.without_sources))
                entry.problem = job.problem
            else:
                if old is not None:
                    discovery.inherit(old.discovery)
                entry = _Job(discovery)
            self._jobs[job.name, number] = entry
        for entry in self._jobs.values():
            entry.found = entry.discovery.resolved()
        self._sync()

    async def refresh(self) -> None:
        """Ask the sources of discovery that are due, all jobs at once, and follow what they say."""
        await asyncio.gather(*self._questions())

    def _questions(self) -> list[Coroutine[None, None, None]]:
        now = self._clock.monotonic()
        return [self._ask(job) for job in self._jobs.values() if not job.asking and now >= job.discovery.due]

    async def _ask(self, job: _Job) -> None:
        job.asking = True
        try:
            found = await job.discovery.refresh(self._fetcher, self._clock)
        finally:
            job.asking = False
        if found is not job.found:
            job.found = found
            self._sync()

    def _sync(self) -> None:
        """Begin with the targets that are new, and end with those that are gone."""
        wanted = {target.key: target for job in self._jobs.values() for target in job.found.targets}
        self._phases = Phases(self._evaluated_every, len(wanted))
        for key, visit in list(self._visits.items()):
            if key not in wanted:
                visit.gone = True
                del self._visits[key]
                visit.intake.end(to_ms(self._clock.now()))
        for key, target in wanted.items():
            old = self._visits.get(key)
            if old is not None and old.target == target:
                continue
            visit = self._begin(target)
            if old is not None:  # the same target, to be scraped in another way
                old.gone = True
                visit.status = replace(
                    visit.status,
                    health=old.status.health,
                    last_scrape=old.status.last_scrape,
                    error=old.status.error,
                )
            self._visits[key] = visit
            heapq.heappush(self._queue, (visit.due, key))

    def _begin(self, target: Target) -> _Visit:
        now, wall = self._clock.monotonic(), self._clock.now().timestamp()
        interval = target.interval_seconds
        delay = (self._phases.offset(target.number, interval) - wall % interval) % interval
        status = TargetStatus(
            job=target.job.name,
            instance=target.instance,
            labels=target.labels,
            discovered=target.shown_discovered,
            url=target.shown_url,
            health="unknown",
            interval_seconds=interval,
            timeout_seconds=target.timeout_seconds,
        )
        due_ms = (wall + delay) * 1000
        return _Visit(target, Intake(target, self._sink), status, now + delay, due_ms)

    # -- the loop ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Scrape until cancelled. What is under way then is abandoned; nothing is marked as ended."""
        try:
            while True:
                for question in self._questions():
                    self._start(question)
                pause = min(self.start_due(), _NAP_SECONDS)
                await self._clock.wait(max(pause, 0.0))
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._thread.shutdown(wait=False, cancel_futures=True)

    def start_due(self) -> float:
        """Start the visits that are due; returns the seconds until the next one (infinite: there is none)."""
        now = self._clock.monotonic()
        while self._queue and self._queue[0][0] <= now:
            due, key = heapq.heappop(self._queue)
            visit = self._visits.get(key)
            if visit is None or visit.due != due:
                continue  # gone, or begun anew with another time
            if visit.busy:  # cannot be: a visit times out before. Kept as a guard against a stuck thread
                self.totals = replace(self.totals, skipped=self.totals.skipped + 1)
            else:
                visit.busy = True
                self._start(self._scrape(visit, self._timestamp(visit)))
            intervals = math.floor((now - due) / visit.target.interval_seconds) + 1
            visit.due += intervals * visit.target.interval_seconds
            visit.due_ms += intervals * visit.target.interval_seconds * 1000
            heapq.heappush(self._queue, (visit.due, key))
        return self._queue[0][0] - now if self._queue else math.inf

    async def settle(self) -> None:
        """Wait until every visit that was started has ended."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        defect = None if task.cancelled() else task.exception()
        if defect is not None:
            _LOG.error("discovery failed in a way that is our defect", exc_info=defect)

    def _timestamp(self, visit: _Visit) -> int:
        """The time of a visit that starts now, in milliseconds: when it was due, if it is hardly late."""
        wall_ms = to_ms(self._clock.now())
        late = wall_ms - visit.due_ms
        if 0 <= late <= min(ALIGN_MS, visit.target.interval_seconds * 10):
            return math.floor(visit.due_ms)
        visit.due_ms = wall_ms  # the two clocks parted, or this machine is busy: be punctual from here on
        return wall_ms

    # -- one visit -----------------------------------------------------------------------------

    async def _scrape(self, visit: _Visit, ts_ms: int) -> None:
        try:
            await self._visit(visit, ts_ms)
        except Exception:  # noqa: BLE001 - a defect met in one target's answer must not stop the others
            _LOG.exception("a visit to target %s failed in a way that is our defect", visit.status.url)
        finally:
            visit.busy = False

    async def _visit(self, visit: _Visit, ts_ms: int) -> None:
        started = self._clock.monotonic()
        error, scraped, outcome = "", 0, Outcome()
        try:
            answer = await fetch_within(self._fetcher, self._request(visit.target))
            prepared = await self._prepare(visit.intake, answer)
            if not visit.gone:
                outcome = visit.intake.store(prepared, ts_ms, self._clock.monotonic() - started)
        except (FetchError, ExpositionError, LimitError) as problem:
            error, scraped = str(problem), getattr(problem, "samples", 0)
        except Exception as defect:  # noqa: BLE001 - reported as a failed scrape, and in full in the log
            _LOG.exception("reading target %s failed in a way that is our defect", visit.status.url)
            error = f"a defect of Watchkeeper ({type(defect).__name__}); its log has the details"
        if visit.gone:
            return
        duration = self._clock.monotonic() - started
        if error:
            visit.intake.fail(ts_ms, duration, scraped)
        else:
            visit.took = max(duration, visit.took * SLOW_FADES)
        self._report(visit, duration, outcome, error)
        self._place(visit)

    def _place(self, visit: _Visit) -> None:
        """Bring the next visit to its moment before an evaluation, if it is not there."""
        now, wall = self._clock.monotonic(), self._clock.now().timestamp()
        target, moment = visit.target, wall + visit.due - now
        shift = self._phases.shift(target.number, target.interval_seconds, moment, visit.took)
        if shift == 0.0 or visit.due + shift <= now:
            return
        visit.due += shift
        visit.due_ms = (moment + shift) * 1000
        heapq.heappush(self._queue, (visit.due, target.key))  # the place it had in the queue is void

    async def _prepare(self, intake: Intake, answer: Answer) -> Prepared:
        if len(answer.body) < THREAD_BYTES:
            return intake.prepare(answer.body, answer.content_type)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, intake.prepare, answer.body, answer.content_type)

    @staticmethod
    def _request(target: Target) -> Request:
        timeout = target.timeout_seconds
        headers = {"X-Prometheus-Scrape-Timeout-Seconds": f"{timeout:g}"}
        limit = target.job.limits.body_bytes
        return Request(target.url, timeout, limit, target.job.config, headers=headers)

    def _report(self, visit: _Visit, duration: float, outcome: Outcome, error: str) -> None:
        before, health = visit.status.health, "down" if error else "up"
        if error and (before != "down" or visit.status.error != error):
            _LOG.warning("target %s (job %s) is down: %s", visit.status.url, visit.status.job, error)
        elif before == "down" and not error:
            _LOG.info("target %s (job %s) is up again", visit.status.url, visit.status.job)
        visit.status = replace(
            visit.status,
            health=health,
            last_scrape=self._clock.now(),
            duration_seconds=duration,
            samples=outcome.kept,
            error=error,
        )
        t = self.totals
        self.totals = Totals(
            t.scrapes + 1,
            t.failed + bool(error),
            t.samples + outcome.kept,
            t.repeated + outcome.repeated,
            t.out_of_order + outcome.out_of_order,
            t.duplicates + outcome.duplicates,
            t.skipped,
        )

    # -- for people and the API ----------------------------------------------------------------

    def statuses(self) -> list[TargetStatus]:
        """How every target does, by job and instance."""
        return sorted(
            (visit.status for visit in self._visits.values()),
            key=lambda status: (status.job, status.instance),
        )

    def findings(self) -> list[Finding]:
        """Targets that lack a label which the runbook's monitoring hygiene asks for."""
        return [finding for visit in self._visits.values() for finding in visit.intake.findings()]

    def problems(self) -> list[str]:
        """What is wrong with jobs and their discovery now, in sentences."""
        return [
            problem
            for job in self._jobs.values()
            for problem in (job.problem, *job.found.problems)
            if problem
        ]

    def families(self) -> dict[str, list[Family]]:
        """What the targets say of each metric family; several entries where they differ."""
        merged: dict[str, list[Family]] = {}
        for visit in self._visits.values():
            for name, family in visit.intake.families.items():
                known = merged.setdefault(name, [])
                if family not in known:
                    known.append(family)
        return merged
