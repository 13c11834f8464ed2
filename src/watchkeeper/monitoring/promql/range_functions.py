"""The functions of a range vector, block by block.

Always true: a function sees only samples, never markers; all but ``last_over_time`` and
``first_over_time`` drop the metric name; ``rate`` and ``increase`` say when a series that they were given
does not look like a counter.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from watchkeeper.monitoring.labels import METRIC_NAME, Ints, LabelStore, Mask, RefMap
from watchkeeper.monitoring.promql import counters, over_time
from watchkeeper.monitoring.promql.annotations import invalid_quantile, possible_non_counter
from watchkeeper.monitoring.promql.ast import Call
from watchkeeper.monitoring.promql.evaluation import Evaluation, Node, ScalarNode, VectorNode
from watchkeeper.monitoring.promql.instant_functions import wanted_labels
from watchkeeper.monitoring.promql.selectors import RangeSource
from watchkeeper.monitoring.promql.vector import Grid, Vector, empty_vector
from watchkeeper.monitoring.promql.windows import Outcome, Ranges
from watchkeeper.monitoring.samples.frame import Floats

COUNTER_SUFFIXES = ("_total", "_sum", "_count", "_bucket")

_KERNELS: dict[str, over_time.Kernel] = {
    "sum_over_time": over_time.total,
    "avg_over_time": over_time.average,
    "count_over_time": over_time.count,
    "min_over_time": over_time.lowest,
    "max_over_time": over_time.highest,
    "stdvar_over_time": over_time.variance,
    "stddev_over_time": over_time.deviation,
}
_EXPANDING = frozenset(
    {"stdvar_over_time", "stddev_over_time", "quantile_over_time", "deriv", "predict_linear"}
)
"""Functions that copy the samples of every window, also where windows overlap."""


class RangeFunction(VectorNode):
    """A function of one range vector, and for some of one scalar."""

    def __init__(self, expr: Call, source: RangeSource, parameter: ScalarNode | None = None) -> None:
        operands: list[Node] = [source]
        if parameter is not None:
            operands.append(parameter)
        super().__init__(expr, *operands)
        self.function = expr.func
        self.source = source
        self.parameter = parameter
        self.keeps_name = expr.func in ("last_over_time", "first_over_time")
        if expr.func == "predict_linear":
            self.invariant = False
        self._counter_names = _CounterNames() if expr.func in ("rate", "increase") else None

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        ranges = self.source.ranges(evaluation, grid)
        if not ranges.pieces:
            return empty_vector(evaluation.workspace.derived, grid.steps)
        self._spend(evaluation, ranges)
        values, present = self._kernel(evaluation, grid)(ranges)
        first = ranges.pieces[0].block
        dropped = first.dropped if self.keeps_name else True
        vector = Vector(first.labels, ranges.refs, values, present, dropped).normal()
        if self._counter_names is not None and len(vector):
            for name in self._counter_names.unlikely(vector.labels, vector.refs):
                evaluation.annotate(possible_non_counter(name, self.source.expr))
        return vector

    def _spend(self, evaluation: Evaluation, ranges: Ranges) -> None:
        for block, rows in ranges.pieces:
            if self.function in _EXPANDING:
                read = int((rows.last - rows.first).sum())
            else:
                read = 2 if self._counter_names is not None else rows.high - rows.low
            evaluation.spend(len(block) * (read + len(rows.first)))

    def _kernel(self, evaluation: Evaluation, grid: Grid) -> Callable[[Ranges], Outcome]:
        function, range_ms = self.function, self.source.range_ms
        if function in ("rate", "increase", "delta"):
            counter, per_second = function != "delta", function == "rate"
            return lambda ranges: counters.extrapolated(
                ranges, range_ms, counter=counter, per_second=per_second
            )
        if function in ("irate", "idelta"):
            counter = function == "irate"
            return lambda ranges: counters.instantaneous(ranges, counter=counter)
        if function in ("changes", "resets"):
            resets = function == "resets"
            return lambda ranges: counters.changes(ranges, resets_only=resets)
        if function in ("last_over_time", "first_over_time"):
            newest = function == "last_over_time"
            return lambda ranges: over_time.newest_or_oldest(ranges, newest=newest)
        if function == "present_over_time":
            return over_time.present
        if function == "deriv":
            return over_time.regression
        parameter = None if self.parameter is None else evaluation.scalar(self.parameter, grid)
        if parameter is not None and function == "predict_linear":
            return lambda ranges: over_time.regression(ranges, at_ms=grid.times(), ahead=parameter)
        if parameter is not None and function == "quantile_over_time":
            self._check_quantile(evaluation, parameter)
            return lambda ranges: over_time.quantile_over_time(ranges, parameter)
        chosen = _KERNELS[function]
        return lambda ranges: over_time.over_time(ranges, chosen)

    def _check_quantile(self, evaluation: Evaluation, quantile: Floats) -> None:
        outside = np.isnan(quantile) | (quantile < 0) | (quantile > 1)
        if outside.any():
            wrong = float(quantile[np.argmax(outside)])
            evaluation.annotate(invalid_quantile(wrong, self.parameter.expr if self.parameter else self.expr))


class AbsentOverTime(VectorNode):
    """``absent_over_time``: 1 at the steps where no series has a sample in the window."""

    def __init__(self, expr: Call, source: RangeSource) -> None:
        super().__init__(expr, source)
        self.source = source
        self._labels = wanted_labels(expr.args[0])

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        derived = evaluation.workspace.derived
        ranges = self.source.ranges(evaluation, grid)
        somewhere: Mask = np.zeros(grid.steps, np.bool_)
        if ranges.pieces:
            _, present = over_time.present(ranges)
            somewhere[:] = True if present is None else np.logical_or.reduce(present, axis=1)
        if somewhere.all():
            return empty_vector(derived, grid.steps)
        ref = np.array([derived.intern(self._labels)], np.int64)
        return Vector(derived, ref, np.ones((grid.steps, 1)), ~somewhere[:, None]).normal()


class _CounterNames:
    """Which metric names do not look like a counter's, remembered per series."""

    def __init__(self) -> None:
        self._maps: dict[int, tuple[LabelStore, RefMap]] = {}

    def unlikely(self, labels: LabelStore, refs: Ints) -> list[str]:
        if id(labels) not in self._maps:
            self._maps[id(labels)] = (labels, RefMap(labels, lambda fresh: _looks(labels, fresh)))
        looks = self._maps[id(labels)][1].get(refs)
        odd = np.flatnonzero(looks == 0)
        if not len(odd):
            return []
        codes = np.unique(labels.codes(METRIC_NAME, refs[odd]))
        return labels.decode(METRIC_NAME, codes.tolist())


def _looks(labels: LabelStore, refs: Ints) -> Ints:
    """Per ref: 1 if its name is a counter's or it has none, else 0."""
    codes, inverse = np.unique(labels.codes(METRIC_NAME, refs), return_inverse=True)
    names = labels.decode(METRIC_NAME, codes.tolist())
    looks = [int(not name or name.endswith(COUNTER_SUFFIXES)) for name in names]
    return np.array(looks, np.int64)[inverse]
