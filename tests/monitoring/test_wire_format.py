"""Values and times are written as Prometheus writes them."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.monitoring.wire_format import (
    TimeTexts,
    format_time,
    format_value,
    labels_json,
    point_json,
    points_json,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (-12.5, "-12.5"),
        (0.1, "0.1"),
        (1e15, "1000000000000000"),
        (1.5e20, "150000000000000000000"),
        (1e21, "1e+21"),
        (1.25e-5, "0.0000125"),
        (1e-6, "0.000001"),
        (9.9e-7, "9.9e-07"),
        (1e300, "1e+300"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
    ],
)
def test_values_have_gos_shortest_form(value: float, text: str) -> None:
    assert format_value(value) == text


@given(st.floats(allow_nan=False))
def test_every_value_reads_back_as_itself(value: float) -> None:
    assert float(format_value(value)) == value


def test_times_have_no_more_digits_than_they_need() -> None:
    assert [format_time(ms) for ms in (0, 1000, 1500, 1001, 1764000000123)] == [
        "0",
        "1",
        "1.5",
        "1.001",
        "1764000000.123",
    ]


def test_labels_and_points_are_valid_json_whatever_they_hold() -> None:
    labels = (("__name__", "a"), ("b", '"\\\n\u2028</script>'))
    assert json.loads(labels_json(labels)) == dict(labels)
    assert json.loads(point_json((1500, math.nan))) == [1.5, "NaN"]
    points = points_json([(0, 1.0), (1000, 2.5)], TimeTexts())
    assert json.loads(f"[{points}]") == [[0, "1"], [1, "2.5"]]
