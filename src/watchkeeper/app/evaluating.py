"""The half of ``watch`` that evaluates and records, in a thread of its own.

Always true: it shares with the scraping half only the sample store (under its lock) and values that are
replaced whole; a runbook that cannot be used leaves the one before it in force and says so; nothing but the
rules themselves (no heartbeat that hangs, no journal that is locked) delays an evaluation by more than a
write takes to give up (tests/app/test_evaluating.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from watchkeeper.app import inforce, wire
from watchkeeper.app.embedded import LockedSource
from watchkeeper.app.inforce import Chosen
from watchkeeper.app.liveness import Liveness
from watchkeeper.app.settings import Settings
from watchkeeper.monitoring import rules
from watchkeeper.monitoring.fetch import HttpFetcher
from watchkeeper.monitoring.heartbeat import Heartbeat
from watchkeeper.monitoring.hygiene import Hygiene
from watchkeeper.monitoring.overview import History
from watchkeeper.monitoring.remote import RemoteSource
from watchkeeper.monitoring.rules import AlertSeries, Slot
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.monitoring.service import MonitoringService
from watchkeeper.monitoring.source import Answer, Source, TimedSource
from watchkeeper.monitoring.targets import Finding
from watchkeeper.runbook.loading import LoadedRunbook
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store.clock import Clock
from watchkeeper.store.database import Store
from watchkeeper.store.errors import StoreError

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
WAKE_SECONDS = 5.0
"""How long the role ``work`` has to hear that there is something to tell."""
EVALUATING, SCRAPING = "the evaluation of rules", "scraping"
"""The halves, as they are called where one of them hangs."""


class Evaluating:
    """Evaluates the runbook's rules until told to stop; :meth:`run` is the thread's whole life.

    ``reloaded`` is called (on this thread) with a new runbook once it is in force, ``ended`` when the
    thread ends by itself, which is a defect.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        store: Store,
        samples: SampleStore,
        chosen: Chosen,
        liveness: Liveness,
        *,
        reloaded: Callable[[Runbook], None],
        ended: Callable[[], None],
    ) -> None:
        loaded = chosen.loaded
        self._settings = settings
        self._clock = clock
        self._loaded = loaded
        self._announced = False
        self._liveness = liveness
        self._beating: asyncio.Task[None] | None = None
        self._waking: set[asyncio.Task[None]] = set()
        self._reloaded = reloaded
        self._ended = ended
        self._fetcher = HttpFetcher(os.environ, settings.runbook.parent)
        self._stopping = threading.Event()
        self._reload_wanted = threading.Event()
        self._heartbeat = Heartbeat(
            loaded.runbook.monitoring.heartbeat, self._fetcher, os.environ, clock, store
        )
        hygiene = Hygiene(
            lambda: self.service.policy.runbook,
            lambda: self.findings,
            lambda: self.targets,
        )
        self.findings: Sequence[Finding] = ()
        """The labels that targets lack; replaced by the scraping half."""
        self.targets = 0
        """How many targets there are; likewise."""
        self.cpu_seconds = 0.0
        """CPU time of this thread: what evaluating and recording have cost since the start."""
        self.history = History()
        self.problem = chosen.problem
        """Why the runbook on disk is not the one in force, if it is not."""
        self.recorded_at: float | None = None
        """When, on the monotonic clock, an evaluation was last held and recorded."""
        self._samples = samples
        self._source = _CurrentSource(self._source_of(loaded.runbook))
        self.service = MonitoringService(
            store,
            clock,
            self._source,
            loaded,
            external_url=settings.url,
            series=AlertSeries(samples.group(rules.SERIES_GROUP)),
            findings=(hygiene, self._heartbeat),
        )

    def _source_of(self, runbook: Runbook) -> Source:
        if runbook.metrics.url is not None:
            return RemoteSource(self._fetcher, runbook.metrics)
        return LockedSource(self._samples, runbook.metrics.evaluation_interval)

    # -- from the other thread -----------------------------------------------------------------

    def reload(self) -> None:
        """Read the runbook again, before the next evaluation."""
        self._reload_wanted.set()

    def stop(self) -> None:
        """End after the evaluation under way."""
        self._stopping.set()

    # -- this thread ---------------------------------------------------------------------------

    def run(self) -> None:
        """Evaluate until :meth:`stop`."""
        try:
            asyncio.run(self._run())
        except Exception:
            log.exception("the evaluation of rules ended by a defect; the role is begun anew")
        finally:
            if not self._stopping.is_set():
                self._ended()

    async def _run(self) -> None:
        stopping = asyncio.Event()
        listening = asyncio.create_task(self._listen(stopping))
        try:
            async with self._fetcher:
                await rules.run(self._clock, lambda: self.service.interval, self._evaluate, stopping)
                await _ended(self._beating, *self._waking)
        finally:
            await _ended(listening)

    async def _listen(self, stopping: asyncio.Event) -> None:
        while not self._stopping.is_set():
            await self._clock.wait(LOOK_SECONDS)
            self._liveness.check(SCRAPING)
            if self._reload_wanted.is_set():
                self._reload_wanted.clear()
                self._read_again()
        stopping.set()

    async def _evaluate(self, slot: Slot) -> None:
        if not self._announced:
            self._announce()
        decision = await self.service.evaluate(slot)
        self._liveness.here(EVALUATING)
        self.cpu_seconds = time.thread_time()
        if decision is None:
            return
        if decision.sends:
            waking = asyncio.create_task(self._wake())
            self._waking.add(waking)
            waking.add_done_callback(self._waking.discard)
        self.recorded_at = self._clock.monotonic()
        seen = self.service.seen
        if seen is not None:
            self.history.observe(seen.at, seen, self.service.policy)
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._heartbeat.evaluated())

    async def _wake(self) -> None:
        """Tell the role ``work`` that something waits; where it does not hear, it finds it by itself."""
        with contextlib.suppress(wire.WireError):
            await wire.ask(self._settings.work_socket, "wake", {}, WAKE_SECONDS)

    def _announce(self) -> None:
        """Journal what is in force; where that cannot be written now, the next evaluation tries again."""
        try:
            self.service.announce()
            if self.problem is not None:
                self._read_again()  # journals why what is on disk was not taken
        except StoreError as error:
            log.error("that the runbook is in force could not be journaled yet: %s", error)
            return
        if self.problem is None:
            inforce.keep(self._settings, self._loaded)
        self._announced = True

    def _read_again(self) -> None:
        def load() -> LoadedRunbook:
            self._loaded = inforce.usable(self._settings)
            return self._loaded

        try:
            result = self.service.reload(load)
        except StoreError as error:
            self.problem = f"it was not read again, because that could not be recorded: {error}"
            log.error("the runbook stays as it was: %s", self.problem)
            return
        except Exception as error:
            # A defect met in a file must not end the rules that run; it is told like any other problem.
            self.problem = f"a defect of Watchkeeper ({type(error).__name__}) met while reading it"
            log.exception("the runbook stays as it was, because of a defect of Watchkeeper")
            return
        self.problem = None if result.ok else "\n".join(result.problems)
        if result.ok:
            runbook = self.service.policy.runbook
            self._heartbeat.use(runbook.monitoring.heartbeat)
            self._source.current = self._source_of(runbook)
            inforce.keep(self._settings, self._loaded)
            self._reloaded(runbook)


class _CurrentSource:
    """The source of the runbook in force. Whether it is remote cannot change while the role runs."""

    def __init__(self, current: Source) -> None:
        self.current = current

    @property
    def failure_hold(self) -> timedelta:
        """As :class:`Source` says."""
        return self.current.failure_hold

    @property
    def seconds(self) -> Mapping[str, float]:
        """As :class:`TimedSource` says; empty where nobody measures."""
        return self.current.seconds if isinstance(self.current, TimedSource) else {}

    async def evaluate(self, queries: Sequence[str], at_ms: int) -> list[Answer]:
        """As :class:`Source` says."""
        return await self.current.evaluate(queries, at_ms)


async def _ended(*tasks: asyncio.Task[None] | None) -> None:
    begun = [task for task in tasks if task is not None]
    for task in begun:
        task.cancel()
    await asyncio.gather(*begun, return_exceptions=True)
