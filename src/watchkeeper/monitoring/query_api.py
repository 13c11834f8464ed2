"""What Prometheus' HTTP API answers about samples: each question's ``data`` as a JSON text.

Always true: an answer is bounded (samples read, points, bytes, time), and one that would not be is an error
that says so (tests/monitoring/test_query_api.py).
Source: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from watchkeeper.monitoring.labels import Labels
from watchkeeper.monitoring.promql.ast import Expr, Matcher, PromQLError, ValueType, VectorSelector
from watchkeeper.monitoring.promql.engine import Engine
from watchkeeper.monitoring.promql.parser import parse
from watchkeeper.monitoring.promql.result import EvaluationError, Result
from watchkeeper.monitoring.promql.result import Series as ResultSeries
from watchkeeper.monitoring.wire_format import (
    TimeTexts,
    format_scalar,
    format_time,
    labels_json,
    point_json,
    points_json,
)

MAX_BYTES = 48 << 20
"""Of one answer: more than any screen shows, and little enough to be held in memory a few times."""
_CHUNK = 10_000
Data = tuple[bytes, Sequence[str]]
"""A JSON document, and the warnings that go with it."""


class QueryError(Exception):
    """A question that has no answer; ``kind`` is Prometheus' errorType."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Deadline:
    """Ends what takes too long or grows too large; :meth:`check` is called again and again on the way."""

    def __init__(self, expired: Callable[[], bool]) -> None:
        self.expired = expired
        self._bytes = 0

    def check(self, grown_bytes: int = 0) -> None:
        """Raises :class:`QueryError` when time is up or the answer, ``grown_bytes`` larger, is too large."""
        self._bytes += grown_bytes
        if self._bytes > MAX_BYTES:
            raise QueryError(
                "execution",
                f"the answer is larger than {MAX_BYTES >> 20} MiB: select fewer series, a shorter time or a "
                "longer step, or set a limit",
            )
        if self.expired():
            raise QueryError("timeout", "the query took too long")

    def joined(self, rows: Iterable[str]) -> bytes:
        """``rows`` with commas between them, checked as they come."""
        pieces: list[bytes] = []
        batch: list[str] = []
        length = 0
        for row in rows:
            batch.append(row)
            length += len(row) + 1
            if length >= _CHUNK:
                pieces.append(",".join(batch).encode())
                self.check(length)
                batch, length = [], 0
        if batch:
            pieces.append(",".join(batch).encode())
            self.check(length)
        return b",".join(pieces)


class Series(Protocol):
    """What is asked about series, whoever stores them."""

    def series(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Labels]: ...

    def label_names(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]: ...

    def label_values(
        self, name: str, matchers: Sequence[Matcher], start_ms: int, end_ms: int
    ) -> list[str]: ...


def instant(engine: Engine, asked: dict[str, Any], deadline: Deadline) -> Data:
    """``query``: an expression at one time."""
    result = _evaluate(lambda: engine.instant(asked["query"], asked["time_ms"], expired=deadline.expired))
    series = result.series[: asked["limit"] or None]
    warnings = _warnings(result, len(series))
    if result.type is ValueType.STRING:
        time = format_time(asked["time_ms"])
        text = json.dumps(result.string)
        return f'{{"resultType":"string","result":[{time},{text}]}}'.encode(), warnings
    if result.type is ValueType.SCALAR:
        at, value = result.series[0].points[-1]
        point = f'[{format_time(at)},"{format_scalar(value)}"]'
        return f'{{"resultType":"scalar","result":{point}}}'.encode(), warnings
    if result.type is ValueType.MATRIX:
        return _matrix(series, deadline), warnings
    rows = deadline.joined(
        f'{{"metric":{labels_json(one.labels)},"value":{point_json(one.points[-1])}}}' for one in series
    )
    return b'{"resultType":"vector","result":[' + rows + b"]}", warnings


def over_range(engine: Engine, asked: dict[str, Any], deadline: Deadline) -> Data:
    """``query_range``: an expression at every step from start to end."""
    expr = _parsed(asked["query"])
    if expr.type not in (ValueType.VECTOR, ValueType.SCALAR):
        kind = "range vector" if expr.type is ValueType.MATRIX else str(expr.type)
        raise QueryError(
            "bad_data",
            f'invalid parameter "query": invalid expression type "{kind}" for range query, '
            "must be Scalar or instant Vector",
        )
    result = _evaluate(
        lambda: engine.range(
            asked["query"], asked["start_ms"], asked["end_ms"], asked["step_ms"], expired=deadline.expired
        )
    )
    series = result.series[: asked["limit"] or None]
    return _matrix(series, deadline), _warnings(result, len(series))


def _matrix(series: Sequence[ResultSeries], deadline: Deadline) -> bytes:
    times = TimeTexts()
    rows = deadline.joined(
        f'{{"metric":{labels_json(one.labels)},"values":[{points_json(one.points, times)}]}}'
        for one in series
    )
    return b'{"resultType":"matrix","result":[' + rows + b"]}"


def _parsed(query: str) -> Expr:
    try:
        return parse(query)
    except PromQLError as error:
        raise _unreadable("query", error) from None


def _unreadable(parameter: str, error: PromQLError) -> QueryError:
    place = f"1:{error.start + 1}"
    return QueryError("bad_data", f'invalid parameter "{parameter}": {place}: parse error: {error.message}')


def _evaluate(evaluation: Callable[[], Result]) -> Result:
    try:
        return evaluation()
    except PromQLError as error:
        raise _unreadable("query", error) from None
    except EvaluationError as error:
        raise QueryError("execution", str(error)) from None


def _warnings(result: Result, shown: int) -> list[str]:
    more = ["results truncated due to limit"] if shown < len(result.series) else []
    return [*result.annotations, *more]


def series(store: Series, asked: dict[str, Any], deadline: Deadline) -> Data:
    """``series``: the label sets of all series that one of the selectors matches."""
    found: dict[Labels, None] = {}
    for matchers in _selectors(asked["match"]):
        found.update(dict.fromkeys(store.series(matchers, asked["start_ms"], asked["end_ms"])))
        deadline.check()
    rows, warnings = _limited(sorted(found), asked["limit"])
    return b"[" + deadline.joined(map(labels_json, rows)) + b"]", warnings


def label_names(store: Series, asked: dict[str, Any], deadline: Deadline) -> Data:
    """``labels``: every label name, of all series or of those that a selector matches."""

    def read(matchers: Sequence[Matcher]) -> Iterable[str]:
        return store.label_names(matchers, asked["start_ms"], asked["end_ms"])

    return _names(asked, read, deadline)


def label_values(store: Series, asked: dict[str, Any], deadline: Deadline) -> Data:
    """``label/<name>/values``: every value of one label."""
    name = asked["name"]

    def read(matchers: Sequence[Matcher]) -> Iterable[str]:
        return store.label_values(name, matchers, asked["start_ms"], asked["end_ms"])

    return _names(asked, read, deadline)


def _names(
    asked: dict[str, Any], read: Callable[[Sequence[Matcher]], Iterable[str]], deadline: Deadline
) -> Data:
    selectors: Sequence[Sequence[Matcher]] = _selectors(asked["match"]) or [()]
    found: set[str] = set()
    for matchers in selectors:
        found.update(read(matchers))
        deadline.check()
    rows, warnings = _limited(sorted(found), asked["limit"])
    return b"[" + deadline.joined(map(json.dumps, rows)) + b"]", warnings


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
            raise _unreadable("match[]", error) from None
        if not isinstance(expr, VectorSelector):
            raise QueryError("bad_data", f'invalid parameter "match[]": {text!r} is no series selector')
        matchers.append(expr.matchers)
    return matchers
