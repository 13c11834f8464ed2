"""The vectorised evaluator and the plain one agree on whatever is stored, however it is stored."""

from __future__ import annotations

import math
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.monitoring.promql import reference
from tests.monitoring.promql.samples import Frames, Stored, Target, instant, memory, targets
from watchkeeper.monitoring.labels import Labels
from watchkeeper.monitoring.promql.engine import Engine

AT = st.integers(0, 700_000)
RANGES = st.sampled_from([7_000, 30_000, 61_000, 120_000, 300_000])
QUICK = settings(max_examples=60, deadline=None)


def storages(drawn: list[Target]) -> list[Stored]:
    return [memory(drawn), Frames(drawn, hints=True), Frames(drawn, hints=False)]


@QUICK
@given(drawn=targets(), at=AT, range_ms=RANGES)
def test_functions_of_ranges_agree(drawn: list[Target], at: int, range_ms: int) -> None:
    for storage in storages(drawn):
        for function in reference.RANGE_FUNCTIONS:
            expected = reference.range_function(function, drawn, at - range_ms, at)
            found = instant(storage, f"{function}(m_total[{range_ms}ms])", at)
            assert reference.same(found, expected), (function, found, expected)


@QUICK
@given(drawn=targets(), at=AT)
def test_instant_selectors_agree(drawn: list[Target], at: int) -> None:
    newest = reference.newest(drawn, at)
    for storage in storages(drawn):
        values = instant(storage, "m_total", at)
        assert reference.same(values, {labels: value for labels, (_, value) in newest.items()})
        times = instant(storage, "timestamp(m_total)", at)
        assert times == {reference.without_name(labels): time / 1000 for labels, (time, _) in newest.items()}


@QUICK
@given(
    drawn=targets(finite=True), at=AT, range_ms=RANGES, quantile=st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0])
)
def test_quantiles_agree(drawn: list[Target], at: int, range_ms: int, quantile: float) -> None:
    of = reference.quantile(quantile)
    windows = reference.window(drawn, at - range_ms, at)
    expected = {
        reference.without_name(labels): of([value for _, value in points])
        for labels, points in windows.items()
    }
    for storage in storages(drawn):
        found = instant(storage, f"quantile_over_time({quantile}, m_total[{range_ms}ms])", at)
        assert reference.same(found, expected)
    vector = {labels: value for labels, (_, value) in reference.newest(drawn, at).items()}
    found = instant(memory(drawn), f"quantile by (group) ({quantile}, m_total)", at)
    assert reference.same(found, reference.aggregated(of, vector, ["group"]))


@QUICK
@given(
    drawn=targets(finite=True), at=AT, by=st.sampled_from([[], ["group"], ["group", "target"], ["nowhere"]])
)
def test_aggregations_agree(drawn: list[Target], at: int, by: list[str]) -> None:
    vector = {labels: value for labels, (_, value) in reference.newest(drawn, at).items()}
    storage = Frames(drawn, hints=True)
    for operator, function in reference.AGGREGATIONS.items():
        found = instant(storage, f"{operator} by ({', '.join(by)}) (m_total)", at)
        assert reference.same(found, reference.aggregated(function, vector, by)), operator


@QUICK
@given(drawn=targets(), at=AT, count=st.integers(1, 4), largest=st.booleans())
def test_topk_keeps_the_best_of_each_group(drawn: list[Target], at: int, count: int, largest: bool) -> None:
    operator = "topk" if largest else "bottomk"
    found = instant(memory(drawn), f"{operator} by (group) ({count}, m_total)", at)
    vector = {labels: value for labels, (_, value) in reference.newest(drawn, at).items()}
    for group in "ab":
        members = [value for labels, value in vector.items() if dict(labels)["group"] == group]
        kept = [value for labels, value in found.items() if dict(labels)["group"] == group]
        ranked = sorted(members, key=lambda value: (math.isnan(value), -value if largest else value))
        assert [repr(value) for value in kept] == [repr(value) for value in ranked[:count]]
    assert all(reference.close(value, vector[labels]) for labels, value in found.items())


ONE_BY_ONE: dict[str, Callable[[float, float], float | None]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    ">": lambda a, b: a if a > b else None,
    "<=": lambda a, b: a if a <= b else None,
    "!=": lambda a, b: a if a != b else None,
    "== bool": lambda a, b: float(a == b),
}


@QUICK
@given(drawn=targets(), at=AT, back=st.integers(0, 100_000))
def test_operators_between_vectors_agree(drawn: list[Target], at: int, back: int) -> None:
    left = {labels: value for labels, (_, value) in reference.newest(drawn, at).items()}
    right = {labels: value for labels, (_, value) in reference.newest(drawn, at - back).items()}
    storage = Frames(drawn, hints=True)
    for operator, function in ONE_BY_ONE.items():
        expected: dict[Labels, float] = {}
        for labels in left.keys() & right.keys():
            value = function(left[labels], right[labels])
            if value is not None:
                keeps_name = operator in (">", "<=", "!=")
                expected[labels if keeps_name else reference.without_name(labels)] = value
        found = instant(storage, f"m_total {operator} m_total offset {back}ms", at)
        assert reference.same(found, expected), operator


@QUICK
@given(drawn=targets(), at=AT, back=st.integers(0, 100_000), limit=st.integers(-5, 50))
def test_set_operators_agree(drawn: list[Target], at: int, back: int, limit: int) -> None:
    left = {labels: value for labels, (_, value) in reference.newest(drawn, at).items()}
    right = {
        labels: value for labels, (_, value) in reference.newest(drawn, at - back).items() if value > limit
    }
    query = f"m_total {{}} (m_total offset {back}ms > {limit})"
    storage = Frames(drawn, hints=True)
    both = {labels: value for labels, value in left.items() if labels in right}
    assert reference.same(instant(storage, query.format("and"), at), both)
    only = {labels: value for labels, value in left.items() if labels not in right}
    assert reference.same(instant(storage, query.format("unless"), at), only)
    assert reference.same(instant(storage, query.format("or"), at), {**right, **left})


QUERIES = [
    "m_total",
    "rate(m_total[1m])",
    "irate(m_total[45s])",
    "sum by (group) (rate(m_total[1m]))",
    "max_over_time(m_total[50s])",
    "stddev_over_time(m_total[50s])",
    "avg by (target) (m_total)",
    "topk by (group) (1, m_total)",
    "quantile by (group) (0.3, m_total)",
    "count_values('v', m_total)",
    "m_total > 10",
    "m_total > bool 10",
    "m_total - m_total offset 30s",
    "m_total / on (target, n) group_left sum by (target, n) (m_total offset 20s)",
    "m_total > 20 or -m_total",
    "(m_total > 20) and (m_total offset 1m > 5)",
    "m_total unless (m_total offset 30s < 20)",
    "absent(m_total > 30)",
    "absent_over_time(m_total[20s])",
    "scalar(m_total{n='0',target='0'})",
    "vector(time())",
    "predict_linear(m_total[90s], 60)",
    "clamp_max(m_total, scalar(count(m_total)))",
    "max_over_time(rate(m_total[1m])[2m:20s])",
    "sum_over_time(m_total[1m:7s] offset 10s)",
    "label_replace(m_total, 'x', '$1', 'group', '(.).*')",
    "timestamp(m_total)",
    "hour() + minute()",
    "m_total @ 100",
    "rate(m_total[1m] @ end()) + rate(m_total[1m])",
]


@settings(max_examples=40, deadline=None)
@given(
    drawn=targets(finite=True),
    start=st.integers(0, 300_000),
    step=st.sampled_from([1, 7_001, 15_000, 60_000]),
    steps=st.integers(2, 6),
    data=st.data(),
)
def test_a_range_query_is_its_instant_queries(
    drawn: list[Target], start: int, step: int, steps: int, data: st.DataObject
) -> None:
    end = start + step * (steps - 1)
    engine = Engine(Frames(drawn, hints=data.draw(st.booleans())))
    for query in QUERIES:
        single = query.replace("end()", f"{end / 1000:.3f}")
        by_series = {
            series.labels: dict(series.points) for series in engine.range(query, start, end, step).series
        }
        for time in range(start, end + 1, step):
            at_once = {labels: points[time] for labels, points in by_series.items() if time in points}
            assert reference.same(engine.instant(single, time).values, at_once), (query, time)
