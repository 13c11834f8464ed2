"""What Prometheus' HTTP API answers about samples: each question's ``data`` as a JSON text.

Always true: an answer is bounded (samples read, points, time), and one that would not be says so instead.
Source: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from watchkeeper.monitoring.labels import Labels
from watchkeeper.monitoring.promql.ast import Matcher, PromQLError, ValueType, VectorSelector
from watchkeeper.monitoring.promql.engine import Engine
from watchkeeper.monitoring.promql.parser import parse
from watchkeeper.monitoring.promql.result import EvaluationError, Result
from watchkeeper.monitoring.wire_format import labels_json, matrix_json, point_json, vector_json

Data = tuple[str, Sequence[str]]
"""A JSON text, and the warnings that go with it."""


class QueryError(Exception):
    """A question that has no answer; ``kind`` is Prometheus' errorType."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Series(Protocol):
    """What is asked about series, whoever stores them."""

    def series(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Labels]: ...

    def label_names(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]: ...

    def label_values(
        self, name: str, matchers: Sequence[Matcher], start_ms: int, end_ms: int
    ) -> list[str]: ...


def instant(engine: Engine, asked: dict[str, Any], expired: Callable[[], bool]) -> Data:
    """``query``: an expression at one time."""
    result = _evaluate(lambda: engine.instant(asked["query"], asked["time_ms"], expired=expired))
    series = result.series[: asked["limit"] or None]
    warnings = _warnings(result, len(series))
    if result.type is ValueType.STRING:
        time = asked["time_ms"] / 1000
        return json.dumps({"resultType": "string", "result": [time, result.string]}), warnings
    if result.type is ValueType.SCALAR:
        point = point_json(result.series[0].points[-1])
        return f'{{"resultType":"scalar","result":{point}}}', warnings
    if result.type is ValueType.MATRIX:
        return matrix_json((one.labels, one.points) for one in series), warnings
    return vector_json((one.labels, one.points[-1]) for one in series), warnings


def over_range(engine: Engine, asked: dict[str, Any], expired: Callable[[], bool]) -> Data:
    """``query_range``: an expression at every step from start to end."""
    result = _evaluate(
        lambda: engine.range(
            asked["query"], asked["start_ms"], asked["end_ms"], asked["step_ms"], expired=expired
        )
    )
    series = result.series[: asked["limit"] or None]
    return matrix_json((one.labels, one.points) for one in series), _warnings(result, len(series))


def _evaluate(evaluation: Callable[[], Result]) -> Result:
    try:
        return evaluation()
    except PromQLError as error:
        place = f"1:{error.start + 1}"
        raise QueryError(
            "bad_data", f'invalid parameter "query": {place}: parse error: {error.message}'
        ) from None
    except EvaluationError as error:
        raise QueryError("execution", str(error)) from None


def _warnings(result: Result, shown: int) -> list[str]:
    more = ["results truncated due to limit"] if shown < len(result.series) else []
    return [*result.annotations, *more]


def series(store: Series, asked: dict[str, Any]) -> Data:
    """``series``: the label sets of all series that one of the selectors matches."""
    found: dict[Labels, None] = {}
    for matchers in _selectors(asked["match"]):
        found.update(dict.fromkeys(store.series(matchers, asked["start_ms"], asked["end_ms"])))
    rows, warnings = _limited(sorted(found), asked["limit"])
    return f"[{','.join(map(labels_json, rows))}]", warnings


def label_names(store: Series, asked: dict[str, Any]) -> Data:
    """``labels``: every label name, of all series or of those that a selector matches."""
    return _names(asked, lambda matchers: store.label_names(matchers, asked["start_ms"], asked["end_ms"]))


def label_values(store: Series, asked: dict[str, Any]) -> Data:
    """``label/<name>/values``: every value of one label."""
    name = asked["name"]
    return _names(
        asked, lambda matchers: store.label_values(name, matchers, asked["start_ms"], asked["end_ms"])
    )


def _names(asked: dict[str, Any], read: Callable[[Sequence[Matcher]], Iterable[str]]) -> Data:
    selectors: Sequence[Sequence[Matcher]] = _selectors(asked["match"]) or [()]
    found = sorted({name for matchers in selectors for name in read(matchers)})
    rows, warnings = _limited(found, asked["limit"])
    return json.dumps(rows), warnings


def _limited(rows: list[Any], limit: int) -> tuple[list[Any], list[str]]:
    if limit and len(rows) > limit:
        return rows[:limit], ["results truncated due to limit"]
    return rows, []


def _selectors(texts: Sequence[str]) -> list[Sequence[Matcher]]:
    matchers: list[Sequence[Matcher]] = []
    for text in texts:
        try:
            expr = parse(text)
        except PromQLError as error:
            place = f"1:{error.start + 1}"
            message = f'invalid parameter "match[]": {place}: parse error: {error.message}'
            raise QueryError("bad_data", message) from None
        if not isinstance(expr, VectorSelector):
            raise QueryError("bad_data", f'invalid parameter "match[]": {text!r} is no series selector')
        matchers.append(expr.matchers)
    return matchers
