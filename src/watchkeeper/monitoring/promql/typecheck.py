"""The rules of PromQL's types: which expression may stand where.

Always true: these functions look at one node and at the types of its parts; they either return or raise
:class:`PromQLError` at the part that is wrong. The wording is Prometheus'.
"""

from __future__ import annotations

from dataclasses import replace

from watchkeeper.monitoring.promql.ast import (
    COMPARISONS,
    SET_OPERATORS,
    Aggregate,
    Cardinality,
    Expr,
    Matcher,
    MatchOp,
    PromQLError,
    Subquery,
    Unary,
    ValueType,
    VectorMatching,
)
from watchkeeper.monitoring.promql.signatures import AGGREGATION_PARAMETERS, Signature
from watchkeeper.monitoring.regex import compile_anchored

_OPERANDS = (ValueType.SCALAR, ValueType.VECTOR)
_DOCUMENTED = {
    ValueType.VECTOR: "instant vector",
    ValueType.MATRIX: "range vector",
}


def documented(value_type: ValueType) -> str:
    """The name that the documentation of PromQL uses for a type."""
    return _DOCUMENTED.get(value_type, value_type.value)


def expect(expr: Expr, wanted: ValueType, context: str) -> None:
    """``expr`` must have the type ``wanted``."""
    if expr.type is not wanted:
        raise PromQLError(
            f"expected type {documented(wanted)} in {context}, got {documented(expr.type)}",
            expr.start,
            expr.end,
        )


def check_call(signature: Signature, args: tuple[Expr, ...], start: int, end: int) -> None:
    """The number and the types of a function's arguments."""
    given, name = len(args), signature.name
    if signature.variadic == 0 and given != signature.least:
        raise PromQLError(
            f'expected {signature.least} argument(s) in call to "{name}", got {given}', start, end
        )
    if given < signature.least:
        raise PromQLError(
            f'expected at least {signature.least} argument(s) in call to "{name}", got {given}', start, end
        )
    if signature.most is not None and given > signature.most:
        raise PromQLError(
            f'expected at most {signature.most} argument(s) in call to "{name}", got {given}', start, end
        )
    for position, arg in enumerate(args):
        wanted = signature.args[min(position, len(signature.args) - 1)]
        expect(arg, wanted, f'call to function "{name}"')


def check_aggregate(node: Aggregate) -> None:
    """The types of what is aggregated and of the parameter."""
    expect(node.expr, ValueType.VECTOR, "aggregation expression")
    if node.param is not None:
        expect(node.param, AGGREGATION_PARAMETERS[node.op], "aggregation parameter")


def check_unary(node: Unary) -> None:
    """Only numbers and vectors have a sign."""
    if node.expr.type not in _OPERANDS:
        raise PromQLError(
            "unary expression only allowed on expressions of type scalar or instant vector, "
            f'got "{documented(node.expr.type)}"',
            node.start,
            node.end,
        )


def check_subquery(node: Subquery) -> None:
    """Only an instant vector can be asked for at many times."""
    if node.expr.type is not ValueType.VECTOR:
        raise PromQLError(
            f"subquery is only allowed on instant vector, got {node.expr.type} instead", node.start, node.end
        )


def check_binary(
    op: str,
    op_span: tuple[int, int],
    lhs: Expr,
    rhs: Expr,
    *,
    return_bool: bool,
    matching: VectorMatching | None,
) -> VectorMatching | None:
    """The types on both sides of ``op``; returns how vectors match, None unless both sides are vectors.

    ``matching`` is what was written (None: nothing was).
    """
    if return_bool and op not in COMPARISONS:
        raise PromQLError("bool modifier can only be used on comparison operators", *op_span)
    scalars = [side.type is ValueType.SCALAR for side in (lhs, rhs)]
    if all(scalars) and op in COMPARISONS and not return_bool:
        raise PromQLError("comparisons between scalars must use BOOL modifier", *op_span)
    written = matching or VectorMatching()
    if written.on:
        for label in written.labels:
            if label in written.include:
                raise PromQLError(f'label "{label}" must not occur in ON and GROUP clause at once', *op_span)
    for side in (lhs, rhs):
        if side.type not in _OPERANDS:
            raise PromQLError(
                "binary expression must contain only scalar and instant vector types", side.start, side.end
            )
    if any(scalars):
        if written.labels:
            raise PromQLError("vector matching only allowed between instant vectors", lhs.start, rhs.end)
        if op in SET_OPERATORS:
            raise PromQLError(
                f'set operator "{op}" not allowed in binary scalar expression', lhs.start, rhs.end
            )
        return None
    if op in SET_OPERATORS:
        if written.cardinality is not Cardinality.ONE_TO_ONE:
            raise PromQLError(f'no grouping allowed for "{op}" operation', lhs.start, rhs.end)
        return replace(written, cardinality=Cardinality.MANY_TO_MANY)
    return written


def check_matchers(name: str | None, matchers: tuple[Matcher, ...], start: int, end: int) -> None:
    """A selector must name what it selects, once. ``name`` is the metric name before the braces, if any."""
    if name is not None:
        for matcher in matchers[1:]:
            if matcher.name == "__name__":
                raise PromQLError(
                    f'metric name must not be set twice: "{name}" or "{matcher.value}"', start, end
                )
        return
    if not any(_excludes_empty(matcher) for matcher in matchers):
        raise PromQLError("vector selector must contain at least one non-empty matcher", start, end)


def _excludes_empty(matcher: Matcher) -> bool:
    if matcher.op is MatchOp.EQUAL:
        return matcher.value != ""
    if matcher.op is MatchOp.NOT_EQUAL:
        return matcher.value == ""
    matches = compile_anchored(matcher.value).fullmatch("") is not None
    return matches is (matcher.op is MatchOp.NOT_REGEX)
