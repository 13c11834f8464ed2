"""Functions of one instant vector, value by value, and the functions between scalars and vectors.

Always true: none of them looks at labels; where a function changes a value it drops the metric name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from watchkeeper.monitoring.labels import METRIC_NAME, Labels, label_set
from watchkeeper.monitoring.promql.annotations import sort_in_range_query
from watchkeeper.monitoring.promql.ast import (
    Call,
    Expr,
    Matcher,
    MatchOp,
    MatrixSelector,
    NumberLiteral,
    Unary,
    VectorSelector,
)
from watchkeeper.monitoring.promql.evaluation import Evaluation, ScalarNode, VectorNode
from watchkeeper.monitoring.promql.vector import Grid, Vector, empty_vector
from watchkeeper.monitoring.samples.frame import Floats

ELEMENTWISE: dict[str, Callable[[Floats], Floats]] = {
    "abs": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "deg": lambda values: values * 180 / math.pi,
    "exp": np.exp,
    "floor": np.floor,
    "ln": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "rad": lambda values: values * math.pi / 180,
    "sgn": lambda values: np.where(values == 0, values, np.sign(values)),
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
}


class Elementwise(VectorNode):
    """A mathematical function of every value."""

    def __init__(self, expr: Expr, argument: VectorNode, function: Callable[[Floats], Floats]) -> None:
        super().__init__(expr, argument)
        self._argument = argument
        self._function = function

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        vector = evaluation.vector(self._argument, grid)
        with np.errstate(all="ignore"):
            return vector.with_values(self._function(vector.values))


class Clamp(VectorNode):
    """``clamp``, ``clamp_min`` and ``clamp_max``; nothing where the limits are the wrong way round."""

    def __init__(
        self, expr: Call, argument: VectorNode, lower: ScalarNode | None, upper: ScalarNode | None
    ) -> None:
        super().__init__(expr, argument, *(limit for limit in (lower, upper) if limit is not None))
        self._argument = argument
        self._lower = lower
        self._upper = upper

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        vector = evaluation.vector(self._argument, grid)
        values = vector.values
        lower = None if self._lower is None else evaluation.scalar(self._lower, grid)[:, None]
        upper = None if self._upper is None else evaluation.scalar(self._upper, grid)[:, None]
        if upper is not None:
            values = np.minimum(upper, values)
        if lower is not None:
            values = np.maximum(lower, values)
        vector = vector.with_values(values)
        if lower is not None and upper is not None and (upper < lower).any():
            return vector.where(~(upper < lower))
        return vector


class Round(VectorNode):
    """``round(vector, to_nearest)``: halves go up."""

    def __init__(self, expr: Call, argument: VectorNode, nearest: ScalarNode) -> None:
        super().__init__(expr, argument, nearest)
        self._argument = argument
        self._nearest = nearest

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        vector = evaluation.vector(self._argument, grid)
        with np.errstate(all="ignore"):
            inverse = 1.0 / evaluation.scalar(self._nearest, grid)[:, None]
            return vector.with_values(np.floor(vector.values * inverse + 0.5) / inverse)


class Negation(VectorNode):
    """``-vector``."""

    def __init__(self, expr: Unary, argument: VectorNode) -> None:
        super().__init__(expr, argument)
        self._argument = argument

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        vector = evaluation.vector(self._argument, grid)
        return vector.with_values(-vector.values)


class Sort(VectorNode):
    """``sort`` and ``sort_desc``; NaN comes last either way."""

    def __init__(self, expr: Call, argument: VectorNode, *, descending: bool) -> None:
        super().__init__(expr, argument)
        self._argument = argument
        self._descending = descending

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        vector = evaluation.vector(self._argument, grid)
        if evaluation.grid.steps > 1:
            evaluation.annotate(sort_in_range_query(self.expr))
        if grid.steps > 1:
            return vector
        values = vector.values[0]
        order = np.lexsort((-values if self._descending else values, np.isnan(values)))
        return replace(vector.take(order), ordered=True)


class EvaluationTimes(VectorNode):
    """``timestamp(expression)``: the time of the evaluation (a plain selector has times of its own)."""

    def __init__(self, expr: Call, argument: VectorNode) -> None:
        super().__init__(expr, argument)
        self._argument = argument
        self.invariant = False

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        vector = evaluation.vector(self._argument, grid)
        return vector.with_values(np.broadcast_to((grid.times() / 1000)[:, None], vector.values.shape))


class Unnamed(VectorNode):
    """A vector whose names are to be dropped: ``timestamp(selector)``."""

    def __init__(self, expr: Call, argument: VectorNode) -> None:
        super().__init__(expr, argument)
        self._argument = argument

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        return replace(evaluation.vector(self._argument, grid), dropped=True)


class Absent(VectorNode):
    """``absent(vector)``: 1 where there is nothing, with the labels that the selector asks for."""

    def __init__(self, expr: Call, argument: VectorNode) -> None:
        super().__init__(expr, argument)
        self._argument = argument
        self._labels = wanted_labels(expr.args[0])

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        vector = evaluation.vector(self._argument, grid)
        derived = evaluation.workspace.derived
        nowhere = ~np.logical_or.reduce(vector.mask(), axis=1)
        if not nowhere.any():
            return empty_vector(derived, grid.steps)
        ref = np.array([derived.intern(self._labels)], np.int64)
        return Vector(derived, ref, np.ones((grid.steps, 1)), nowhere[:, None]).normal()


def wanted_labels(expr: Expr) -> Labels:
    """The labels that a selector names exactly: what ``absent`` gives to its series."""
    if isinstance(expr, MatrixSelector):
        expr = expr.selector
    if not isinstance(expr, VectorSelector):
        return ()
    labels: dict[str, str] = {}
    named: set[str] = set()
    matchers: tuple[Matcher, ...] = expr.matchers
    for matcher in matchers:
        if matcher.name == METRIC_NAME:
            continue
        if matcher.op is MatchOp.EQUAL and matcher.name not in named:
            labels[matcher.name] = matcher.value
            named.add(matcher.name)
        else:
            labels.pop(matcher.name, None)
    return label_set(labels.items())


class OfScalar(VectorNode):
    """``vector(scalar)``."""

    def __init__(self, expr: Call, argument: ScalarNode) -> None:
        super().__init__(expr, argument)
        self._argument = argument

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        derived = evaluation.workspace.derived
        ref = np.array([derived.intern(())], np.int64)
        return Vector(derived, ref, evaluation.scalar(self._argument, grid)[:, None])


# -- scalars -----------------------------------------------------------------------------------


class Number(ScalarNode):
    """A number that is the same at every time."""

    def __init__(self, expr: Expr, value: float) -> None:
        super().__init__(expr)
        self._value = value

    def run(self, evaluation: Evaluation, grid: Grid) -> Floats:
        return np.full(grid.steps, self._value)


def literal(expr: NumberLiteral) -> Number:
    return Number(expr, expr.value)


class Time(ScalarNode):
    """``time()``: the time of the evaluation in seconds."""

    def __init__(self, expr: Call) -> None:
        super().__init__(expr)
        self.invariant = False

    def run(self, evaluation: Evaluation, grid: Grid) -> Floats:
        return grid.times() / 1000


class NegatedScalar(ScalarNode):
    """``-scalar``."""

    def __init__(self, expr: Unary, argument: ScalarNode) -> None:
        super().__init__(expr, argument)
        self._argument = argument

    def run(self, evaluation: Evaluation, grid: Grid) -> Floats:
        return -evaluation.scalar(self._argument, grid)


class ToScalar(ScalarNode):
    """``scalar(vector)``: the value of the only series, else NaN."""

    def __init__(self, expr: Call, argument: VectorNode) -> None:
        super().__init__(expr, argument)
        self._argument = argument

    def run(self, evaluation: Evaluation, grid: Grid) -> Floats:
        vector = evaluation.vector(self._argument, grid)
        if not len(vector):
            return np.full(grid.steps, np.nan)
        mask = vector.mask()
        only = mask.sum(axis=1) == 1
        picked = vector.values[np.arange(grid.steps), mask.argmax(axis=1)]
        return np.where(only, picked, np.nan)
