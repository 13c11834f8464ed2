"""Figures are short, carry their unit, and have no more digits than matter."""

from __future__ import annotations

import math

import pytest

from watchkeeper.monitoring.figures import duration, figure, sparkline


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0723, "ratio", "7.2 %"),
        (1.0, "ratio", "100 %"),
        (0.00012, "ratio", "0.012 %"),
        (0.31, "seconds", "310 ms"),
        (1.5, "seconds", "1.5 s"),
        (1_900_800.0, "seconds", "22 d"),
        (1536.0, "bytes", "1.5 KiB"),
        (3 * 2.0**40, "bytes", "3 TiB"),
        (42.0, "per_second", "42/s"),
        (12345.6, "count", "12,346"),
        (None, "ratio", "no data"),
        (math.nan, "ratio", "NaN"),
        (math.inf, "seconds", "∞"),
    ],
)
def test_a_figure_reads_as_people_say_it(value: float | None, unit: str, text: str) -> None:
    assert figure(value, unit) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (250, "4 min 10 s"),
        (86400 * 3 + 7300, "3 d 2 h"),
        (-5, "-5 s"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_sparkline_spans_its_own_extremes_and_leaves_gaps() -> None:
    assert sparkline([0, 1, None, 2, 4], 10) == "▁▃ ▅█"
    assert sparkline([5, 5, 5], 2) == "▁▁"
    assert sparkline([100, 100.1, 101], 3) == "▁▁▁"
    assert sparkline([0, 0], 2) == "▁▁"
    assert sparkline([None, math.nan], 5) == ""
