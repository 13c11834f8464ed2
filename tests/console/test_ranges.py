"""Asking for series over time: never for more than a screen shows, always at round times."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.console.asgi import Answering
from watchkeeper.app.wire import WireError
from watchkeeper.console.charts import MAX_POINTS
from watchkeeper.console.ranges import NoAnswerError, Span, ask_range, lines_of, name_of

NOON = datetime.fromisoformat("2026-01-05T12:00:07+00:00")


@given(st.integers(1, 400 * 86400), st.one_of(st.none(), st.integers(1, 10**9)))
def test_however_fine_the_step_few_points_are_asked_for(seconds: int, step_ms: int | None) -> None:
    step = timedelta(milliseconds=step_ms) if step_ms else None
    span = Span.around(NOON - timedelta(seconds=seconds), NOON, step)
    assert 2 <= len(span.times_ms) <= MAX_POINTS + 1
    assert span.end_ms % span.step_ms == span.start_ms % span.step_ms == 0
    assert span.end_ms <= NOON.timestamp() * 1000


def answer(*rows: tuple[dict[str, str], list[list[object]]], **more: object) -> bytes:
    result = [{"metric": labels, "values": values} for labels, values in rows]
    return json.dumps(
        {"status": "success", "data": {"resultType": "matrix", "result": result}, **more}
    ).encode()


def test_values_stand_at_their_times_and_gaps_stay_gaps() -> None:
    span = Span.around(NOON - timedelta(minutes=5), NOON, timedelta(minutes=1))
    base = span.start_ms / 1000
    said = answer(({"a": "1"}, [[base, "1.5"], [base + 120, "NaN"], [base + 180, "+Inf"]]), warnings=["look"])
    found = asyncio.run(ask_range(Answering(query_range=said), "up", span))
    assert found.series[0].values == (1.5, None, None, float("inf"), None)
    assert found.warnings == ("look",)
    assert not found.more


def test_more_series_than_wanted_are_noticed() -> None:
    span = Span.around(NOON - timedelta(minutes=4), NOON)
    roles = Answering(query_range=answer(*(({"a": str(n)}, []) for n in range(3))))
    found = asyncio.run(ask_range(roles, "up", span, 2))
    assert len(found.series) == 2
    assert found.more
    assert roles.asked[0][1]["limit"] == 3


def test_a_role_that_does_not_answer_is_one_kind_of_error() -> None:
    span = Span.around(NOON - timedelta(minutes=4), NOON)
    with pytest.raises(NoAnswerError, match="is not running") as caught:
        asyncio.run(
            ask_range(Answering(query_range=WireError("it is not running", kind="timeout")), "up", span)
        )
    assert caught.value.kind == "timeout"


def test_lines_are_named_by_what_sets_them_apart() -> None:
    span = Span.around(NOON - timedelta(minutes=4), NOON)
    rows: list[tuple[dict[str, str], list[list[object]]]]
    rows = [({"__name__": "up", "env": "prod", "service": name}, []) for name in ("api", "web")]
    found = asyncio.run(ask_range(Answering(query_range=answer(*rows)), "up", span))
    assert [line.name for line in lines_of(found)] == ["service=api", "service=web"]
    assert name_of({"__name__": "up", "b": "2", "a": "1"}) == "up a=1 b=2"
