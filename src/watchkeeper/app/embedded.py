"""The built-in engine, shared between threads.

Always true: rules read the sample store's own memory, so they hold its lock while they evaluate (tens of
milliseconds at 100,000 series); questions from outside get copies and hold it only while copying, so that
no query, however heavy, delays a scrape or a rule (tests/app/test_embedded.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from watchkeeper.monitoring.promql.ast import Matcher
from watchkeeper.monitoring.promql.engine import Engine
from watchkeeper.monitoring.samples.frame import Selection
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.monitoring.source import Answer, EmbeddedSource

QUERY_SAMPLES = 20_000_000


class LockedSource:
    """The rules' source: the built-in engine over the sample store's memory, under its lock."""

    failure_hold = timedelta(0)

    def __init__(self, samples: SampleStore, step: timedelta) -> None:
        self._samples = samples
        self._source = EmbeddedSource(Engine(samples, default_step_ms=step // timedelta(milliseconds=1)))

    async def evaluate(self, queries: Sequence[str], at_ms: int) -> list[Answer]:
        """As :class:`watchkeeper.monitoring.source.Source` says."""
        with self._samples.lock:
            return await self._source.evaluate(queries, at_ms)


class _Copies:
    """The sample store, read by copies that stay as they are whatever is written meanwhile."""

    def __init__(self, samples: SampleStore) -> None:
        self._samples = samples

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        return self._samples.select_copies(matchers, start_ms, end_ms)


def query_engine(samples: SampleStore, step: timedelta) -> Engine:
    """An engine for questions from outside; any thread may use it."""
    milliseconds = step // timedelta(milliseconds=1)
    return Engine(_Copies(samples), default_step_ms=milliseconds, max_samples=QUERY_SAMPLES)
