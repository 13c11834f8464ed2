"""The half of ``watch`` that evaluates and records, in a thread of its own.

Always true: it shares with the scraping half only the sample store (under its lock) and values that are
replaced whole; a runbook that cannot be used leaves the one before it in force and says so.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Sequence

from watchkeeper.app.embedded import LockedSource
from watchkeeper.app.policy import load_policy
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
from watchkeeper.monitoring.source import Source
from watchkeeper.monitoring.targets import Finding
from watchkeeper.runbook.loading import LoadedRunbook
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store.clock import Clock
from watchkeeper.store.database import Store
from watchkeeper.store.errors import StoreError

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1


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
        loaded: LoadedRunbook,
        *,
        reloaded: Callable[[Runbook], None],
        ended: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
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
            lambda: self.service.compiled,
            lambda: self.findings,
            lambda: self.targets,
            settings.url,
        )
        self.findings: Sequence[Finding] = ()
        """The labels that targets lack; replaced by the scraping half."""
        self.targets = 0
        """How many targets there are; likewise."""
        self.history = History()
        self.problem: str | None = None
        """Why the runbook on disk is not the one in force, if it is not."""
        self.service = MonitoringService(
            store,
            clock,
            self._source(loaded.runbook, samples),
            loaded,
            external_url=settings.url,
            series=AlertSeries(samples.group(rules.SERIES_GROUP)),
            findings=(hygiene, self._heartbeat),
        )

    def _source(self, runbook: Runbook, samples: SampleStore) -> Source:
        if runbook.metrics.url is not None:
            return RemoteSource(self._fetcher, runbook.metrics)
        return LockedSource(samples, runbook.metrics.evaluation_interval)

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
                self.service.announce()
                await rules.run(self._clock, lambda: self.service.interval, self._evaluate, stopping)
        finally:
            listening.cancel()

    async def _listen(self, stopping: asyncio.Event) -> None:
        while not self._stopping.is_set():
            await self._clock.wait(LOOK_SECONDS)
            if self._reload_wanted.is_set():
                self._reload_wanted.clear()
                self._read_again()
        stopping.set()

    async def _evaluate(self, slot: Slot) -> None:
        if await self.service.evaluate(slot) is None:
            return
        seen = self.service.seen
        if seen is not None:
            self.history.observe(seen.at, seen.answers, self.service.policy)
        await self._heartbeat.evaluated()

    def _read_again(self) -> None:
        try:
            result = self.service.reload(lambda: load_policy(self._settings))
        except StoreError as error:
            self.problem = f"it was not read again, because that could not be recorded: {error}"
            log.error("the runbook stays as it was: %s", self.problem)
            return
        self.problem = None if result.ok else "\n".join(result.problems)
        if result.ok:
            runbook = self.service.policy.runbook
            self._heartbeat.use(runbook.monitoring.heartbeat)
            self._reloaded(runbook)
