"""Series as Prometheus' tests write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.monitoring.promql.ast import PromQLError
from watchkeeper.monitoring.promql.series_notation import (
    Special,
    Value,
    parse_metric,
    parse_series,
    parse_values,
)

GAP, STALE, HISTOGRAM = Special.OMITTED, Special.STALE, Special.HISTOGRAM


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", []),
        ("1 2.5 -3 +4 .5 1e3", [1, 2.5, -3, 4, 0.5, 1000]),
        ("0+10x3", [0, 10, 20, 30]),
        ("100-10x3", [100, 90, 80, 70]),
        ("-1-1x2", [-1, -2, -3]),
        ("1x4", [1, 1, 1, 1, 1]),
        ("7x0", [7]),
        ("0.5+0.25x2", [0.5, 0.75, 1]),
        ("_ _x3 1", [GAP, GAP, GAP, GAP, 1]),
        ("1 stale 2", [1, STALE, 2]),
        ("Inf -Inf +inf", [math.inf, -math.inf, math.inf]),
        ("0x5", [0] * 6),  # a repetition, not a hexadecimal number
        ("1m 2m+1mx1", [60, 120, 180]),
        ("{{}} {{schema:0 sum:5 count:4 buckets:[1 2 1]}}x1", [HISTOGRAM] * 3),
        ("{{sum:1}}+{{sum:2}}x2 1", [HISTOGRAM] * 3 + [1]),
        ("  1   2\t3  ", [1, 2, 3]),
    ],
)
def test_values(text: str, values: list[Value]) -> None:
    assert list(parse_values(text)) == values


def test_nan_is_a_value() -> None:
    values = parse_values("NaN nan 1")
    assert [isinstance(value, float) and math.isnan(value) for value in values] == [True, True, False]


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("1 two 3", 2, 5),
        ("1+1", 0, 3),
        ("1x", 0, 2),
        ("1 2x-1", 2, 6),
        ("stalex3", 0, 7),
        ("{{", 0, 2),
        ("1,2", 0, 3),
        ("1x9999999", 0, 9),
        ("1x999999999999", 0, 14),
    ],
)
def test_bad_values_are_pointed_at(text: str, start: int, end: int) -> None:
    with pytest.raises(PromQLError) as caught:
        parse_values(text)
    assert (caught.value.start, caught.value.end) == (start, end)


def test_a_series_is_a_metric_and_its_values() -> None:
    series = parse_series('http_requests{job="api", code="x"} 1 2')
    assert series.labels == (("__name__", "http_requests"), ("code", "x"), ("job", "api"))
    assert list(series.values) == [1, 2]
    assert parse_series("m").values == ()
    assert parse_series('{job="a"} 1').labels == (("job", "a"),)
    assert parse_series("{} 1").labels == ()
    assert parse_series('{"a.b", "c.d"="e"} 1').labels == (("__name__", "a.b"), ("c.d", "e"))
    assert parse_series('sum{by="x"} 1').labels == (("__name__", "sum"), ("by", "x"))
    assert parse_series('m{empty=""} 1').labels == (("__name__", "m"),)
    assert parse_metric(' m{a="b",} ') == (("__name__", "m"), ("a", "b"))


@pytest.mark.parametrize(
    "text",
    ["", "1 2", "m{a}", 'm{a="b"', "m{a=b} 1", 'm{a!="b"} 1', 'm{a="b"}1', "m{1} 1", 'm{a="b" c="d"} 1'],
)
def test_bad_metrics_are_refused(text: str) -> None:
    with pytest.raises(PromQLError):
        parse_series(text)


@given(st.floats(-1e6, 1e6), st.floats(-1e3, 1e3), st.integers(0, 50))
def test_a_progression_has_one_more_value_than_steps(start: float, step: float, times: int) -> None:
    values = parse_values(f"{start!r}{step:+}x{times}")
    assert len(values) == times + 1
    for position, value in enumerate(values):
        assert isinstance(value, float)
        assert value == pytest.approx(start + position * step, abs=1e-3)
