"""From a checked expression to nodes.

Always true: equal expressions become one node, in whichever queries of a workspace they stand, so that an
evaluation of several rules computes what they share once; no node changes after it was made but for what
it learns about label sets.
"""

from __future__ import annotations

import math
from weakref import WeakValueDictionary

from watchkeeper.monitoring.promql import instant_functions as instant
from watchkeeper.monitoring.promql.aggregations import (
    REDUCTIONS,
    Aggregation,
    CountValues,
    QuantileAggregation,
    Selection,
)
from watchkeeper.monitoring.promql.ast import (
    SET_OPERATORS,
    Aggregate,
    Binary,
    Call,
    Expr,
    MatrixSelector,
    NumberLiteral,
    Paren,
    StringLiteral,
    Subquery,
    Unary,
    ValueType,
    VectorSelector,
)
from watchkeeper.monitoring.promql.binary import ScalarBinary, SetOperation, VectorScalar, VectorVector
from watchkeeper.monitoring.promql.date_functions import DATE_FUNCTIONS, DatePart
from watchkeeper.monitoring.promql.evaluation import Evaluation, Node, ScalarNode, VectorNode, Workspace
from watchkeeper.monitoring.promql.histograms import HistogramFraction, HistogramQuantile
from watchkeeper.monitoring.promql.label_functions import Relabel, joining, replacing
from watchkeeper.monitoring.promql.range_functions import AbsentOverTime, RangeFunction
from watchkeeper.monitoring.promql.result import EvaluationError
from watchkeeper.monitoring.promql.selectors import (
    InstantSelector,
    RangeSelector,
    RangeSource,
    SubquerySource,
)
from watchkeeper.monitoring.promql.vector import Grid, Vector, empty_vector

_OF_NATIVE_HISTOGRAMS = frozenset(
    {"histogram_avg", "histogram_count", "histogram_sum", "histogram_stddev", "histogram_stdvar"}
)


class Compiler:
    """Compiles into one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._nodes: WeakValueDictionary[Expr, Node] = WeakValueDictionary()

    def vector(self, expr: Expr) -> VectorNode:
        """The node of an expression that is an instant vector."""
        node = self._node(expr)
        if not isinstance(node, VectorNode):
            raise EvaluationError(f"expected an instant vector, got a {expr.type}")
        return node

    def scalar(self, expr: Expr) -> ScalarNode:
        """The node of an expression that is a scalar."""
        node = self._node(expr)
        if not isinstance(node, ScalarNode):
            raise EvaluationError(f"expected a scalar, got a {expr.type}")
        return node

    def source(self, expr: Expr) -> RangeSource:
        """The node of an expression that is a range vector."""
        node = self._node(expr)
        if not isinstance(node, RangeSource):
            raise EvaluationError(f"expected a range vector, got a {expr.type}")
        return node

    def _node(self, expr: Expr) -> Node:
        while isinstance(expr, Paren) or (isinstance(expr, Unary) and expr.op == "+"):
            expr = expr.expr
        node = self._nodes.get(expr)
        if node is None:
            node = self._nodes[expr] = self._make(expr)
        return node

    def _make(self, expr: Expr) -> Node:
        if isinstance(expr, NumberLiteral):
            return instant.literal(expr)
        if isinstance(expr, VectorSelector):
            return InstantSelector(expr)
        if isinstance(expr, MatrixSelector):
            return RangeSelector(expr)
        if isinstance(expr, Subquery):
            return SubquerySource(expr, self.vector(expr.expr))
        if isinstance(expr, Unary):
            if expr.type is ValueType.SCALAR:
                return instant.NegatedScalar(expr, self.scalar(expr.expr))
            return instant.Negation(expr, self.vector(expr.expr))
        if isinstance(expr, Binary):
            return self._binary(expr)
        if isinstance(expr, Aggregate):
            return self._aggregate(expr)
        if isinstance(expr, Call):
            return self._call(expr)
        raise EvaluationError(f"cannot evaluate a {type(expr).__name__}")

    def _binary(self, expr: Binary) -> Node:
        left_scalar = expr.lhs.type is ValueType.SCALAR
        right_scalar = expr.rhs.type is ValueType.SCALAR
        if left_scalar and right_scalar:
            return ScalarBinary(expr, self.scalar(expr.lhs), self.scalar(expr.rhs))
        if right_scalar:
            return VectorScalar(expr, self.vector(expr.lhs), self.scalar(expr.rhs), swapped=False)
        if left_scalar:
            return VectorScalar(expr, self.vector(expr.rhs), self.scalar(expr.lhs), swapped=True)
        lhs, rhs = self.vector(expr.lhs), self.vector(expr.rhs)
        if expr.op in SET_OPERATORS:
            return SetOperation(expr, self.workspace, lhs, rhs)
        return VectorVector(expr, self.workspace, lhs, rhs)

    def _aggregate(self, expr: Aggregate) -> Node:
        operand = self.vector(expr.expr)
        if expr.op in REDUCTIONS:
            return Aggregation(expr, self.workspace, operand)
        if expr.param is None:
            raise EvaluationError(f"{expr.op} needs a parameter")
        if expr.op == "count_values":
            return CountValues(expr, self.workspace, operand, _text(expr.param))
        if expr.op == "quantile":
            return QuantileAggregation(expr, self.workspace, operand, self.scalar(expr.param))
        if expr.op in ("topk", "bottomk"):
            return Selection(expr, self.workspace, operand, self.scalar(expr.param))
        raise EvaluationError(f'the aggregation "{expr.op}" is not supported')

    def _call(self, expr: Call) -> Node:
        name, args = expr.func, expr.args
        if args and args[0].type is ValueType.MATRIX:
            parameter = self.scalar(args[1]) if len(args) > 1 else None
            return self._of_range(expr, self.source(args[0]), parameter)
        if name == "quantile_over_time":
            return self._of_range(expr, self.source(args[1]), self.scalar(args[0]))
        if name in instant.ELEMENTWISE:
            return instant.Elementwise(expr, self.vector(args[0]), instant.ELEMENTWISE[name])
        if name in DATE_FUNCTIONS:
            return DatePart(expr, self.vector(args[0]) if args else None)
        if name in ("histogram_quantile", "histogram_fraction"):
            kind = HistogramQuantile if name == "histogram_quantile" else HistogramFraction
            parameters = [self.scalar(arg) for arg in args[:-1]]
            return kind(expr, self.workspace, self.vector(args[-1]), *parameters)
        if name == "label_replace":
            rewrite = replacing(*(_text(arg) for arg in args[1:]))
            return Relabel(expr, self.workspace, self.vector(args[0]), rewrite)
        if name == "label_join":
            target, separator, *sources = (_text(arg) for arg in args[1:])
            return Relabel(expr, self.workspace, self.vector(args[0]), joining(target, separator, sources))
        if name in _OF_NATIVE_HISTOGRAMS:
            return _Nothing(expr, self.vector(args[0]))
        return self._plain(expr)

    def _plain(self, expr: Call) -> Node:
        name, args = expr.func, expr.args
        if name == "time":
            return instant.Time(expr)
        if name == "pi":
            return instant.Number(expr, math.pi)
        if name == "vector":
            return instant.OfScalar(expr, self.scalar(args[0]))
        if name == "scalar":
            return instant.ToScalar(expr, self.vector(args[0]))
        if name == "timestamp":
            inner = args[0]
            while isinstance(inner, Paren):
                inner = inner.expr
            if isinstance(inner, VectorSelector):
                return instant.Unnamed(expr, InstantSelector(inner, own_times=True))
            return instant.EvaluationTimes(expr, self.vector(inner))
        if name == "absent":
            return instant.Absent(expr, self.vector(args[0]))
        if name in ("sort", "sort_desc"):
            return instant.Sort(expr, self.vector(args[0]), descending=name == "sort_desc")
        if name == "round":
            nearest = self.scalar(args[1]) if len(args) > 1 else instant.Number(expr, 1.0)
            return instant.Round(expr, self.vector(args[0]), nearest)
        if name == "clamp":
            return instant.Clamp(expr, self.vector(args[0]), self.scalar(args[1]), self.scalar(args[2]))
        if name == "clamp_min":
            return instant.Clamp(expr, self.vector(args[0]), self.scalar(args[1]), None)
        if name == "clamp_max":
            return instant.Clamp(expr, self.vector(args[0]), None, self.scalar(args[1]))
        raise EvaluationError(f'the function "{name}" is not supported')

    def _of_range(self, expr: Call, source: RangeSource, parameter: ScalarNode | None) -> Node:
        if expr.func == "absent_over_time":
            return AbsentOverTime(expr, source)
        return RangeFunction(expr, source, parameter)


class _Nothing(VectorNode):
    """A function of native histograms: of floats, it gives nothing."""

    def __init__(self, expr: Call, argument: VectorNode) -> None:
        super().__init__(expr, argument)
        self._argument = argument

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        evaluation.vector(self._argument, grid)
        return empty_vector(evaluation.workspace.derived, grid.steps)


def _text(expr: Expr) -> str:
    while isinstance(expr, Paren):
        expr = expr.expr
    if not isinstance(expr, StringLiteral):
        raise EvaluationError(f"expected a string, got a {expr.type}")
    return expr.value
