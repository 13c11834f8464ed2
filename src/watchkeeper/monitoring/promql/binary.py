"""The binary operators: arithmetic, comparison, and vector matching.

Always true: at every step, each series of the "one" side has a match group of its own - where two have a
value in the same group at the same step, the query fails with Prometheus' message, even if the
comparison would filter the result away. A match group is a number of a :class:`Projection`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import numpy as np

from watchkeeper.monitoring.labels import METRIC_NAME, Ints, LabelStore, Mask
from watchkeeper.monitoring.promql.ast import COMPARISONS, Binary, Cardinality, VectorMatching
from watchkeeper.monitoring.promql.evaluation import Evaluation, ScalarNode, VectorNode, Workspace
from watchkeeper.monitoring.promql.projection import METADATA, Joining, Projection
from watchkeeper.monitoring.promql.result import EvaluationError, format_labels
from watchkeeper.monitoring.promql.vector import (
    DUPLICATE_LABELS,
    Grid,
    Vector,
    empty_vector,
    joined,
    merged,
    same_refs,
    stacked,
)
from watchkeeper.monitoring.samples.frame import Floats

ARITHMETIC: dict[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.power,
    "atan2": np.arctan2,
}
COMPARE: dict[str, Callable[[Floats, Floats], Mask]] = {
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}


class ScalarBinary(ScalarNode):
    """Scalar with scalar; comparisons give 0 or 1."""

    def __init__(self, expr: Binary, lhs: ScalarNode, rhs: ScalarNode) -> None:
        super().__init__(expr, lhs, rhs)
        self._op = expr.op
        self._lhs = lhs
        self._rhs = rhs

    def run(self, evaluation: Evaluation, grid: Grid) -> Floats:
        lhs, rhs = evaluation.scalar(self._lhs, grid), evaluation.scalar(self._rhs, grid)
        with np.errstate(all="ignore"):
            if self._op in COMPARISONS:
                return COMPARE[self._op](lhs, rhs).astype(np.float64)
            return ARITHMETIC[self._op](lhs, rhs)


class VectorScalar(VectorNode):
    """Vector with scalar, on either side."""

    def __init__(self, expr: Binary, vector: VectorNode, scalar: ScalarNode, *, swapped: bool) -> None:
        super().__init__(expr, vector, scalar)
        self._op = expr.op
        self._return_bool = expr.return_bool
        self._vector = vector
        self._scalar = scalar
        self._swapped = swapped

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        vector = evaluation.vector(self._vector, grid)
        scalar = evaluation.scalar(self._scalar, grid)[:, None]
        lhs, rhs = (scalar, vector.values) if self._swapped else (vector.values, scalar)
        with np.errstate(all="ignore"):
            if self._op not in COMPARISONS:
                return vector.with_values(ARITHMETIC[self._op](lhs, rhs))
            holds = COMPARE[self._op](lhs, rhs)
        if self._return_bool:
            return vector.with_values(holds.astype(np.float64))
        return vector.where(holds)


class _Matched(VectorNode):
    """What all operators between vectors share."""

    def __init__(self, expr: Binary, workspace: Workspace, lhs: VectorNode, rhs: VectorNode) -> None:
        super().__init__(expr, lhs, rhs)
        self.lhs = lhs
        self.rhs = rhs
        self.matching = expr.matching or VectorMatching()
        labels = self.matching.labels
        self.groups = Projection(
            workspace.derived, labels if self.matching.on else (*labels, METRIC_NAME), keep=self.matching.on
        )

    def numbers(self, vector: Vector) -> Ints:
        return self.groups.numbers(vector.labels, vector.refs)


class _Ambiguous(Exception):  # noqa: N818 - not an error: the steps must be looked at one by one
    """Series share a match group, perhaps at different steps only."""


class VectorVector(_Matched):
    """Arithmetic and comparison between vectors."""

    def __init__(self, expr: Binary, workspace: Workspace, lhs: VectorNode, rhs: VectorNode) -> None:
        super().__init__(expr, workspace, lhs, rhs)
        self._op = expr.op
        self._return_bool = expr.return_bool
        matching = self.matching
        self._one_to_many = matching.cardinality is Cardinality.ONE_TO_MANY
        self._one_to_one = matching.cardinality is Cardinality.ONE_TO_ONE
        removed = frozenset[str]() if expr.op in COMPARISONS else METADATA
        if not self._one_to_one:
            base = Projection(workspace.derived, removed, keep=False)
        elif matching.on:
            base = Projection(workspace.derived, set(matching.labels) - removed, keep=True)
        else:
            base = Projection(workspace.derived, {*matching.labels, *removed}, keep=False)
        self._labels = Joining(workspace.derived, base, matching.include)

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        lhs, rhs = evaluation.vector(self.lhs, grid), evaluation.vector(self.rhs, grid)
        derived = evaluation.workspace.derived
        try:
            return self._combine(derived, lhs, rhs)
        except _Ambiguous:
            return stacked(
                derived, [self._combine(derived, lhs.at(step), rhs.at(step)) for step in range(grid.steps)]
            )

    def _combine(self, derived: LabelStore, lhs: Vector, rhs: Vector) -> Vector:
        if not len(lhs) or not len(rhs):
            return empty_vector(derived, lhs.steps)
        many, one = (rhs, lhs) if self._one_to_many else (lhs, rhs)
        many_groups, one_groups = self.numbers(many), self.numbers(one)
        partners = self._partners(one, one_groups)[many_groups]
        matched = np.flatnonzero(partners >= 0)
        if not len(matched):
            return empty_vector(derived, lhs.steps)
        if len(matched) < len(many):
            many, partners, many_groups = many.take(matched), partners[matched], many_groups[matched]
        one = one.take(partners)
        refs = self._labels.apply(many.labels, many.refs, one.labels, one.refs)
        self._check_unique(lhs.steps, many_groups, refs, derived.capacity)
        left, right = (one, many) if self._one_to_many else (many, one)
        present = None
        if many.present is not None or one.present is not None:
            present = many.mask() & one.mask()
        result = Vector(derived, refs, left.values, present, many.dropped)
        with np.errstate(all="ignore"):
            if self._op not in COMPARISONS:
                values = ARITHMETIC[self._op](left.values, right.values)
                return replace(result, values=values, dropped=False).normal()
            holds = COMPARE[self._op](left.values, right.values)
        if self._return_bool:
            return result.with_values(holds.astype(np.float64)).normal()
        return result.where(holds)

    def _partners(self, one: Vector, groups: Ints) -> Ints:
        """Per match group, the series of the one side (-1: none)."""
        table = np.full(len(self.groups), -1, np.int64)
        columns = np.arange(len(groups))
        table[groups] = columns
        twins = np.flatnonzero(table[groups] != columns)
        if len(twins):
            if one.steps > 1:
                raise _Ambiguous
            first = int(twins[0])
            self._refuse(one, first, int(table[groups[first]]), int(groups[first]))
        return table

    def _refuse(self, one: Vector, first: int, second: int, group: int) -> NoReturn:
        side = "left" if self._one_to_many else "right"
        shared = format_labels(self.groups.derived.labels(int(self.groups.refs[group])))
        names = sorted(format_labels(one.labels.labels(int(one.refs[column]))) for column in (first, second))
        raise EvaluationError(
            f"found duplicate series for the match group {shared} on the {side} hand-side of the operation: "
            f"[{', '.join(names)}];many-to-many matching not allowed: "
            "matching labels must be unique on one side"
        )

    def _check_unique(self, steps: int, groups: Ints, refs: Ints, capacity: int) -> None:
        if self._one_to_one:
            if same_refs(groups, len(self.groups)):
                if steps > 1:
                    raise _Ambiguous
                raise EvaluationError(
                    "multiple matches for labels: many-to-one matching must be explicit "
                    "(group_left/group_right)"
                )
        elif same_refs(refs, capacity):
            if steps > 1:
                raise _Ambiguous
            pairs = np.stack([groups, refs], axis=1)
            if len(np.unique(pairs, axis=0)) < len(pairs):
                raise EvaluationError(
                    "multiple matches for labels: grouping labels must ensure unique matches"
                )
            raise EvaluationError(DUPLICATE_LABELS)


class SetOperation(_Matched):
    """``and``, ``or`` and ``unless``."""

    def __init__(self, expr: Binary, workspace: Workspace, lhs: VectorNode, rhs: VectorNode) -> None:
        super().__init__(expr, workspace, lhs, rhs)
        self._op = expr.op

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        lhs, rhs = evaluation.vector(self.lhs, grid), evaluation.vector(self.rhs, grid)
        self.numbers(lhs)  # both sides have their numbers before either is asked about
        self.numbers(rhs)
        if self._op == "or":
            return self._union(evaluation.workspace, lhs, rhs)
        if not len(lhs):
            return lhs
        if not len(rhs):
            return lhs if self._op == "unless" else empty_vector(lhs.labels, grid.steps)
        matches = self._there(rhs)[:, self.numbers(lhs)]
        return lhs.where(matches if self._op == "and" else ~matches)

    def _there(self, vector: Vector) -> Mask:
        """Per step and match group: has some series of ``vector`` a value?"""
        numbers = self.numbers(vector)
        if vector.present is None:
            there = np.zeros((1, len(self.groups)), np.bool_)
            there[0, numbers] = True
            return np.broadcast_to(there, (vector.steps, len(self.groups)))
        steps, columns = np.nonzero(vector.present)
        there = np.zeros((vector.steps, len(self.groups)), np.bool_)
        there[steps, numbers[columns]] = True
        return there

    def _union(self, workspace: Workspace, lhs: Vector, rhs: Vector) -> Vector:
        if not len(rhs):
            return lhs
        if not len(lhs):
            return rhs
        added = rhs.where(~self._there(lhs)[:, self.numbers(rhs)])
        if not len(added):
            return lhs
        if lhs.labels is not added.labels:
            lhs, added = workspace.names.lifted(lhs), workspace.names.lifted(added)
        ordered = lhs.ordered and added.ordered
        both = joined(lhs.labels, lhs.steps, [lhs, added])
        return replace(merged(both) if both.steps > 1 else both, ordered=ordered)
