"""Asks the role ``watch`` for series over time, never for more than a screen shows.

Always true: at most 300 steps and a bounded number of series are asked for, at round times, so that whoever
asks twice within a step gets the same answer (tests/console/test_ranges.py).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from watchkeeper.app.wire import WireError
from watchkeeper.console.axes import query_step
from watchkeeper.console.charts import MAX_POINTS, Line
from watchkeeper.console.roles import Roles
from watchkeeper.store.clock import to_ms

TIMEOUT_MS = 10_000
MAX_SERIES = 100


class NoAnswerError(Exception):
    """The question has no answer; the message says why, to people. ``kind`` is Prometheus' errorType."""

    def __init__(self, message: str, kind: str = "unavailable") -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its labels, and a value for each time of the range."""

    labels: Mapping[str, str]
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """What came back. ``more``: there are series that did not come."""

    times_ms: tuple[int, ...]
    series: tuple[Series, ...]
    more: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, and how far apart; both ends are multiples of the step."""

    start_ms: int
    end_ms: int
    step_ms: int

    @classmethod
    def around(cls, start: datetime, end: datetime, step: timedelta | None = None) -> Span:
        """From ``start`` to ``end`` in at most 300 steps; ``step`` where it is long enough for that."""
        least = query_step(end - start, MAX_POINTS - 1)
        wide = max(step, (end - start) / (MAX_POINTS - 1)) if step else least
        step_ms = max(1, math.ceil(wide / timedelta(milliseconds=1)))
        end_ms = to_ms(end) // step_ms * step_ms
        steps = max(1, (end_ms - to_ms(start)) // step_ms)
        return cls(end_ms - steps * step_ms, end_ms, step_ms)

    @property
    def times_ms(self) -> tuple[int, ...]:
        """Every time that is asked about."""
        return tuple(range(self.start_ms, self.end_ms + 1, self.step_ms))


async def ask_range(roles: Roles, query: str, span: Span, limit: int = MAX_SERIES) -> Range:
    """``query`` over ``span``; at most ``limit`` series. Raises :class:`NoAnswerError`."""
    asked = {
        "query": query,
        "start_ms": span.start_ms,
        "end_ms": span.end_ms,
        "step_ms": span.step_ms,
        "limit": limit + 1,
    }
    said = await ask(roles, "query_range", asked)
    rows = said["data"]["result"]
    times = span.times_ms
    series = tuple(
        Series(row.get("metric", {}), _on_grid(row.get("values", ()), span, len(times)))
        for row in rows[:limit]
    )
    return Range(times, series, len(rows) > limit, warnings(said))


async def ask(roles: Roles, question: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Prometheus' envelope of an answer. Raises :class:`NoAnswerError`."""
    try:
        body = await roles.watch(question, {**asked, "timeout_ms": TIMEOUT_MS}, TIMEOUT_MS / 1000 + 1)
    except WireError as error:
        raise NoAnswerError(str(error), error.kind) from None
    found: dict[str, Any] = json.loads(body)
    return found


def warnings(said: Mapping[str, Any]) -> tuple[str, ...]:
    """What the engine remarks, without what the page says itself."""
    found = (*said.get("warnings", ()), *said.get("infos", ()))
    return tuple(str(text) for text in found if text != "results truncated due to limit")


def _on_grid(points: Any, span: Span, count: int) -> tuple[float | None, ...]:
    values: list[float | None] = [None] * count
    for at, text in points:
        place = round((float(at) * 1000 - span.start_ms) / span.step_ms)
        if 0 <= place < count:
            value = float(text)
            values[place] = None if math.isnan(value) else value
    return tuple(values)


def name_of(labels: Mapping[str, str], without: Mapping[str, str] | None = None) -> str:
    """A series in words: its metric's name, and the labels in which it differs from the others."""
    shared = without or {}
    rest = [f"{k}={v}" for k, v in sorted(labels.items()) if k != "__name__" and shared.get(k) != v]
    metric = labels.get("__name__", "") if shared.get("__name__") != labels.get("__name__") else ""
    return " ".join(part for part in (metric, *rest) if part)


def lines_of(found: Range) -> tuple[Line, ...]:
    """The series as lines, each by what sets it apart."""
    sets = [one.labels.items() for one in found.series]
    shared = dict(set(sets[0]).intersection(*sets[1:])) if len(sets) > 1 else {}
    return tuple(Line(name_of(one.labels, shared), one.values) for one in found.series)
