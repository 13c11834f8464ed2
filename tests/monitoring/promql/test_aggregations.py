"""Aggregation operators: groups, special values, parameters."""

from __future__ import annotations

import math

import pytest

from tests.monitoring.promql.samples import Cell, bare, instant, loaded, name
from watchkeeper.monitoring.labels import Labels
from watchkeeper.monitoring.promql.engine import Engine
from watchkeeper.monitoring.promql.result import EvaluationError
from watchkeeper.monitoring.samples.memory import MemoryStorage

NAN, INF = math.nan, math.inf
BIG = 9.988465674311579e307


def vector(*values: float) -> MemoryStorage:
    return loaded(
        10_000, {name("m", n=f"{n:04}", group="ab"[n % 2]): [value] for n, value in enumerate(values)}
    )


def single(storage: MemoryStorage, query: str) -> float:
    (value,) = instant(storage, query, 0).values()
    return value


def test_by_keeps_and_without_drops_the_labels_that_it_names() -> None:
    storage = vector(1.0, 2.0, 3.0)
    assert instant(storage, "sum by (group) (m)", 0) == {bare(group="a"): 4.0, bare(group="b"): 2.0}
    assert instant(storage, "sum without (n) (m)", 0) == {bare(group="a"): 4.0, bare(group="b"): 2.0}
    assert instant(storage, "sum by (nothing) (m)", 0) == {(): 6.0}
    assert instant(storage, "sum by (__name__) (m)", 0) == {name("m"): 6.0}


def test_labels_that_only_some_series_have_make_groups_of_their_own() -> None:
    storage = loaded(
        10_000, {name("m", a="1"): [1.0], name("m", b="1"): [2.0], name("m", a="1", b="1"): [4.0]}
    )
    assert instant(storage, "sum by (a) (m)", 0) == {bare(a="1"): 5.0, (): 2.0}
    assert instant(storage, "sum without (b) (m)", 0) == {bare(a="1"): 5.0, (): 2.0}


@pytest.mark.parametrize(
    ("values", "total", "average"),
    [
        pytest.param([1e100, 1.0, -1e100, 1.0], 2.0, 0.5, id="cancellation"),
        pytest.param([INF, 1.0], INF, INF, id="infinity"),
        pytest.param([INF, -INF], NAN, NAN, id="both infinities"),
        pytest.param([NAN, 1.0], NAN, NAN, id="nan"),
        pytest.param([BIG] * 4, INF, BIG, id="overflow"),
        pytest.param([-BIG, -BIG, BIG, BIG], -INF, 0.0, id="overflow on the way"),
    ],
)
def test_sums_and_averages_are_compensated(values: list[float], total: float, average: float) -> None:
    storage = vector(*values)
    for query, expected in (("sum(m)", total), ("avg(m)", average)):
        assert single(storage, query) == pytest.approx(expected, nan_ok=True)


def test_large_groups_are_compensated_too() -> None:
    values = [1e100, *[1.0, -1.0, 0.25] * 700, -1e100]
    storage = vector(*values)
    assert single(storage, "sum(m)") == 175.0
    assert single(storage, "avg(m)") == pytest.approx(175.0 / len(values), rel=1e-14)
    assert single(vector(*[1.7e308, -1.0] * 600), "avg(m)") == pytest.approx(0.85e308)


def test_minimum_and_maximum_prefer_anything_to_nan() -> None:
    storage = vector(NAN, 2.0, 1.0, 5.0)
    assert single(storage, "min(m)") == 1.0
    assert single(storage, "max(m)") == 5.0
    assert math.isnan(single(vector(NAN, NAN), "max(m)"))


def test_the_deviation_of_a_constant_is_exactly_zero() -> None:
    assert single(vector(0.1, 0.1, 0.1), "stddev(m)") == 0.0
    assert single(vector(1.0, 3.0), "stdvar(m)") == 1.0
    assert math.isnan(single(vector(1.0, INF), "stdvar(m)"))


def test_topk_and_bottomk_are_in_order_with_nan_last() -> None:
    storage = vector(1.0, NAN, 3.0, 2.0)
    engine = Engine(storage)

    def ordered(query: str) -> list[str]:
        return [repr(series.points[0][1]) for series in engine.instant(query, 0).series]

    assert ordered("topk(4, m)") == ["3.0", "2.0", "1.0", "nan"]
    assert ordered("bottomk(4, m)") == ["1.0", "2.0", "3.0", "nan"]
    assert ordered("topk(2, m)") == ["3.0", "2.0"]
    assert ordered("topk(2.9, m)") == ["3.0", "2.0"]
    assert ordered("topk(0, m)") == []
    assert ordered("topk(1e18, m) * 2") == ["6.0", "4.0", "2.0", "nan"]


def test_topk_takes_a_count_of_its_own_at_every_step() -> None:
    storage = loaded(
        10_000, {name("k"): [0.0, 1.0, 3.0], **{name("m", n=str(n)): [float(n)] * 3 for n in range(4)}}
    )
    (series,) = Engine(storage).range("count(topk(scalar(k), m))", 0, 20_000, 10_000).series
    assert series.points == [(10_000, 1.0), (20_000, 3.0)]


@pytest.mark.parametrize(
    ("count", "message"),
    [
        ("NaN", "Parameter value is NaN"),
        ("1e19", "Scalar value 1e+19 overflows int64"),
        ("+Inf", "Scalar value +Inf overflows int64"),
    ],
)
def test_a_count_that_is_none_is_refused(count: str, message: str) -> None:
    with pytest.raises(EvaluationError) as refused:
        instant(vector(1.0), f"topk({count}, m)", 0)
    assert str(refused.value) == message


def test_a_quantile_over_series_interpolates_and_warns() -> None:
    storage = vector(1.0, 2.0, 3.0, 4.0)
    assert single(storage, "quantile(0.5, m)") == 2.5
    result = Engine(storage).instant("quantile(1.5, m)", 0)
    assert list(result.values.values()) == [INF]
    assert result.warnings == ["PromQL warning: quantile value should be between 0 and 1, got 1.5 (1:10)"]


def test_count_values_counts_by_the_written_value() -> None:
    storage = vector(1.0, 1.0, 2.5, INF, NAN, NAN, 1e21)
    found = instant(storage, 'count_values("v", m)', 0)
    assert found == {
        bare(v="1"): 2.0,
        bare(v="2.5"): 1.0,
        bare(v="+Inf"): 1.0,
        bare(v="NaN"): 2.0,
        bare(v="1000000000000000000000"): 1.0,
    }


@pytest.mark.parametrize(
    ("query", "labels"),
    [
        ('count_values by (group) ("v", m)', bare(group="a", v="1")),
        ('count_values without (n) ("v", m)', bare(group="a", v="1")),
        ('count_values without (n) ("group", m)', bare(group="1")),
        ('count_values by (group) ("group", m)', bare(group="1")),
    ],
)
def test_count_values_sets_its_label_on_the_group(query: str, labels: Labels) -> None:
    assert instant(vector(1.0), query, 0) == {labels: 1.0}


def test_a_group_is_there_only_at_the_steps_where_it_has_values() -> None:
    cells: dict[Labels, list[Cell]] = {
        name("m", g="a"): [1.0, "stale", 3.0],
        name("m", g="b"): [2.0, 2.0, "stale"],
    }
    series = Engine(loaded(10_000, cells)).range("max by (g) (m)", 0, 20_000, 10_000).series
    assert {one.labels: one.points for one in series} == {
        bare(g="a"): [(0, 1.0), (20_000, 3.0)],
        bare(g="b"): [(0, 2.0), (10_000, 2.0)],
    }


def test_a_group_loses_its_name_where_one_of_its_series_does() -> None:
    storage = loaded(10_000, {name("m_total", n="1"): [1.0, 2.0], name("m_total", n="2"): [1.0, 2.0]})
    query = 'sum by (__name__) (m_total{n="1"} or rate(m_total{n="2"}[20s]))'
    assert instant(storage, query, 10_000).keys() == {()}
