"""Plans, cycles, limits, and what the engine remembers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest

from tests.monitoring.promql.samples import MINUTE, Target, bare, loaded, memory, name
from watchkeeper.monitoring.promql import engine as engine_module
from watchkeeper.monitoring.promql.ast import Matcher, PromQLError, ValueType
from watchkeeper.monitoring.promql.engine import Engine, required_range_ms
from watchkeeper.monitoring.promql.parser import parse
from watchkeeper.monitoring.promql.result import EvaluationError
from watchkeeper.monitoring.samples.frame import Selection
from watchkeeper.monitoring.samples.memory import MemoryStorage


class Watched:
    """A storage that remembers what it was asked for."""

    def __init__(self, inner: MemoryStorage) -> None:
        self._inner = inner
        self.asked: list[tuple[str, int, int]] = []

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        self.asked.append((",".join(map(str, matchers)), start_ms, end_ms))
        return self._inner.select(matchers, start_ms, end_ms)


@pytest.fixture
def storage() -> MemoryStorage:
    return loaded(
        10_000, {name("m_total", n=str(n)): [float(i * (n + 1)) for i in range(100)] for n in range(3)}
    )


def test_the_type_of_a_result_is_that_of_the_expression(storage: MemoryStorage) -> None:
    engine = Engine(storage)
    assert engine.instant("m_total", 0).type is ValueType.VECTOR
    assert engine.instant("m_total[1m]", 0).type is ValueType.MATRIX
    assert engine.instant("m_total[1m:10s]", 0).type is ValueType.MATRIX
    assert engine.instant("1 + 1", 0).scalar == 2.0
    assert engine.instant('("text")', 0).string == "text"
    assert engine.range("1 + 1", 0, 10_000, 10_000).series[0].points == [(0, 2.0), (10_000, 2.0)]


def test_series_come_sorted_by_labels(storage: MemoryStorage) -> None:
    for result in (
        Engine(storage).instant("m_total * -1", 0),
        Engine(storage).range("m_total * -1", 0, 1, 1),
    ):
        assert [series.labels for series in result.series] == [bare(n=str(n)) for n in range(3)]


def test_a_plan_gives_at_each_time_what_the_query_gives(storage: MemoryStorage) -> None:
    engine = Engine(storage)
    query = "sum(rate(m_total[1m])) / scalar(count(m_total)) + on () vector(time())"
    plan = engine.prepare(query)
    for at in (0, 300_000, 990_000, 2_000_000):
        with engine.cycle(at) as cycle:
            assert cycle.evaluate(plan) == engine.instant(query, at)


def test_plans_of_a_cycle_share_what_they_have_in_common(storage: MemoryStorage) -> None:
    watched = Watched(storage)
    engine = Engine(watched)
    plans = [
        engine.prepare(text)
        for text in (
            "sum(rate(m_total[5m])) > 1",
            "sum( rate( m_total[5m] ) ) > 2",
            "max(rate(m_total[2m]))",
            'm_total{n="1"}',
        )
    ]
    with engine.cycle(900_000) as cycle:
        results = [cycle.evaluate(plan) for plan in plans]
    assert [len(result.series) for result in results] == [0, 0, 1, 1]
    assert len(watched.asked) == 2  # 2m lies within 5m, and the fourth is another selector


def test_annotations_are_placed_in_the_text_of_each_plan() -> None:
    engine = Engine(loaded(10_000, {name("gauge"): [1.0, 2.0, 3.0]}))
    plans = [engine.prepare(text) for text in ("rate(gauge[1m]) > 0", "1 + \n  rate(gauge[1m])")]
    with engine.cycle(20_000) as cycle:
        places = [cycle.evaluate(plan).infos[0].rsplit(" ", 1)[1] for plan in plans]
    assert places == ["(1:6)", "(2:8)"]


def test_a_failing_plan_leaves_the_others_alone(storage: MemoryStorage) -> None:
    engine = Engine(storage)
    good = engine.prepare("count(m_total * 2)")
    bad = engine.prepare("m_total * 2 + on () m_total * 2")
    with engine.cycle(0) as cycle:
        with pytest.raises(EvaluationError):
            cycle.evaluate(bad)
        assert cycle.evaluate(good).values == {(): 3.0}
        assert cycle.evaluate(good).annotations == ()


def test_queries_that_cannot_be_read_are_refused_before_they_run(storage: MemoryStorage) -> None:
    with pytest.raises(PromQLError):
        Engine(storage).prepare("sum(")
    with pytest.raises(EvaluationError):
        Engine(storage).prepare('label_replace(m_total, "a", "b", "c", "(")')


def test_a_range_query_of_a_range_is_refused(storage: MemoryStorage) -> None:
    message = 'invalid expression type "range vector" for range query, must be Scalar or instant Vector'
    with pytest.raises(EvaluationError, match=message):
        Engine(storage).range("m_total[1m]", 0, 10_000, 10_000)


@pytest.mark.parametrize(
    ("query", "steps"),
    [
        ("m_total", 1000),
        ("rate(m_total[1m])", 1000),
        ("quantile_over_time(0.5, m_total[15m])", 100),
        ("max_over_time(m_total[1h:1s])", 2),
        ("m_total @ 10", 1000),
    ],
)
def test_a_query_that_would_take_too_much_memory_is_refused(
    storage: MemoryStorage, query: str, steps: int
) -> None:
    engine = Engine(storage, max_samples=2_000)
    with pytest.raises(EvaluationError, match="query processing would load too many samples into memory"):
        engine.range(query, 900_000, 900_000 + (steps - 1) * 1_000, 1_000)
    assert len(engine.range("sum(m_total)", 0, 9_000, 1_000).series) == 1


def test_operands_that_are_done_with_do_not_count(storage: MemoryStorage) -> None:
    engine = Engine(storage, max_samples=400)
    deep = "m_total" + " + 1" * 50
    assert len(engine.range(deep, 0, 99_000, 1_000).series) == 3


def test_too_many_steps_and_too_many_points_are_refused(storage: MemoryStorage) -> None:
    engine = Engine(storage, max_points=100, max_result_points=150)
    with pytest.raises(EvaluationError, match="exceeded maximum resolution of 100 points per timeseries"):
        engine.range("1", 0, 100_000, 1_000)
    with pytest.raises(EvaluationError, match="the result would have 300 points"):
        engine.range("m_total", 0, 99_000, 1_000)
    with pytest.raises(EvaluationError, match="the result would have"):
        engine.instant("m_total[15m]", 900_000)
    assert len(engine.range("sum(m_total)", 0, 99_000, 1_000).series) == 1


@pytest.mark.parametrize(("start", "end", "step"), [(0, 10, 0), (0, 10, -1), (10, 0, 1)])
def test_a_range_that_is_none_is_refused(storage: MemoryStorage, start: int, end: int, step: int) -> None:
    with pytest.raises(EvaluationError):
        Engine(storage).range("m_total", start, end, step)


def test_an_evaluation_ends_at_its_deadline(storage: MemoryStorage) -> None:
    asked = 0

    def expired() -> bool:
        nonlocal asked
        asked += 1
        return asked > 2

    with pytest.raises(EvaluationError, match="query timed out in expression evaluation"):
        Engine(storage).instant("sum(m_total) + count(m_total) + max(m_total)", 0, expired=expired)
    assert asked == 3


def test_what_is_remembered_is_forgotten_when_the_series_are_long_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_module, "_DERIVED_AT_LEAST", 50)
    storage = MemoryStorage()
    engine = Engine(storage)
    plan = engine.prepare("sum by (n) (m_total) + sum by (n) (m_total)")
    most = 0
    for generation in range(60):
        at = generation * 10 * MINUTE
        for n in range(5):
            storage.add(name("m_total", n=f"{generation}-{n}"), [at], [1.0])
        with engine.cycle(at) as cycle:
            assert cycle.evaluate(plan).values == {bare(n=f"{generation}-{n}"): 2.0 for n in range(5)}
        most = max(most, len(engine._compiler.workspace.derived))
    assert most <= 60


def test_a_ref_that_comes_to_mean_another_series_is_not_mistaken_for_the_old_one() -> None:
    """The store releases dead label sets, and gives their refs to new ones."""
    storage = MemoryStorage()
    engine = Engine(storage)
    plans = [
        engine.prepare(text)
        for text in (
            "sum by (g) (m_bucket)",
            "histogram_quantile(0.5, m_bucket)",
            "m_bucket * on (g, le) group_left (x) m_bucket",
            'label_replace(m_bucket, "h", "$1", "g", "(.*)")',
            "m_bucket * 2 or m_bucket",
        )
    ]
    for generation in range(4):
        for le, count in (("1", 4.0), ("3", 8.0), ("+Inf", 8.0)):
            storage.add(name("m_bucket", g=str(generation), x=str(-generation), le=le), [0], [count])
        with engine.cycle(0) as cycle:
            for plan in plans:
                text = plan.text
                assert text is not None
                assert cycle.evaluate(plan).values == Engine(storage).instant(text, 0).values
        storage.labels.release(storage._series)
        storage._series.clear()
        storage._frames = None


@pytest.mark.parametrize(
    ("query", "reach"),
    [
        ("1 + time()", 0),
        ("up", 5 * MINUTE),
        ("up offset 10m", 15 * MINUTE),
        ("up offset -10m", 0),
        ("rate(a_total[15m])", 15 * MINUTE),
        ("rate(a_total[15m] offset 1h) / up", 75 * MINUTE),
        ("max_over_time(rate(a_total[5m])[1h:1m])", 65 * MINUTE),
        ("max_over_time(rate(a_total[5m] offset 2m)[1h:1m] offset 1d)", (24 * 60 + 67) * MINUTE),
        ("up @ 0", 0),
        ("up @ end()", 5 * MINUTE),
        ("max_over_time((up @ end())[1h:])", 5 * MINUTE),
        ('label_replace(a, "x", "y", "z", "") and topk(scalar(b offset 1h), c)', 65 * MINUTE),
    ],
)
def test_how_far_back_a_query_reads(query: str, reach: int) -> None:
    assert required_range_ms(query) == reach
    assert required_range_ms(parse(query)) == reach


@pytest.mark.parametrize(
    "query",
    ["up", "rate(up[7m])", "max_over_time(up[20m:1m] offset 3m)", "up offset 1h + up", "deriv(up[1m])"],
)
def test_no_sample_older_than_that_is_asked_for(query: str) -> None:
    watched = Watched(loaded(10_000, {name("up"): [1.0]}))
    at = 10_000_000
    Engine(watched).instant(query, at)
    assert min(start for _, start, _ in watched.asked) > at - required_range_ms(query)
    assert max(end for _, _, end in watched.asked) <= at


def test_a_steady_cycle_does_not_read_labels_again(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = [Target([0, 10_000], {name("m_total", n=str(n), g=str(n % 3)): [1.0, 2.0] for n in range(50)})]
    storage = memory(targets)
    engine = Engine(storage)
    plan = engine.prepare("sum by (g) (rate(m_total[1m])) / on (g) sum by (g) (m_total * 2)")
    with engine.cycle(10_000) as cycle:
        first = cycle.evaluate(plan)
    seen: list[str] = []
    decode = storage.labels.decode

    def watched(label: str, codes: Iterable[int]) -> list[str]:
        seen.append(label)
        return decode(label, codes)

    monkeypatch.setattr(storage.labels, "decode", watched)
    with engine.cycle(10_000) as cycle:
        assert cycle.evaluate(plan) == first
    assert seen == []


def test_results_do_not_share_memory_with_the_storage() -> None:
    times = np.array([0, 10_000], np.int64)
    values = np.array([1.0, 2.0])
    storage = MemoryStorage()
    storage.add(name("m"), times, values)
    values[:] = 9.0
    assert Engine(storage).instant("m", 10_000).values == {name("m"): 2.0}


@pytest.mark.parametrize(
    "query",
    [
        "abs(" * 120 + "m_total" + ")" * 120,
        "m_total" + " + 1" * 120,
        "m_total" + " or m_total" * 120,
        "max_over_time(" * 60 + "m_total" + "[1m:10s])" * 60,
    ],
)
def test_expressions_may_be_as_deep_as_the_parser_lets_them(storage: MemoryStorage, query: str) -> None:
    def from_deep_down(frames: int) -> int:
        return from_deep_down(frames - 1) if frames else len(Engine(storage).instant(query, 0).series)

    assert from_deep_down(100) == 3
