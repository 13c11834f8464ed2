"""Functions of instant vectors: values, dates, labels, order."""

from __future__ import annotations

import calendar
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.monitoring.promql.samples import bare, instant, loaded, name
from watchkeeper.monitoring.promql.ast import PromQLError
from watchkeeper.monitoring.promql.engine import Engine
from watchkeeper.monitoring.promql.result import EvaluationError

NAN, INF = math.nan, math.inf


def of(value: float, call: str) -> float:
    (found,) = instant(loaded(10_000, {name("m"): [value]}), call, 0).values()
    return found


@pytest.mark.parametrize(
    ("call", "value", "expected"),
    [
        ("abs(m)", -2.5, 2.5),
        ("ceil(m)", -1.2, -1.0),
        ("floor(m)", -1.2, -2.0),
        ("exp(m)", 0.0, 1.0),
        ("exp(m)", 1000.0, INF),
        ("sqrt(m)", -1.0, NAN),
        ("ln(m)", 0.0, -INF),
        ("ln(m)", -1.0, NAN),
        ("log2(m)", 8.0, 3.0),
        ("log10(m)", 1000.0, 3.0),
        ("sgn(m)", -7.0, -1.0),
        ("sgn(m)", 0.0, 0.0),
        ("sgn(m)", NAN, NAN),
        ("round(m)", 2.5, 3.0),
        ("round(m)", -2.5, -2.0),
        ("round(m, 5)", 12.4, 10.0),
        ("round(m, 0.1)", 0.44, 0.4),
        ("clamp(m, 0, 10)", 12.0, 10.0),
        ("clamp(m, 0, 10)", -1.0, 0.0),
        ("clamp(m, 0, 10)", NAN, NAN),
        ("clamp_min(m, 3)", 1.0, 3.0),
        ("clamp_max(m, 3)", 5.0, 3.0),
        ("clamp_max(m, NaN)", 5.0, NAN),
        ("deg(m)", math.pi, 180.0),
        ("rad(m)", 180.0, math.pi),
        ("sin(m)", math.pi / 2, 1.0),
        ("acos(m)", 2.0, NAN),
        ("atanh(m)", 1.0, INF),
        ("cosh(m)", 0.0, 1.0),
    ],
)
def test_mathematics(call: str, value: float, expected: float) -> None:
    assert of(value, call) == pytest.approx(expected, nan_ok=True)


def test_clamping_to_limits_the_wrong_way_round_gives_nothing() -> None:
    storage = loaded(10_000, {name("m"): [1.0, 2.0, 3.0], name("k"): [0.0, 9.0, 0.0]})
    assert instant(storage, "clamp(m, 5, 2)", 0) == {}
    (series,) = Engine(storage).range("clamp(m, scalar(k), 5)", 0, 20_000, 10_000).series
    assert series.points == [(0, 1.0), (20_000, 3.0)]


@settings(max_examples=80, deadline=None)
@given(seconds=st.integers(-(10**10), 10**11))
def test_dates_are_those_of_the_calendar(seconds: int) -> None:
    if not -62_135_596_800 <= seconds < 253_402_300_800:
        return
    date = datetime.fromtimestamp(seconds, UTC)
    expected = {
        "minute": date.minute,
        "hour": date.hour,
        "day_of_week": date.isoweekday() % 7,
        "day_of_month": date.day,
        "day_of_year": date.timetuple().tm_yday,
        "days_in_month": calendar.monthrange(date.year, date.month)[1],
        "month": date.month,
        "year": date.year,
    }
    for function, value in expected.items():
        assert of(float(seconds), f"{function}(m)") == value, function
        assert instant(loaded(10_000, {name("m"): [1.0]}), f"{function}()", seconds * 1000) == {(): value}


def test_what_is_no_time_has_no_date() -> None:
    for value in (NAN, INF, 1e300):
        assert math.isnan(of(value, "year(m)"))


def test_sort_puts_nan_last_either_way_and_keeps_its_order() -> None:
    storage = loaded(10_000, {name("m", n=str(n)): [v] for n, v in enumerate([2.0, NAN, 3.0, 1.0])})
    for call, order in (("sort(m)", "1.0 2.0 3.0 nan"), ("sort_desc(m) + 0", "3.0 2.0 1.0 nan")):
        assert [repr(one.points[0][1]) for one in Engine(storage).instant(call, 0).series] == order.split()


def test_sorting_a_range_query_is_warned_of() -> None:
    storage = loaded(10_000, {name("m", n=str(n)): [float(-n)] for n in range(3)})
    result = Engine(storage).range("sum by (n) (\n sort(m))", 0, 10_000, 10_000)
    assert result.warnings == [
        "PromQL warning: sort is ineffective for range queries since results are always ordered by labels "
        "(2:2)"
    ]
    assert [one.labels for one in result.series] == [bare(n=str(n)) for n in range(3)]


@pytest.mark.parametrize(
    ("selector", "labels"),
    [
        ('nothing{job="a", x!="b"}', bare(job="a")),
        ('nothing{job="a", job="b", x="y"}', bare(x="y")),
        ('{__name__="nothing", x=~"y"}', ()),
        ("sum(nothing)", ()),
        ('nothing{job="a"} > 0', ()),
    ],
)
def test_absent_names_what_was_looked_for(selector: str, labels: tuple[tuple[str, str], ...]) -> None:
    storage = loaded(10_000, {name("m"): [1.0]})
    assert instant(storage, f"absent({selector})", 0) == {labels: 1.0}
    assert instant(storage, "absent(m)", 0) == {}


# -- labels ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "labels"),
    [
        ('"dst", "$1", "src", "a-(.*)"', bare(src="a-b", dst="b")),
        ('"dst", "${1}x$1", "src", "a-(.*)"', bare(src="a-b", dst="bxb")),
        ('"dst", "$1x", "src", "a-(.*)"', bare(src="a-b")),
        ('"dst", "${name}", "src", "a-(?P<name>.*)"', bare(src="a-b", dst="b")),
        ('"dst", "$$1", "src", ".*"', bare(src="a-b", dst="$1")),
        ('"dst", "x", "src", "a"', bare(src="a-b")),
        ('"dst", "x", "nowhere", ""', bare(src="a-b", dst="x")),
        ('"src", "", "src", ".*"', ()),
        ('"src", "$2", "src", "(a)-(c)?b"', ()),
    ],
)
def test_label_replace_sets_a_label_from_a_match(arguments: str, labels: tuple[tuple[str, str], ...]) -> None:
    storage = loaded(10_000, {name("m", src="a-b"): [1.0]})
    assert instant(storage, f"label_replace(m, {arguments})", 0) == {(("__name__", "m"), *labels): 1.0}


def test_label_join_puts_values_together() -> None:
    storage = loaded(10_000, {name("m", a="1", b="2"): [1.0]})
    joined = name("m", a="1", b="2", c="1-2-")
    assert instant(storage, 'label_join(m, "c", "-", "a", "b", "nowhere")', 0) == {joined: 1.0}
    assert instant(storage, 'label_join(m, "a", "-")', 0) == {name("m", b="2"): 1.0}


def test_a_name_set_by_a_label_function_stays_and_another_goes() -> None:
    storage = loaded(10_000, {name("m_total"): [1.0, 2.0]})
    kept = 'label_replace(rate(m_total[20s]), "__name__", "rate_$1", "__name__", "(.*)")'
    assert instant(storage, kept, 10_000).keys() == {name("rate_m_total")}
    copied = 'label_replace(rate(m_total[20s]), "was", "$1", "__name__", "(.*)")'
    assert instant(storage, copied, 10_000).keys() == {bare(was="m_total")}


def test_label_functions_refuse_what_cannot_be() -> None:
    storage = loaded(10_000, {name("m"): [1.0]})
    for query in (
        'label_replace(m, "", "x", "a", "b")',
        'label_replace(m, "x", "x", "a", "(")',
        'label_join(m, "", "-", "a")',
        'label_join(m, "x", "-", "")',
    ):
        with pytest.raises((EvaluationError, PromQLError)):
            instant(storage, query, 0)
