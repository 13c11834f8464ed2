"""What is asked about samples, answered as Prometheus writes it, and only so far as it stays bounded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from watchkeeper.app.embedded import query_engine
from watchkeeper.monitoring import query_api
from watchkeeper.monitoring.labels import Labels, label_set
from watchkeeper.monitoring.promql.engine import Engine
from watchkeeper.monitoring.query_api import Deadline, QueryError
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.store.clock import ManualClock, to_ms

START = datetime(2026, 1, 5, tzinfo=UTC)
T0 = to_ms(START)


def never() -> bool:
    """Nothing expires."""
    return False


@pytest.fixture
def samples(tmp_path: Path) -> Iterator[SampleStore]:
    """Three series, sampled at 0, 15 and 30 s."""
    clock = ManualClock(START)
    store = SampleStore.open(tmp_path, clock=clock, threads=False)
    group = store.group("t")
    columns = group.columns([series("x", a="1"), series("x", a="<2>\n"), series("y", b="ü")])
    for step in range(3):
        group.append(T0 + 15_000 * step, columns, np.array([step, step + 0.5, -1.0]))
        clock.advance(15)
    yield store
    store.close()


@pytest.fixture
def engine(samples: SampleStore) -> Engine:
    return query_engine(samples, timedelta(seconds=15))


def series(name: str, **labels: str) -> Labels:
    return label_set([("__name__", name), *labels.items()])


def instant(
    engine: Engine, query: str, *, at_ms: int = T0 + 30_000, limit: int = 0
) -> tuple[Any, Sequence[str]]:
    asked = {"query": query, "time_ms": at_ms, "limit": limit}
    data, warnings = query_api.instant(engine, asked, Deadline(never))
    return json.loads(data), warnings


def over_range(engine: Engine, query: str, limit: int = 0, expired: Callable[[], bool] = never) -> Any:
    asked = {"query": query, "start_ms": T0, "end_ms": T0 + 30_000, "step_ms": 15_000, "limit": limit}
    data, _ = query_api.over_range(engine, asked, Deadline(expired))
    return json.loads(data)


def test_each_type_of_result_has_prometheus_form(engine: Engine) -> None:
    seconds = T0 / 1000 + 30
    assert instant(engine, "y")[0] == {
        "resultType": "vector",
        "result": [{"metric": {"__name__": "y", "b": "ü"}, "value": [seconds, "-1"]}],
    }
    assert instant(engine, "1e21")[0] == {"resultType": "scalar", "result": [seconds, "1" + 21 * "0"]}
    assert instant(engine, '"a\\"<b>"')[0] == {"resultType": "string", "result": [seconds, 'a"<b>']}
    (row,) = instant(engine, "y[20s]")[0]["result"]
    assert row["values"] == [[T0 / 1000 + 15, "-1"], [T0 / 1000 + 30, "-1"]]
    assert instant(engine, "nothing")[0] == {"resultType": "vector", "result": []}


def test_a_string_before_1970_keeps_its_time(engine: Engine) -> None:
    assert instant(engine, '"a"', at_ms=-1500)[0]["result"] == [-1.5, "a"]
    assert instant(engine, "1", at_ms=-1500)[0]["result"] == [-1.5, "1"]


def test_labels_of_any_kind_come_back_as_they_are(engine: Engine) -> None:
    rows = instant(engine, "x")[0]["result"]
    assert [row["metric"]["a"] for row in rows] == ["1", "<2>\n"]


def test_a_range_has_a_point_for_each_step(engine: Engine) -> None:
    first, second = over_range(engine, "x")["result"]
    assert first["values"] == [[T0 / 1000, "0"], [T0 / 1000 + 15, "1"], [T0 / 1000 + 30, "2"]]
    assert [value for _, value in second["values"]] == ["0.5", "1.5", "2.5"]


def test_a_limit_cuts_the_series_and_says_so(engine: Engine) -> None:
    data, warnings = instant(engine, "x", limit=1)
    assert (len(data["result"]), warnings) == (1, ["results truncated due to limit"])
    assert instant(engine, "x", limit=2)[1] == []
    assert len(over_range(engine, "x", limit=1)["result"]) == 1


@pytest.mark.parametrize(
    ("query", "kind", "says"),
    [
        ("sum(", "bad_data", 'invalid parameter "query": 1:'),
        ("", "bad_data", "parse error"),
        ("x[5m", "bad_data", "parse error"),
        ('label_replace(x, "a", "b", "c", "(")', "execution", "("),
    ],
)
def test_a_query_that_cannot_be_answered_says_why(engine: Engine, query: str, kind: str, says: str) -> None:
    for ask in (instant, over_range):
        with pytest.raises(QueryError) as refused:
            ask(engine, query)
        assert refused.value.kind == kind
        assert says in str(refused.value)


def test_a_range_needs_an_instant_vector_or_a_scalar(engine: Engine) -> None:
    for query in ("x[1m]", '"text"'):
        with pytest.raises(QueryError, match="must be Scalar or instant Vector") as refused:
            over_range(engine, query)
        assert refused.value.kind == "bad_data"


def test_what_expires_while_it_is_written_is_cut(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_api, "_CHUNK", 1)
    left = iter([False] * 1000)
    calls = 0

    def expired() -> bool:
        nonlocal calls
        calls += 1
        return next(left, True)

    over_range(engine, "x", expired=expired)
    left = iter([False] * (calls - 1))  # all of the evaluation, and all but the last row
    with pytest.raises(QueryError, match="too long") as cut:
        over_range(engine, "x", expired=expired)
    assert cut.value.kind == "timeout"


def test_an_answer_that_is_too_large_is_an_error(
    engine: Engine, samples: SampleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_api, "MAX_BYTES", 60)
    with pytest.raises(QueryError, match="larger than") as refused:
        over_range(engine, "x")
    assert refused.value.kind == "execution"
    asked = {"match": ['{__name__!=""}'], "start_ms": T0, "end_ms": T0 + 60_000, "limit": 0}
    with pytest.raises(QueryError, match="larger than"):
        query_api.series(samples, asked, Deadline(never))


# -- series and labels --------------------------------------------------------------------------


def listed(
    read: Callable[[query_api.Series, dict[str, Any], Deadline], query_api.Data],
    samples: SampleStore,
    *match: str,
    limit: int = 0,
    **more: Any,
) -> tuple[Any, Sequence[str]]:
    asked = {"match": match, "start_ms": T0, "end_ms": T0 + 60_000, "limit": limit, **more}
    data, warnings = read(samples, asked, Deadline(never))
    return json.loads(data), warnings


def test_series_that_several_selectors_match_are_told_once(samples: SampleStore) -> None:
    found, _ = listed(query_api.series, samples, "x", 'x{a="1"}', "y")
    assert [row["__name__"] for row in found] == ["x", "x", "y"]
    assert listed(query_api.series, samples, "nothing")[0] == []
    found, warnings = listed(query_api.series, samples, "x", "y", limit=2)
    assert (len(found), warnings) == (2, ["results truncated due to limit"])


def test_names_and_values_are_sorted_and_may_be_of_some_series_only(samples: SampleStore) -> None:
    assert listed(query_api.label_names, samples)[0] == ["__name__", "a", "b"]
    assert listed(query_api.label_names, samples, "y")[0] == ["__name__", "b"]
    assert listed(query_api.label_values, samples, name="a")[0] == ["1", "<2>\n"]
    assert listed(query_api.label_values, samples, "y", "x", name="__name__")[0] == ["x", "y"]
    assert listed(query_api.label_values, samples, "y", name="a")[0] == []
    assert listed(query_api.label_values, samples, name="a", limit=1)[1]


@pytest.mark.parametrize(
    ("match", "says"),
    [
        ("sum(x)", "no series selector"),
        ("x[5m]", "no series selector"),
        ("{", "parse error"),
        ("{}", "parse error"),
    ],
)
def test_what_is_no_selector_is_refused(samples: SampleStore, match: str, says: str) -> None:
    with pytest.raises(QueryError, match=says) as refused:
        listed(query_api.series, samples, match)
    assert refused.value.kind == "bad_data"


def test_a_search_that_takes_too_long_ends_between_selectors(samples: SampleStore) -> None:
    asked = {"match": ["x", "y"], "start_ms": T0, "end_ms": T0 + 60_000, "limit": 0}
    for read in (query_api.series, query_api.label_names):
        with pytest.raises(QueryError) as cut:
            read(samples, asked, Deadline(lambda: True))
        assert cut.value.kind == "timeout"
