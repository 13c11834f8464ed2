"""The role ``watch``: scrapes, stores samples and evaluates the rules, until told to stop.

Two threads: this one scrapes, looks after the sample store and answers questions; the other
(``evaluating.py``) evaluates and records, so that a slow disk under the store of state never delays a scrape.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta

from watchkeeper.app import collecting, inforce, signals, wire
from watchkeeper.app.answers import MonitoringAnswers, SampleAnswers, elsewhere
from watchkeeper.app.embedded import query_engine
from watchkeeper.app.evaluating import EVALUATING, SCRAPING, Evaluating
from watchkeeper.app.inforce import Chosen
from watchkeeper.app.liveness import Liveness
from watchkeeper.app.metrics import new_registry
from watchkeeper.app.settings import Settings
from watchkeeper.app.watch_health import WatchHealth
from watchkeeper.monitoring.compile import Compiled
from watchkeeper.monitoring.fetch import HttpFetcher
from watchkeeper.monitoring.promql.engine import required_range_ms
from watchkeeper.monitoring.samples.errors import SampleStoreError
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.monitoring.scrape import Scraper
from watchkeeper.monitoring.targets import jobs_of
from watchkeeper.runbook.models.metrics import Metrics
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store.clock import Clock, SystemClock
from watchkeeper.store.database import Store, open_store
from watchkeeper.store.errors import StoreError

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
SWITCH_SECONDS = 0.001
"""How long one thread may hold up the others (Python's own: 5 ms): a scrape or a rule waits that long, again
and again, for each query under way. Measured with the heaviest queries over 100,000 series: a scrape took at
most 1 s instead of 3 s."""
SHORTEST_WINDOW = timedelta(minutes=10)
LONGEST_WINDOW = timedelta(hours=2)
"""Rules that look further back than this read the disk, rather than everything being kept in memory."""


def run_watch(settings: Settings) -> int:
    """Run the role until SIGTERM or SIGINT; the exit code: 1 where it could not begin or had to end."""
    sys.setswitchinterval(SWITCH_SECONDS)
    clock = SystemClock()
    try:
        chosen = inforce.choose(settings)
        store = open_store(settings.state, clock)
    except (*inforce.UNUSABLE, StoreError) as error:
        log.error("%s", error)
        return 1
    with store:
        try:
            samples = _open_samples(settings, chosen.loaded.runbook.metrics, chosen.compiled, clock)
        except SampleStoreError as error:
            log.error("%s", error)
            return 1
        try:
            return asyncio.run(_Watch(settings, clock, store, samples, chosen).run())
        except (StoreError, SampleStoreError, wire.InUseError, OSError) as error:
            log.error("%s", error)
            return 1
        finally:
            samples.close()


def _open_samples(settings: Settings, metrics: Metrics, compiled: Compiled, clock: Clock) -> SampleStore:
    return SampleStore.open(
        settings.data / "samples",
        clock=clock,
        window_ms=window(metrics, compiled) // timedelta(milliseconds=1),
        retention_ms=metrics.retention.time // timedelta(milliseconds=1),
        retention_bytes=int(metrics.retention.size),
    )


def window(metrics: Metrics, compiled: Compiled) -> timedelta:
    """How much is kept in memory: what the rules that page and warn look back on, and two scrapes more."""
    texts = [query for rule in compiled.rules for query in (rule.expr, rule.value_expr)]
    longest = timedelta(milliseconds=max(map(required_range_ms, texts), default=0))
    slowest = max([metrics.scrape_interval, *map(metrics.interval_of, metrics.scrape_configs)])
    return min(max(longest + 2 * slowest, SHORTEST_WINDOW), LONGEST_WINDOW)


class _Watch:
    def __init__(
        self, settings: Settings, clock: Clock, store: Store, samples: SampleStore, chosen: Chosen
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._store = store
        self._samples = samples
        self._metrics: Metrics = chosen.loaded.runbook.metrics
        self._stopped = asyncio.Event()
        self._exit_code = 0
        self._queries: SampleAnswers | None = None
        self._liveness = Liveness(clock)
        self._evaluating = Evaluating(
            settings,
            clock,
            store,
            samples,
            chosen,
            self._liveness,
            reloaded=lambda runbook: self._call(self._use, runbook),
            ended=lambda: self._call(self._begin_anew),
        )

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(function, *arguments)

    def _begin_anew(self) -> None:
        """End the role; the supervisor starts it again, with everything as it is now."""
        self._exit_code = 1
        self._stopped.set()

    async def run(self) -> int:
        self._loop = asyncio.get_running_loop()
        base = self._settings.runbook.parent
        async with AsyncExitStack() as stack:
            fetcher = await stack.enter_async_context(HttpFetcher(os.environ, base))
            self._scraper = Scraper(self._samples, fetcher, self._clock, base)
            self._configure()
            await stack.enter_async_context(await self._serve(stack))
            await self._until_told()
        return self._exit_code

    async def _serve(self, stack: AsyncExitStack) -> wire.Listening:
        evaluating, statuses = self._evaluating, self._scraper.statuses
        registry = new_registry()
        health = WatchHealth(evaluating, self._scraper, self._samples, self._clock, registry)
        monitoring = MonitoringAnswers(evaluating, statuses, health.halted, self._store, self._clock)
        if self._metrics.url is None:
            engine = query_engine(self._samples, self._metrics.evaluation_interval)
            self._queries = SampleAnswers(engine, self._samples, self._clock)
            stack.callback(self._queries.close)
            of_samples = self._queries.handlers()
        else:
            of_samples = elsewhere(self._metrics.url)
        handlers = of_samples | monitoring.handlers() | health.handlers()
        return await wire.serve(self._settings.watch_socket, handlers)

    async def _until_told(self) -> None:
        signals.obey(self._loop, end=self._stopped.set, reload=self._evaluating.reload)
        thread = threading.Thread(target=self._evaluating.run, name="rules")
        thread.start()
        tasks = [
            asyncio.create_task(self._scraper.run()),
            asyncio.create_task(self._look_after_samples()),
            asyncio.create_task(collecting.settle(self._clock)),
            asyncio.create_task(self._stopped.wait()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a part that ended by itself ends the role: the supervisor begins it anew
        finally:
            self._evaluating.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(thread.join)

    async def _look_after_samples(self) -> None:
        while True:
            self._samples.tick()
            self._liveness.here(SCRAPING)
            self._liveness.check(EVALUATING, 2 * self._evaluating.service.interval.total_seconds())
            self._evaluating.findings = tuple(self._scraper.findings())
            self._evaluating.targets = len(self._scraper.statuses())
            await self._clock.wait(TICK_SECONDS)

    def _configure(self) -> None:
        self._scraper.configure(jobs_of(self._metrics), self._metrics.evaluation_interval.total_seconds())

    def _use(self, runbook: Runbook) -> None:
        """A new runbook is in force: follow its targets; what cannot be changed in place begins anew."""
        before, self._metrics = self._metrics, runbook.metrics
        needed = window(runbook.metrics, self._evaluating.service.compiled)
        self._configure()  # also where the role ends: targets that go, end
        if before.url != self._metrics.url or before.retention != self._metrics.retention:
            log.warning("where samples come from or how long they are kept changed: the role begins anew")
            self._begin_anew()
        elif needed // timedelta(milliseconds=1) > self._samples.window_ms:
            log.warning("rules look back further than memory reaches: the role begins anew")
            self._begin_anew()
        elif self._queries is not None:
            self._queries.use(query_engine(self._samples, self._metrics.evaluation_interval))
