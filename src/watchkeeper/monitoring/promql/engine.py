"""The engine: text or expressions in, results out.

Always true: an evaluation reads nothing but the storage and the times it is given; a plan may be
evaluated for ever, and what it remembers stays in proportion to the series that are alive; a failing
plan leaves the others of its cycle unharmed. One engine is used by one thread at a time for its prepared
plans and cycles; :meth:`Engine.instant` and :meth:`Engine.range` share nothing between calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from watchkeeper.monitoring.labels import Ints, Mask
from watchkeeper.monitoring.promql.ast import (
    Expr,
    MatrixSelector,
    Paren,
    StringLiteral,
    Subquery,
    Unary,
    ValueType,
    VectorSelector,
)
from watchkeeper.monitoring.promql.compile import Compiler
from watchkeeper.monitoring.promql.evaluation import (
    Evaluation,
    Limits,
    Node,
    ScalarNode,
    VectorNode,
    Workspace,
)
from watchkeeper.monitoring.promql.parser import parse
from watchkeeper.monitoring.promql.result import EvaluationError, Result, Series
from watchkeeper.monitoring.promql.selectors import RangeSource
from watchkeeper.monitoring.promql.traversal import children
from watchkeeper.monitoring.promql.vector import Grid, Vector
from watchkeeper.monitoring.samples.frame import Floats, Storage

DEFAULT_LOOKBACK_MS = 300_000
DEFAULT_STEP_MS = 60_000
_DERIVED_AT_LEAST = 100_000

Expired = Callable[[], bool]
"""Asked during an evaluation; True ends it with an :class:`EvaluationError`."""


class Plan:
    """An expression that is ready to be evaluated again and again. Made by :meth:`Engine.prepare`."""

    def __init__(self, expr: Expr, text: str | None) -> None:
        self.expr = expr
        self.text = text
        self._node: Node | None = None
        self._compiler: Compiler | None = None

    def node(self, compiler: Compiler) -> Node | None:
        """The compiled expression; None for a string."""
        if self._compiler is not compiler:
            self._node = _compiled(compiler, self.expr)
            if self._node is not None:
                self._node.users += 1
            self._compiler = compiler
        return self._node


class Cycle:
    """Plans evaluated at one time, sharing what they have in common. Made by :meth:`Engine.cycle`."""

    def __init__(self, compiler: Compiler, evaluation: Evaluation) -> None:
        self._compiler = compiler
        self._evaluation = evaluation

    def evaluate(self, plan: Plan) -> Result:
        """The instant query of ``plan``. Raises :class:`EvaluationError`."""
        return _instant(plan, self._compiler, self._evaluation)


class Engine:
    """Evaluates PromQL over a :class:`Storage`.

    ``lookback_ms``: how old the newest sample of a series may be for the series to be there;
    ``default_step_ms``: the step of a subquery that names none (the evaluation interval);
    ``max_samples``: how many values one evaluation may hold at once; ``max_points``: how many steps a
    range query may have; ``max_result_points``: how many points a result may have in all its series.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        lookback_ms: int = DEFAULT_LOOKBACK_MS,
        default_step_ms: int = DEFAULT_STEP_MS,
        max_samples: int = 50_000_000,
        max_points: int = 11_000,
        max_result_points: int = 5_000_000,
    ) -> None:
        self._storage = storage
        self._limits = Limits(lookback_ms, default_step_ms, max_samples, max_result_points)
        self._max_points = max_points
        self._compiler = Compiler(Workspace())
        self._derived_limit: int | None = None

    def prepare(self, query: str | Expr) -> Plan:
        """Compile ``query`` for many evaluations.

        Raises :class:`~watchkeeper.monitoring.promql.ast.PromQLError` for a text that cannot be read, and
        :class:`EvaluationError` for an expression that could never be evaluated.
        """
        plan = _plan(query)
        plan.node(self._compiler)
        return plan

    @contextmanager
    def cycle(self, at_ms: int, *, expired: Expired | None = None) -> Iterator[Cycle]:
        """Evaluate prepared plans at ``at_ms``; equal parts of them are computed once."""
        self._renew()
        grid = Grid(at_ms, 1, 1)
        compiler = self._compiler
        yield Cycle(
            compiler, Evaluation(self._storage, compiler.workspace, self._limits, grid, expired=expired)
        )
        if self._derived_limit is None:
            self._derived_limit = max(_DERIVED_AT_LEAST, 4 * len(compiler.workspace.derived))

    def instant(self, query: str | Expr, at_ms: int, *, expired: Expired | None = None) -> Result:
        """The instant query ``query`` at ``at_ms`` (milliseconds, UTC).

        Raises :class:`~watchkeeper.monitoring.promql.ast.PromQLError` or :class:`EvaluationError`.
        """
        plan = _plan(query)
        compiler = Compiler(Workspace())
        evaluation = Evaluation(
            self._storage, compiler.workspace, self._limits, Grid(at_ms, 1, 1), expired=expired
        )
        return _instant(plan, compiler, evaluation)

    def range(
        self, query: str | Expr, start_ms: int, end_ms: int, step_ms: int, *, expired: Expired | None = None
    ) -> Result:
        """The range query ``query`` from ``start_ms`` to ``end_ms``, both included, every ``step_ms``.

        Raises :class:`~watchkeeper.monitoring.promql.ast.PromQLError` or :class:`EvaluationError`.
        """
        if step_ms <= 0:
            raise EvaluationError("zero or negative query resolution step widths are not accepted")
        if end_ms < start_ms:
            raise EvaluationError("the end of a range query must not be before its start")
        steps = (end_ms - start_ms) // step_ms + 1
        if steps > self._max_points:
            raise EvaluationError(
                f"exceeded maximum resolution of {self._max_points:,} points per timeseries: "
                "decrease the query resolution (?step=XX)"
            )
        plan = _plan(query)
        if plan.expr.type not in (ValueType.VECTOR, ValueType.SCALAR):
            kind = {ValueType.MATRIX: "range vector"}.get(plan.expr.type, str(plan.expr.type))
            raise EvaluationError(
                f'invalid expression type "{kind}" for range query, must be Scalar or instant Vector'
            )
        compiler = Compiler(Workspace())
        grid = Grid(start_ms, step_ms, steps)
        evaluation = Evaluation(self._storage, compiler.workspace, self._limits, grid, expired=expired)
        return _range(plan, compiler, evaluation, grid)

    def _renew(self) -> None:
        """Start afresh where many label sets are remembered that are of no use any more."""
        limit = self._derived_limit
        if limit is not None and len(self._compiler.workspace.derived) > limit:
            self._compiler = Compiler(Workspace())
            self._derived_limit = None


def required_range_ms(query: str | Expr, lookback_ms: int = DEFAULT_LOOKBACK_MS) -> int:
    """How far before the time of an evaluation ``query`` reads samples.

    A selector fixed by ``@`` to a time of its own is not counted: no bound can be given for it.
    """
    return _reach(parse(query) if isinstance(query, str) else query, 0, lookback_ms)


def _reach(expr: Expr, back_ms: int, lookback_ms: int) -> int:
    """``back_ms``: how far before the query's time ``expr`` is evaluated."""
    if isinstance(expr, MatrixSelector):
        return _reach(expr.selector, back_ms, expr.range_ms)
    if isinstance(expr, VectorSelector):
        if isinstance(expr.at, int):
            return 0
        return max(0, expr.offset_ms + lookback_ms + (0 if expr.at else back_ms))
    if isinstance(expr, Subquery):
        if isinstance(expr.at, int):
            return 0
        return _reach(expr.expr, expr.offset_ms + expr.range_ms + (0 if expr.at else back_ms), lookback_ms)
    return max((_reach(child, back_ms, lookback_ms) for child in children(expr)), default=0)


def _plan(query: str | Expr) -> Plan:
    return Plan(parse(query), query) if isinstance(query, str) else Plan(query, None)


def _compiled(compiler: Compiler, expr: Expr) -> Node | None:
    kind = expr.type
    if kind is ValueType.STRING:
        return None
    if kind is ValueType.SCALAR:
        return compiler.scalar(expr)
    return compiler.source(expr) if kind is ValueType.MATRIX else compiler.vector(expr)


def _instant(plan: Plan, compiler: Compiler, evaluation: Evaluation) -> Result:
    node = plan.node(compiler)
    grid = evaluation.grid
    outcome: tuple[ValueType, list[Series]]
    try:
        if isinstance(node, VectorNode):
            vector = compiler.workspace.names.settled(evaluation.vector(node, grid))
            outcome = (ValueType.VECTOR, _points(vector, evaluation, grid, keep_order=vector.ordered))
        elif isinstance(node, ScalarNode):
            value = float(evaluation.scalar(node, grid)[0])
            outcome = (ValueType.SCALAR, [Series((), [(grid.start_ms, value)])])
        elif isinstance(node, RangeSource):
            outcome = (ValueType.MATRIX, _raw(node, evaluation, compiler))
        else:
            return Result(ValueType.STRING, [], _string(plan.expr))
        found = evaluation.taken_annotations()
    finally:
        evaluation.finish_plan()
    return Result(*outcome, annotations=found.render(plan.expr, plan.text))


def _range(plan: Plan, compiler: Compiler, evaluation: Evaluation, grid: Grid) -> Result:
    node = plan.node(compiler)
    if isinstance(node, ScalarNode):
        values = evaluation.scalar(node, grid)
        series = [Series((), list(zip(grid.times().tolist(), values.tolist(), strict=True)))]
    else:
        assert isinstance(node, VectorNode)
        vector = compiler.workspace.names.settled(evaluation.vector(node, grid))
        series = _points(vector, evaluation, grid, keep_order=False)
    found = evaluation.taken_annotations()
    return Result(ValueType.MATRIX, series, annotations=found.render(plan.expr, plan.text))


def _points(vector: Vector, evaluation: Evaluation, grid: Grid, *, keep_order: bool) -> list[Series]:
    _check_size(vector.cells, evaluation)
    labels = [vector.labels.labels(ref) for ref in vector.refs.tolist()]
    if vector.steps == 1:
        time = grid.start_ms
        series = [
            Series(names, [(time, value)])
            for names, value in zip(labels, vector.values[0].tolist(), strict=True)
        ]
    else:
        series = []
        times = grid.times()
        for column, names in enumerate(labels):
            series.append(Series(names, _column(times, vector.values[:, column], _mask_of(vector, column))))
    return series if keep_order else sorted(series, key=lambda one: one.labels)


def _check_size(points: int, evaluation: Evaluation) -> None:
    most = evaluation.limits.max_result_points
    if points > most:
        raise EvaluationError(
            f"the result would have {points:,} points, more than the {most:,} that one query may return: "
            "select fewer series, a shorter time or a longer step"
        )


def _mask_of(vector: Vector, column: int) -> Mask | None:
    return None if vector.present is None else vector.present[:, column]


def _column(times: Ints, values: Floats, mask: Mask | None) -> list[tuple[int, float]]:
    if mask is not None:
        times, values = times[mask], values[mask]
    return list(zip(times.tolist(), values.tolist(), strict=True))


def _raw(node: RangeSource, evaluation: Evaluation, compiler: Compiler) -> list[Series]:
    """The samples in a range selector or subquery, as they are."""
    grid = evaluation.grid
    series: list[Series] = []
    points = 0
    for block, rows in node.ranges(evaluation, grid).pieces:
        first, last = rows.low, rows.high
        if last <= first:
            continue
        evaluation.spend(len(block) * (last - first))
        points += len(block) * (last - first)
        _check_size(points, evaluation)
        values, valid = block.samples_between(first, last)
        vector = Vector(block.labels, block.refs, values, valid, block.dropped).normal()
        if not len(vector):
            continue
        vector = compiler.workspace.names.settled(vector)
        times = block.times[first:last]
        for column, ref in enumerate(vector.refs.tolist()):
            samples = _column(times, vector.values[:, column], _mask_of(vector, column))
            series.append(Series(vector.labels.labels(ref), samples))
    return sorted(series, key=lambda one: one.labels)


def _string(expr: Expr) -> str:
    while isinstance(expr, (Paren, Unary)):
        expr = expr.expr
    assert isinstance(expr, StringLiteral)
    return expr.value
