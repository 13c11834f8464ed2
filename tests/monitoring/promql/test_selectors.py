"""What a selector sees: lookback, staleness, ``offset``, ``@``, and samples that are missing."""

from __future__ import annotations

import pytest

from tests.monitoring.promql.samples import MINUTE, Frames, Target, bare, instant, loaded, memory, name
from watchkeeper.monitoring.promql.engine import Engine
from watchkeeper.monitoring.samples.memory import MemoryStorage

UP = name("up")


@pytest.fixture
def storage() -> MemoryStorage:
    return loaded(10_000, {UP: [0.0, 1.0, "stale", 2.0]})


@pytest.mark.parametrize(
    ("at", "value"),
    [
        pytest.param(-1, None, id="before the first sample"),
        pytest.param(0, 0.0, id="at the first sample"),
        pytest.param(9_999, 0.0, id="before the next"),
        pytest.param(10_000, 1.0, id="at the next"),
        pytest.param(20_000, None, id="at a staleness marker"),
        pytest.param(29_999, None, id="after a staleness marker"),
        pytest.param(30_000, 2.0, id="the series is back"),
        pytest.param(329_999, 2.0, id="just within the lookback"),
        pytest.param(330_000, None, id="exactly the lookback after it"),
    ],
)
def test_an_instant_selector_sees_the_newest_sample_in_the_lookback(
    storage: MemoryStorage, at: int, value: float | None
) -> None:
    assert instant(storage, "up", at) == ({} if value is None else {UP: value})


def test_a_range_is_open_on_the_left_and_closed_on_the_right(storage: MemoryStorage) -> None:
    assert instant(storage, "count_over_time(up[10s])", 10_000) == {(): 1.0}
    assert instant(storage, "sum_over_time(up[10s])", 10_000) == {(): 1.0}
    assert instant(storage, "count_over_time(up[11s])", 10_000) == {(): 2.0}


def test_a_range_skips_staleness_markers(storage: MemoryStorage) -> None:
    assert instant(storage, "count_over_time(up[1m])", 30_000) == {(): 3.0}
    assert instant(storage, "count_over_time(up[10s])", 20_000) == {}


def test_the_samples_of_a_range_come_out_as_they_are(storage: MemoryStorage) -> None:
    (series,) = Engine(storage).instant("up[1m]", 30_000).series
    assert series.labels == UP
    assert series.points == [(0, 0.0), (10_000, 1.0), (30_000, 2.0)]


def test_an_absent_cell_is_looked_past_but_a_stale_one_is_not() -> None:
    target = Target([0, 10_000, 20_000], {name("a"): [1.0, "_", "_"], name("b"): [1.0, "stale", "_"]})
    for hints in (True, False):
        assert instant(Frames([target], hints=hints), '{__name__=~"a|b"}', 25_000) == {name("a"): 1.0}


def test_the_lookback_is_measured_from_the_sample_not_from_the_newest_row() -> None:
    target = Target([0, 200_000, 400_000], {name("a"): [1.0, "_", "_"], name("b"): [1.0, 2.0, "_"]})
    found = instant(Frames([target], hints=True), '{__name__=~"a|b"}', 400_000)
    assert found == {name("b"): 2.0}


def test_targets_scraped_at_different_times_meet_in_one_vector() -> None:
    first = Target([1_000, 16_000], {name("m", target="1"): [1.0, 2.0]})
    second = Target([7_000, 22_000], {name("m", target="2"): [10.0, 20.0]})
    storage = Frames([first, second], hints=True)
    assert instant(storage, "sum(m)", 16_000) == {(): 12.0}
    assert instant(storage, "sum(m)", 5_000) == {(): 1.0}
    times = instant(storage, "timestamp(m)", 17_000)
    assert times == {bare(target="1"): 16.0, bare(target="2"): 7.0}


def test_offset_looks_back_and_negative_offset_ahead(storage: MemoryStorage) -> None:
    assert instant(storage, "up offset 20s", 30_000) == {UP: 1.0}
    assert instant(storage, "up offset -10s", 0) == {UP: 1.0}


def test_at_fixes_the_time_and_offset_moves_it(storage: MemoryStorage) -> None:
    assert instant(storage, "up @ 10", 10_000_000) == {UP: 1.0}
    assert instant(storage, "up @ 30 offset 20s", 10_000_000) == {UP: 1.0}
    assert instant(storage, "sum_over_time(up[15s] @ 10)", 0) == {(): 1.0}


def test_at_start_and_end_are_those_of_the_query(storage: MemoryStorage) -> None:
    series = Engine(storage).range("up @ end() - up @ start()", 0, 30_000, 10_000).series
    assert [one.points for one in series] == [[(0, 2.0), (10_000, 2.0), (20_000, 2.0), (30_000, 2.0)]]


def test_timestamp_is_the_samples_own_for_a_selector_and_the_querys_for_anything_else(
    storage: MemoryStorage,
) -> None:
    assert instant(storage, "timestamp(up)", 15_000) == {(): 10.0}
    assert instant(storage, "timestamp(up @ 10)", 99_000) == {(): 10.0}
    assert instant(storage, "timestamp(abs(up))", 15_000) == {(): 15.0}
    assert instant(storage, "timestamp(timestamp(up))", 15_000) == {(): 15.0}


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ('{job="api"}', ["1", "2"]),
        ('m{job!="api"}', ["3", "4"]),
        ('m{job=~"a.*"}', ["1", "2"]),
        ('m{job=~"pi"}', []),
        ('m{job!~"api|web"}', ["4"]),
        ('m{job=""}', ["4"]),
        ('m{job!=""}', ["1", "2", "3"]),
        ('m{nowhere=""}', ["1", "2", "3", "4"]),
        ('m{job="api", n!="2"}', ["1"]),
        ('{"m", n="4"}', ["4"]),
    ],
)
def test_matchers_choose_series(selector: str, found: list[str]) -> None:
    jobs = {"1": "api", "2": "api", "3": "web", "4": ""}
    storage = loaded(MINUTE, {name("m", n=n, job=job): [1.0] for n, job in jobs.items()})
    assert sorted(dict(labels)["n"] for labels in instant(storage, selector, 0)) == found


def test_nothing_that_matches_is_an_empty_result() -> None:
    storage = memory([])
    for query in ("nothing", "rate(nothing[1m])", "sum(nothing)", "nothing / nothing", "nothing[5m]"):
        assert Engine(storage).instant(query, 0).series == []


# -- subqueries --------------------------------------------------------------------------------


def test_a_subquery_evaluates_at_multiples_of_its_step() -> None:
    storage = loaded(10_000, {name("m"): [float(i) for i in range(101)]})
    # At 980 s, 990 s and 1000 s, whatever the offset is short of a step.
    for offset in (3, 5, 9, 10):
        found = instant(storage, f"sum_over_time(m[30s:10s] offset {offset}s)", 1_010_000)
        assert found == {(): 98.0 + 99.0 + 100.0}


def test_a_subquery_without_a_step_takes_the_engines() -> None:
    storage = loaded(10_000, {name("m"): [1.0] * 100})
    assert Engine(storage).instant("count_over_time(m[5m:])", 600_000).values == {(): 5.0}
    assert Engine(storage, default_step_ms=30_000).instant("count_over_time(m[5m:])", 600_000).values == {
        (): 10.0
    }


def test_a_subquery_holds_values_that_are_not_there_at_some_steps() -> None:
    storage = loaded(10_000, {name("m"): [1.0, "stale", "_", 4.0, 5.0]})
    assert instant(storage, "count_over_time(m[50s:10s])", 40_000) == {(): 3.0}
    assert instant(storage, "max_over_time((m > 3)[50s:10s])", 40_000) == {(): 5.0}


def test_a_subquery_at_a_time_of_its_own_is_the_same_at_every_step() -> None:
    storage = loaded(10_000, {name("m"): [float(i) for i in range(101)]})
    (series,) = Engine(storage).range("sum_over_time(m[100s:1s] @ 100)", 0, 60_000, 30_000).series
    assert [value for _, value in series.points] == [460.0, 460.0, 460.0]


def test_times_before_1970_are_aligned_like_others() -> None:
    storage = loaded(10_000, {name("m"): [1.0] * 20}, start_ms=-100_000)
    assert instant(storage, "count_over_time(m[60s:25s])", 0) == {(): 3.0}
