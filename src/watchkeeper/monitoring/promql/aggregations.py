"""The aggregation operators.

Always true: a group has a result at a step exactly when one of its series has a value there; NaN counts
as a value everywhere, and ``min``/``max``/``topk``/``bottomk`` prefer any other value to it. All steps
are computed at once: a *cell* is one value of one series at one step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from watchkeeper.monitoring.labels import METRIC_NAME, Ints, Mask, label_set
from watchkeeper.monitoring.promql.annotations import invalid_quantile
from watchkeeper.monitoring.promql.ast import Aggregate
from watchkeeper.monitoring.promql.evaluation import Evaluation, ScalarNode, VectorNode, Workspace
from watchkeeper.monitoring.promql.numbers import general, plain
from watchkeeper.monitoring.promql.over_time import quantiles
from watchkeeper.monitoring.promql.projection import Projection
from watchkeeper.monitoring.promql.result import EvaluationError, go_quote
from watchkeeper.monitoring.promql.summation import cannot_cancel, means, segment_sums, sums
from watchkeeper.monitoring.promql.vector import Grid, Vector, empty_vector
from watchkeeper.monitoring.samples.frame import Floats

_INT64_END = 2.0**63


@dataclass(frozen=True, slots=True)
class Cells:
    """Values with the group of each: ``groups`` holds step * (number of groups) + group."""

    values: Floats
    groups: Ints
    count: int
    """How many (step, group) pairs there are."""

    @classmethod
    def of(cls, vector: Vector, numbers: Ints, groups: int) -> Cells:
        if vector.steps == 1:
            return cls(vector.values[0], numbers, groups)
        keys = np.arange(vector.steps)[:, None] * groups + numbers
        if vector.present is None:
            return cls(vector.values.ravel(), keys.ravel(), vector.steps * groups)
        return cls(vector.values[vector.present], keys[vector.present], vector.steps * groups)

    def tally(self) -> Ints:
        """How many values each group has."""
        return np.bincount(self.groups, minlength=self.count)

    def ordered(self) -> tuple[Floats, Ints, Ints, Ints]:
        """The values sorted by group (as they came within one); the groups that have any; where each
        begins; how many it has."""
        keys = self.groups.astype(np.uint16) if self.count <= 1 << 16 else self.groups
        order = np.argsort(keys, kind="stable")
        tally = self.tally()
        groups = np.flatnonzero(tally)
        counts = tally[groups]
        return self.values[order], groups, np.cumsum(counts) - counts, counts


Reduction = Callable[[Cells], Floats]
"""A value per group; what it says of empty groups is not looked at."""


def _spread(cells: Cells, groups: Ints, results: Floats) -> Floats:
    values = np.zeros(cells.count)
    values[groups] = results
    return values


def total(cells: Cells) -> Floats:
    if cannot_cancel(cells.values):
        return np.bincount(cells.groups, cells.values, cells.count).astype(np.float64, copy=False)
    values, groups, starts, counts = cells.ordered()
    return _spread(cells, groups, sums(values, starts, counts))


def average(cells: Cells) -> Floats:
    if cannot_cancel(cells.values):
        with np.errstate(all="ignore"):
            mean: Floats = np.bincount(cells.groups, cells.values, cells.count) / cells.tally()
        return mean
    values, groups, starts, counts = cells.ordered()
    return _spread(cells, groups, means(values, starts, counts))


def number(cells: Cells) -> Floats:
    return cells.tally().astype(np.float64)


def one(cells: Cells) -> Floats:
    return np.ones(cells.count)


def lowest(cells: Cells) -> Floats:
    values, groups, starts, _ = cells.ordered()
    return _spread(cells, groups, np.fmin.reduceat(values, starts))


def highest(cells: Cells) -> Floats:
    values, groups, starts, _ = cells.ordered()
    return _spread(cells, groups, np.fmax.reduceat(values, starts))


def variance(cells: Cells) -> Floats:
    """The population variance, from distances to the group's first value: exactly 0 for a constant."""
    values, groups, starts, counts = cells.ordered()
    with np.errstate(all="ignore"):
        distance = values - np.repeat(values[starts], counts)
        distance -= np.repeat(segment_sums(distance, starts, counts) / counts, counts)
        return _spread(cells, groups, segment_sums(distance * distance, starts, counts) / counts)


def deviation(cells: Cells) -> Floats:
    with np.errstate(all="ignore"):
        root: Floats = np.sqrt(variance(cells))
    return root


REDUCTIONS: dict[str, Reduction] = {
    "sum": total,
    "avg": average,
    "count": number,
    "group": one,
    "min": lowest,
    "max": highest,
    "stdvar": variance,
    "stddev": deviation,
}


class _Grouped(VectorNode):
    """What all aggregations share: the operand, and which group each series is in."""

    def __init__(
        self, expr: Aggregate, workspace: Workspace, operand: VectorNode, *parameters: ScalarNode
    ) -> None:
        super().__init__(expr, operand, *parameters)
        self.operand = operand
        excluded = (*expr.grouping, METRIC_NAME)
        self.grouping = Projection(
            workspace.derived, excluded if expr.without else expr.grouping, keep=not expr.without
        )

    def _groups(self, evaluation: Evaluation, vector: Vector, values: Floats, there: Mask) -> Vector:
        """The groups as a vector: ``values`` and ``there`` per (step, group)."""
        steps, groups = vector.steps, len(self.grouping)
        dropped: bool | Mask
        if isinstance(vector.dropped, bool):
            dropped = vector.dropped
        else:
            numbers = self.grouping.numbers(vector.labels, vector.refs)
            dropped = np.bincount(numbers[vector.dropped], minlength=groups) > 0
        outcome = Vector(
            evaluation.workspace.derived,
            self.grouping.refs.copy(),
            values.reshape(steps, groups),
            there.reshape(steps, groups),
            dropped,
        )
        return outcome.normal()


class Aggregation(_Grouped):
    """``sum``, ``avg``, ``count``, ``group``, ``min``, ``max``, ``stddev`` and ``stdvar``."""

    def __init__(self, expr: Aggregate, workspace: Workspace, operand: VectorNode) -> None:
        super().__init__(expr, workspace, operand)
        self._reduce = REDUCTIONS[expr.op]

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        vector = evaluation.vector(self.operand, grid)
        if not len(vector):
            return empty_vector(evaluation.workspace.derived, grid.steps)
        numbers = self.grouping.numbers(vector.labels, vector.refs)
        cells = Cells.of(vector, numbers, len(self.grouping))
        return self._groups(evaluation, vector, self._reduce(cells), cells.tally() > 0)


class QuantileAggregation(_Grouped):
    """``quantile(q, vector)``."""

    def __init__(
        self, expr: Aggregate, workspace: Workspace, operand: VectorNode, quantile: ScalarNode
    ) -> None:
        super().__init__(expr, workspace, operand, quantile)
        self._quantile = quantile

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        quantile = evaluation.scalar(self._quantile, grid)
        about = self._quantile.expr
        for wrong in (np.isnan(quantile), quantile > 1, quantile < 0):
            if wrong.any():
                chosen = quantile[wrong]
                extreme = float(chosen[np.argmax(np.abs(chosen))])
                evaluation.annotate(invalid_quantile(extreme, about))
        vector = evaluation.vector(self.operand, grid)
        if not len(vector):
            return empty_vector(evaluation.workspace.derived, grid.steps)
        numbers = self.grouping.numbers(vector.labels, vector.refs)
        cells = Cells.of(vector, numbers, len(self.grouping))
        values, groups, starts, counts = cells.ordered()
        results = quantiles(values, starts, counts, quantile[groups // len(self.grouping)])
        return self._groups(evaluation, vector, _spread(cells, groups, results), cells.tally() > 0)


class Selection(_Grouped):
    """``topk`` and ``bottomk``: some series of each group, as they are."""

    def __init__(self, expr: Aggregate, workspace: Workspace, operand: VectorNode, count: ScalarNode) -> None:
        super().__init__(expr, workspace, operand, count)
        self._count = count
        self._largest = expr.op == "topk"

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        wanted = evaluation.scalar(self._count, grid)
        _check_count(wanted)
        if float(wanted.max()) < 1:
            return empty_vector(evaluation.workspace.derived, grid.steps)
        vector = evaluation.vector(self.operand, grid)
        if not len(vector):
            return vector
        values = np.where(np.isnan(vector.values), -np.inf, vector.values)
        if not self._largest:
            values = np.where(np.isnan(vector.values), -np.inf, -vector.values)
        absent = ~vector.mask()
        numbers = np.broadcast_to(self.grouping.numbers(vector.labels, vector.refs), values.shape)
        # In each row: by group, those that are there first, the best first, NaN last, as they came.
        order = np.lexsort((-values, np.isnan(vector.values), absent, numbers), axis=1)
        ranked = np.take_along_axis(numbers, order, axis=1)
        fresh = np.ones(ranked.shape, np.bool_)
        np.not_equal(ranked[:, 1:], ranked[:, :-1], out=fresh[:, 1:])
        positions = np.arange(ranked.shape[1])
        begins = np.maximum.accumulate(np.where(fresh, positions, 0), axis=1)
        within = positions - begins < np.trunc(wanted)[:, None]
        keep = np.zeros(values.shape, np.bool_)
        np.put_along_axis(keep, order, within, axis=1)
        if grid.steps > 1:
            return replace(vector.where(keep), ordered=False)
        return replace(vector.take(order[0][within[0]]), ordered=True)


def _check_count(wanted: Floats) -> None:
    if np.isnan(wanted).any():
        raise EvaluationError("Parameter value is NaN")
    low, high = float(wanted.min()), float(wanted.max())
    if high < 1:
        return
    if low <= -_INT64_END:
        raise EvaluationError(f"Scalar value {general(low)} underflows int64")
    if high >= _INT64_END:
        raise EvaluationError(f"Scalar value {general(high)} overflows int64")


class CountValues(_Grouped):
    """``count_values("label", vector)``: how many series have each value."""

    def __init__(self, expr: Aggregate, workspace: Workspace, operand: VectorNode, label: str) -> None:
        super().__init__(expr, workspace, operand)
        self._label = label
        names = {*expr.grouping, METRIC_NAME, label} if expr.without else {*expr.grouping} - {label}
        self._rest = Projection(workspace.derived, names, keep=not expr.without)
        self._hidden = expr.without and label in expr.grouping

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        if not self._label or any(0xD800 <= ord(char) <= 0xDFFF for char in self._label):
            raise EvaluationError(f"invalid label name {go_quote(self._label)}")
        derived = evaluation.workspace.derived
        vector = evaluation.vector(self.operand, grid)
        if not len(vector):
            return empty_vector(derived, grid.steps)
        numbers = np.broadcast_to(self._rest.numbers(vector.labels, vector.refs), vector.values.shape)
        mask = vector.mask()
        steps = np.broadcast_to(np.arange(grid.steps)[:, None], mask.shape)[mask]
        bits = vector.values[mask].view(np.int64)
        keys, counts = np.unique(np.stack([numbers[mask], bits, steps], axis=1), axis=0, return_counts=True)
        columns: dict[int, int] = {}
        where = []
        for number, pattern, step in keys.tolist():
            labels = dict(derived.labels(int(self._rest.refs[number])))
            if not self._hidden:
                labels[self._label] = plain(float(np.array([pattern], np.int64).view(np.float64)[0]))
            ref = derived.intern(label_set(labels.items()))
            where.append((step, columns.setdefault(ref, len(columns))))
        evaluation.spend(grid.steps * len(columns))
        values = np.zeros((grid.steps, len(columns)))
        for (step, column), count in zip(where, counts.tolist(), strict=True):
            values[step, column] += count
        return Vector(derived, np.array(list(columns), np.int64), values, values > 0).normal()
