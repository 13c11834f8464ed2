"""Which evaluations cannot be asked of an engine of floats, by evidence alone.

Always true: a reason comes from what the script loads into the very windows that the expression reads,
from what it expects, or from the parser; never from a name, a file, or from how the evaluation went.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.conformance.script import Eval, Load
from watchkeeper.monitoring.labels import Labels, label_set, predicate
from watchkeeper.monitoring.promql.ast import (
    At,
    Expr,
    Matcher,
    MatrixSelector,
    Subquery,
    VectorSelector,
)
from watchkeeper.monitoring.promql.series_notation import Special

_CLASSIC_SUFFIXES = ("_bucket", "_sum", "_count")


class Beyond:
    """What was loaded that is not a float: which series, when, and what it is."""

    def __init__(self) -> None:
        self._marks: dict[Labels, list[tuple[int, str]]] = {}

    def note(self, load: Load) -> None:
        """Remembers the native histograms and start timestamps of ``load``."""
        for series in load.series:
            for position, value in enumerate(series.values):
                time_ms = position * load.step_ms
                if value is Special.HISTOGRAM:
                    self._mark(series.labels, time_ms, "native histograms")
                if series.start_timestamps:
                    self._mark(series.labels, time_ms, "start timestamps")
                if load.with_nhcb and isinstance(value, float) and (base := _base(series.labels)):
                    self._mark(base, time_ms, "native histograms")

    def _mark(self, labels: Labels, time_ms: int, what: str) -> None:
        self._marks.setdefault(labels, []).append((time_ms, what))

    def read_by(self, expr: Expr, command: Eval, lookback_ms: int) -> str | None:
        """What ``expr`` reads that is not a float, if anything."""
        if not self._marks:
            return None
        for matchers, low, high in _windows(expr, (command.start_ms, command.end_ms), lookback_ms):
            for labels, marks in self._marks.items():
                values = dict(labels)
                if all(predicate(matcher)(values.get(matcher.name, "")) for matcher in matchers):
                    for time_ms, what in marks:
                        if low < time_ms <= high:
                            return what
        return None


def expects_histograms(command: Eval) -> bool:
    """Is a native histogram among the expected values?"""
    return any(Special.HISTOGRAM in values for values in command.series.values())


def _base(labels: Labels) -> Labels | None:
    """The name under which a classic histogram's series becomes a native one, None if it is not one."""
    values = dict(labels)
    name = values.get("__name__", "")
    for suffix in _CLASSIC_SUFFIXES:
        if name.endswith(suffix):
            values["__name__"] = name.removesuffix(suffix)
            values.pop("le", None)
            return label_set(values.items())
    return None


def _windows(
    expr: Expr, query: tuple[int, int], lookback_ms: int
) -> Iterator[tuple[tuple[Matcher, ...], int, int]]:
    """The matchers of every selector with the time, left-open, from which it reads."""
    pending: list[tuple[Expr, int, int]] = [(expr, *query)]
    while pending:
        node, low, high = pending.pop()
        if isinstance(node, VectorSelector):
            low, high = _shift(node.at, node.offset_ms, (low, high), query)
            yield node.matchers, low - lookback_ms, high
        elif isinstance(node, MatrixSelector):
            low, high = _shift(node.selector.at, node.selector.offset_ms, (low, high), query)
            yield node.selector.matchers, low - node.range_ms, high
        elif isinstance(node, Subquery):
            low, high = _shift(node.at, node.offset_ms, (low, high), query)
            pending.append((node.expr, low - node.range_ms, high))
        else:
            pending += [(child, low, high) for child in _children(node)]


def _shift(at: At, offset_ms: int, window: tuple[int, int], query: tuple[int, int]) -> tuple[int, int]:
    if at == "start":
        window = (query[0], query[0])
    elif at == "end":
        window = (query[1], query[1])
    elif at is not None:
        window = (int(at), int(at))
    return window[0] - offset_ms, window[1] - offset_ms


def _children(node: Expr) -> list[Expr]:
    children: list[Expr] = []
    for name in ("expr", "lhs", "rhs", "param"):
        child = getattr(node, name, None)
        if isinstance(child, Expr):
            children.append(child)
    return children + list(getattr(node, "args", ()))
