"""Hypothesis strategies for well-typed PromQL expressions."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import strategies as st

from watchkeeper.monitoring.promql.ast import (
    COMPARISONS,
    SET_OPERATORS,
    Aggregate,
    At,
    Binary,
    Call,
    Cardinality,
    Expr,
    Matcher,
    MatchOp,
    MatrixSelector,
    NumberLiteral,
    Paren,
    StringLiteral,
    Subquery,
    Unary,
    ValueType,
    VectorMatching,
    VectorSelector,
)
from watchkeeper.monitoring.promql.lexer import KEYWORDS
from watchkeeper.monitoring.promql.signatures import AGGREGATION_PARAMETERS, AGGREGATIONS, SIGNATURES

ARITHMETIC = ("+", "-", "*", "/", "%", "^", "atan2")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
label_names = st.one_of(
    st.sampled_from(
        ["job", "instance", "le", "a.b", "with space", "ünï", "on", "by", "sum", "without", "inf"]
    ),
    texts.filter(bool),
)
metric_names = st.one_of(
    st.sampled_from(["up", "http_requests_total", "job:up:sum", "a.b", "NaN", *sorted(KEYWORDS)]),
    texts.filter(bool),
)
durations = st.one_of(st.integers(1, 10**6), st.sampled_from([60_000, 300_000, 3_600_000, 604_800_000]))
ats: st.SearchStrategy[At] = st.one_of(
    st.none(), st.sampled_from(["start", "end"]), st.integers(-(10**12), 10**13)
)
offsets = st.one_of(st.just(0), durations, durations.map(lambda ms: -ms))
numbers = st.one_of(st.floats(allow_nan=False), st.just(math.nan), st.integers(-1000, 1000).map(float)).map(
    lambda value: NumberLiteral(value=value)
)
strings = texts.map(lambda value: StringLiteral(value=value))

_plain_matchers = st.builds(Matcher, label_names, st.sampled_from([MatchOp.EQUAL, MatchOp.NOT_EQUAL]), texts)
_regex_matchers = st.builds(
    Matcher,
    label_names,
    st.sampled_from([MatchOp.REGEX, MatchOp.NOT_REGEX]),
    st.sampled_from(["", ".*", "a|b", "5..", "x{2}", '"quoted"']),
)
matchers = st.one_of(_plain_matchers, _regex_matchers)


@st.composite
def selectors(draw: st.DrawFn) -> VectorSelector:
    name = Matcher("__name__", MatchOp.EQUAL, draw(metric_names))
    others = [matcher for matcher in draw(st.lists(matchers, max_size=3)) if matcher.name != "__name__"]
    placed = [name, *others] if draw(st.booleans()) else [*others, name]
    return VectorSelector(matchers=tuple(placed), offset_ms=draw(offsets), at=draw(ats))


ranges = st.builds(MatrixSelector, selector=selectors(), range_ms=durations)


@st.composite
def matchings(draw: st.DrawFn, op: str) -> VectorMatching:
    labels = tuple(draw(st.lists(label_names, max_size=2)))
    if op in SET_OPERATORS:
        return VectorMatching(cardinality=Cardinality.MANY_TO_MANY, labels=labels, on=draw(st.booleans()))
    cardinality = draw(
        st.sampled_from([Cardinality.ONE_TO_ONE, Cardinality.MANY_TO_ONE, Cardinality.ONE_TO_MANY])
    )
    include: tuple[str, ...] = ()
    if cardinality is not Cardinality.ONE_TO_ONE:
        include = tuple(name for name in draw(st.lists(label_names, max_size=2)) if name not in labels)
    return VectorMatching(cardinality=cardinality, labels=labels, on=draw(st.booleans()), include=include)


def _of(value_type: ValueType) -> st.SearchStrategy[Expr]:
    return {
        ValueType.SCALAR: scalars,
        ValueType.VECTOR: vectors,
        ValueType.MATRIX: matrices,
        ValueType.STRING: strings,
    }[value_type]


@st.composite
def _binaries(draw: st.DrawFn, scalar: bool) -> Expr:
    lhs = draw(scalars if scalar else vectors)
    rhs = draw(scalars if scalar else st.one_of(vectors, scalars))
    if not scalar and rhs.type is ValueType.SCALAR and draw(st.booleans()):
        lhs, rhs = rhs, lhs
    both_vectors = lhs.type is rhs.type is ValueType.VECTOR
    op = draw(
        st.sampled_from([*ARITHMETIC, *sorted(COMPARISONS), *(sorted(SET_OPERATORS) if both_vectors else [])])
    )
    return_bool = op in COMPARISONS and (scalar or draw(st.booleans()))
    matching = draw(matchings(op)) if both_vectors else None
    return Binary(op=op, lhs=lhs, rhs=rhs, return_bool=return_bool, matching=matching)


@st.composite
def _calls(draw: st.DrawFn, returns: ValueType) -> Expr:
    fitting = [signature for signature in SIGNATURES.values() if signature.returns is returns]
    signature = draw(st.sampled_from(fitting))
    most = len(signature.args) + 2 if signature.most is None else signature.most
    count = draw(st.integers(signature.least, most))
    kinds = [signature.args[min(i, len(signature.args) - 1)] for i in range(count)]
    return Call(func=signature.name, args=tuple(draw(_of(kind)) for kind in kinds), returns=returns)


@st.composite
def _aggregates(draw: st.DrawFn) -> Expr:
    op = draw(st.sampled_from(sorted(AGGREGATIONS)))
    param = draw(_of(AGGREGATION_PARAMETERS[op])) if op in AGGREGATION_PARAMETERS else None
    grouping = tuple(draw(st.lists(label_names, max_size=2)))
    return Aggregate(op=op, expr=draw(vectors), param=param, grouping=grouping, without=draw(st.booleans()))


def _unaries(of: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    return st.one_of(
        of.map(lambda expr: Unary(op="-", expr=expr)), of.map(lambda expr: Unary(op="+", expr=expr))
    )


scalars: st.SearchStrategy[Expr] = st.deferred(
    lambda: st.one_of(
        numbers,
        numbers,
        scalars.map(lambda expr: Paren(expr=expr)),
        _unaries(scalars),
        _binaries(scalar=True),
        _calls(ValueType.SCALAR),
    )
)
vectors: st.SearchStrategy[Expr] = st.deferred(
    lambda: st.one_of(
        selectors(),
        selectors(),
        vectors.map(lambda expr: Paren(expr=expr)),
        _unaries(vectors),
        _binaries(scalar=False),
        _calls(ValueType.VECTOR),
        _aggregates(),
    )
)
subqueries = st.deferred(
    lambda: st.builds(
        Subquery,
        expr=vectors,
        range_ms=durations,
        step_ms=st.one_of(st.none(), durations),
        offset_ms=offsets,
        at=ats,
    )
)
matrices: st.SearchStrategy[Expr] = st.one_of(ranges, subqueries)
expressions: st.SearchStrategy[Expr] = st.one_of(scalars, vectors, matrices, strings)


def bare(expr: Expr) -> Expr:
    """``expr`` without what does not change its meaning: no parentheses, and signs made part of numbers."""
    match expr:
        case Paren():
            return bare(expr.expr)
        case Unary():
            inner = bare(expr.expr)
            if isinstance(inner, NumberLiteral):
                negate = expr.op == "-" and not math.isnan(inner.value)
                return NumberLiteral(value=-inner.value if negate else inner.value)
            return Unary(op=expr.op, expr=inner)
        case Binary():
            return replace(expr, lhs=bare(expr.lhs), rhs=bare(expr.rhs))
        case Aggregate():
            return replace(expr, expr=bare(expr.expr), param=expr.param and bare(expr.param))
        case Call():
            return replace(expr, args=tuple(bare(arg) for arg in expr.args))
        case Subquery():
            return replace(expr, expr=bare(expr.expr))
        case _:
            return expr
