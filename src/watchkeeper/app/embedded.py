"""The built-in engine, shared between threads.

Always true: rules read the sample store's own memory, so they hold its lock while they evaluate (tens of
milliseconds at 100,000 series); what looks further back than memory reaches, and questions from outside, get
copies and hold it only while copying, so that neither a heavy query nor a slow disk delays a scrape
(tests/app/test_embedded.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from watchkeeper.monitoring.promql.ast import Matcher, PromQLError
from watchkeeper.monitoring.promql.engine import Engine, required_range_ms
from watchkeeper.monitoring.samples.frame import Selection
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.monitoring.source import Answer, EmbeddedSource

QUERY_SAMPLES = 20_000_000
QUERY_POINTS = 2_000_000
"""Of one answer to a question from outside; each costs some 100 bytes while it is written as JSON."""


class LockedSource:
    """The rules' source: the built-in engine over the sample store's memory, under its lock."""

    failure_hold = timedelta(0)

    def __init__(self, samples: SampleStore, step: timedelta) -> None:
        milliseconds = step // timedelta(milliseconds=1)
        self._samples = samples
        self._memory = EmbeddedSource(Engine(samples, default_step_ms=milliseconds))
        self._copies = EmbeddedSource(Engine(_Copies(samples), default_step_ms=milliseconds))
        self._deep: dict[str, bool] = {}
        self.seconds: Mapping[str, float] = {}

    async def evaluate(self, queries: Sequence[str], at_ms: int) -> list[Answer]:
        """As :class:`watchkeeper.monitoring.source.Source` says."""
        self._deep = {query: self._deep.get(query) or self._is_deep(query) for query in queries}
        near = [query for query in queries if not self._deep[query]]
        far = [query for query in queries if self._deep[query]]
        with self._samples.lock:
            found = dict(zip(near, await self._memory.evaluate(near, at_ms), strict=True))
            self.seconds = self._memory.seconds
        if far:
            found |= zip(far, await self._copies.evaluate(far, at_ms), strict=True)
            self.seconds = {**self.seconds, **self._copies.seconds}
        return [found[query] for query in queries]

    def _is_deep(self, query: str) -> bool:
        try:
            return required_range_ms(query) > self._samples.window_ms
        except PromQLError:
            return False  # evaluating it says what is wrong


class _Copies:
    """The sample store, read by copies that stay as they are whatever is written meanwhile."""

    def __init__(self, samples: SampleStore) -> None:
        self._samples = samples

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        return self._samples.select_copies(matchers, start_ms, end_ms)


def query_engine(samples: SampleStore, step: timedelta) -> Engine:
    """An engine for questions from outside; any thread may use it."""
    milliseconds = step // timedelta(milliseconds=1)
    return Engine(
        _Copies(samples),
        default_step_ms=milliseconds,
        max_samples=QUERY_SAMPLES,
        max_points=11_001,  # as the API counts: 11,000 steps from the first point to the last
        max_result_points=QUERY_POINTS,
    )
