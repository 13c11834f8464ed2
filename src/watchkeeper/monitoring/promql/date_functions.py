"""``minute``, ``hour``, ``day_of_week``...: the values are Unix times in seconds, the answers are in UTC.

Always true: a value that is not a finite number has no date, and gives NaN.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from watchkeeper.monitoring.promql.ast import Call
from watchkeeper.monitoring.promql.evaluation import Evaluation, VectorNode
from watchkeeper.monitoring.promql.vector import Grid, Vector
from watchkeeper.monitoring.samples.frame import Floats

Seconds = npt.NDArray[np.int64]
_DAY = 86_400
_LIMIT = 2.0**53


def _count(seconds: Seconds, unit: str) -> Seconds:
    """How many whole ``unit`` from the epoch to each time."""
    count: Seconds = seconds.astype("datetime64[s]").astype(f"datetime64[{unit}]").astype(np.int64)
    return count


def _first(seconds: Seconds, of: str, unit: str, later: int = 0) -> Seconds:
    """The number of the first ``unit`` in the time's ``of`` (or in the one ``later`` after it)."""
    begin = (_count(seconds, of) + later).astype(f"datetime64[{of}]")
    first: Seconds = begin.astype(f"datetime64[{unit}]").astype(np.int64)
    return first


_PARTS: dict[str, Callable[[Seconds], Seconds]] = {
    "minute": lambda seconds: seconds // 60 % 60,
    "hour": lambda seconds: seconds // 3600 % 24,
    "day_of_week": lambda seconds: (seconds // _DAY + 4) % 7,  # 1970-01-01 was a Thursday; Sunday is 0
    "day_of_month": lambda seconds: _count(seconds, "D") - _first(seconds, "M", "D") + 1,
    "day_of_year": lambda seconds: _count(seconds, "D") - _first(seconds, "Y", "D") + 1,
    "days_in_month": lambda seconds: _first(seconds, "M", "D", 1) - _first(seconds, "M", "D"),
    "month": lambda seconds: _count(seconds, "M") - _first(seconds, "Y", "M") + 1,
    "year": lambda seconds: _count(seconds, "Y") + 1970,
}
DATE_FUNCTIONS = frozenset(_PARTS)


class DatePart(VectorNode):
    """One of the date functions; without an argument, of the time of the evaluation."""

    def __init__(self, expr: Call, argument: VectorNode | None) -> None:
        super().__init__(expr, *(() if argument is None else (argument,)))
        self._argument = argument
        self._part = _PARTS[expr.func]
        self.invariant = False

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        if self._argument is None:
            derived = evaluation.workspace.derived
            ref = np.array([derived.intern(())], np.int64)
            return Vector(derived, ref, self._of(grid.times()[:, None] / 1000))
        vector = evaluation.vector(self._argument, grid)
        return vector.with_values(self._of(vector.values))

    def _of(self, values: Floats) -> Floats:
        known = np.abs(values) < _LIMIT  # False for NaN
        seconds = np.where(known, values, 0.0).astype(np.int64)
        return np.where(known, self._part(seconds), np.nan)
