"""Rules and questions share the sample store: neither heavy questions nor old samples hold up its lock."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from watchkeeper.app.embedded import LockedSource, query_engine
from watchkeeper.monitoring.labels import label_set
from watchkeeper.monitoring.promql.ast import Matcher
from watchkeeper.monitoring.promql.result import EvaluationError
from watchkeeper.monitoring.samples.frame import Selection
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.monitoring.source import Failure
from watchkeeper.store.clock import ManualClock, to_ms

START = datetime(2026, 1, 5, tzinfo=UTC)
STEP = timedelta(seconds=15)


@pytest.fixture
def samples(tmp_path: Path) -> Iterator[SampleStore]:
    """An hour of one counter, of which memory holds the last ten minutes."""
    clock = ManualClock(START)
    store = SampleStore.open(tmp_path, clock=clock, window_ms=600_000, threads=False)
    group = store.group("t")
    column = np.array([group.column(label_set([("__name__", "x_total"), ("job", "a")]))])
    for minute in range(61):
        group.append(to_ms(clock.now()), column, np.array([60.0 * minute]))
        clock.advance(60)
        store.tick()
    yield store
    store.close()


NOW_MS = to_ms(START + timedelta(hours=1))
HOUR = "increase(x_total[1h])"


def ask(source: LockedSource, *queries: str) -> list[object]:
    return [
        answer if isinstance(answer, Failure) else list(answer.values())
        for answer in asyncio.run(source.evaluate(queries, NOW_MS))
    ]


def test_what_memory_has_and_what_only_the_disk_has_are_both_answered_in_order(samples: SampleStore) -> None:
    deep, near, wrong = ask(LockedSource(samples, STEP), HOUR, "sum(x_total)", "sum by (")
    assert deep == [pytest.approx(3600)]
    assert near == [3600.0]
    assert isinstance(wrong, Failure)


def test_old_samples_are_read_without_the_lock(samples: SampleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, go_on = threading.Event(), threading.Event()
    copies = samples.select_copies

    def slow(matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        reading.set()
        assert go_on.wait(5)
        return copies(matchers, start_ms, end_ms)

    monkeypatch.setattr(samples, "select_copies", slow)
    asking = threading.Thread(target=ask, args=(LockedSource(samples, STEP), HOUR))
    asking.start()
    try:
        assert reading.wait(5)
        assert samples.lock.acquire(timeout=1), "a scrape could not be stored meanwhile"
        samples.lock.release()
    finally:
        go_on.set()
        asking.join(5)


def test_questions_from_outside_see_what_was_there_when_they_were_asked(samples: SampleStore) -> None:
    result = query_engine(samples, STEP).instant("x_total", NOW_MS)
    assert result.values == {(("__name__", "x_total"), ("job", "a")): 3600.0}


def test_an_answer_with_too_many_points_is_an_error(
    samples: SampleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchkeeper.app.embedded.QUERY_POINTS", 50)
    engine = query_engine(samples, STEP)
    assert len(engine.range("x_total", NOW_MS - 49_000, NOW_MS, 1000).series[0].points) == 50
    with pytest.raises(EvaluationError, match="51 points"):
        engine.range("x_total", NOW_MS - 50_000, NOW_MS, 1000)


def test_as_many_steps_as_prometheus_allows_are_allowed(samples: SampleStore) -> None:
    result = query_engine(samples, STEP).range("vector(1)", NOW_MS - 11_000_000, NOW_MS, 1000)
    assert len(result.series[0].points) == 11_001
