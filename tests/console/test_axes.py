"""Round ticks for times and figures."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.console.axes import figure_in_words, query_step, time_ticks, value_range, value_ticks

NOON = 1_767_614_400_000  # 2026-01-05T12:00:00Z
UNITS = ("ratio", "seconds", "bytes", "count", "per_second", "score", "cores", "state")
FIGURES = st.floats(min_value=-1e300, max_value=1e300, allow_nan=False)


@pytest.mark.parametrize(
    ("minutes", "texts"),
    [
        (1, ["12:00:00", "12:00:10", "12:00:20", "12:00:30", "12:00:40", "12:00:50", "12:01:00"]),
        (45, ["12:00", "12:05", "12:10", "12:15", "12:20", "12:25", "12:30", "12:35", "12:40", "12:45"]),
        (24 * 60, ["12:00", "15:00", "18:00", "21:00", "06 Jan", "03:00", "06:00", "09:00", "12:00"]),
        (7 * 24 * 60, ["06 Jan", "07 Jan", "08 Jan", "09 Jan", "10 Jan", "11 Jan", "12 Jan"]),
    ],
)
def test_times_are_round_and_in_utc(minutes: int, texts: list[str]) -> None:
    assert [tick.text for tick in time_ticks(NOON, NOON + minutes * 60_000)] == texts


@given(st.integers(0, 4_000_000_000_000), st.integers(1, 10_000_000_000_000))
def test_times_lie_within_and_a_narrow_screen_gets_few(start: int, span: int) -> None:
    ticks = time_ticks(start, start + span)
    assert all(start <= tick.at <= start + span for tick in ticks)
    assert len(ticks) <= 21
    assert sum(1 for tick in ticks if not tick.dense) <= 7
    assert [tick.at for tick in ticks] == sorted({tick.at for tick in ticks})


@pytest.mark.parametrize(
    ("low", "high", "unit", "texts"),
    [
        (0, 0.37, "ratio", ["0 %", "10 %", "20 %", "30 %"]),
        (0, 2.1, "seconds", ["0 s", "1 s", "2 s"]),
        (0, 900, "seconds", ["0 s", "5 min", "10 min", "15 min"]),
        (0, 3 * 1024**3, "bytes", ["0 B", "1 GiB", "2 GiB", "3 GiB"]),
        (0, 1, "state", ["0", "1"]),
        (1000.1, 1000.5, "count", ["1000.1", "1000.2", "1000.3", "1000.4", "1000.5"]),
    ],
)
def test_figures_are_round_in_the_signals_unit(low: float, high: float, unit: str, texts: list[str]) -> None:
    assert [tick.text for tick in value_ticks(low, high, unit)] == texts


@given(st.lists(FIGURES, min_size=1, max_size=5), st.sampled_from(UNITS))
def test_an_axis_shows_all_its_figures_and_says_nothing_twice(values: list[float], unit: str) -> None:
    low, high = value_range(values)
    assert low <= min(values)
    assert high >= max(values)
    assert low < high
    texts = [tick.text for tick in value_ticks(low, high, unit)]
    assert len(texts) == len(set(texts)) <= 15
    assert all(len(text) < 30 for text in texts)


def test_a_figure_that_is_too_long_to_read_is_written_with_an_exponent() -> None:
    assert figure_in_words(1e300, "count") == "1e+300"
    assert figure_in_words(1e300, "seconds") == "1e+300"
    assert figure_in_words(float("inf"), "seconds") == "∞"


@pytest.mark.parametrize(
    ("minutes", "seconds"), [(15, 5), (60, 15), (360, 120), (1440, 300), (10080, 3600), (525_600, 172_800)]
)
def test_a_step_is_round_and_wide_enough(minutes: int, seconds: int) -> None:
    span = timedelta(minutes=minutes)
    step = query_step(span, 299)
    assert step == timedelta(seconds=seconds)
    assert span / step <= 299
