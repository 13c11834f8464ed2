"""What a PromQL expression is, once read. Plain data: nothing here evaluates.

Every node carries ``start`` and ``end``, offsets into the text it was read from, so that an error can
point at its place. Durations and times are integer milliseconds, as Prometheus holds them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class ValueType(StrEnum):
    """What an expression evaluates to; the names are those of Prometheus' HTTP API."""

    SCALAR = "scalar"
    VECTOR = "vector"
    MATRIX = "matrix"
    STRING = "string"


class MatchOp(StrEnum):
    """How a label matcher compares."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


@dataclass(frozen=True, slots=True)
class Matcher:
    """One label matcher. An absent label is the empty string; a regex is anchored at both ends (RE2)."""

    name: str
    op: MatchOp
    value: str

    def __str__(self) -> str:
        return f"{self.name}{self.op}{quote(self.value)}"


def quote(text: str) -> str:
    """``text`` as a double-quoted PromQL string."""
    body = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{body}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Expr:
    """Any expression. Two expressions are equal when they mean the same, wherever they stand."""

    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)

    @property
    def type(self) -> ValueType:
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberLiteral(Expr):
    value: float

    @property
    def type(self) -> ValueType:
        return ValueType.SCALAR


@dataclass(frozen=True, slots=True, kw_only=True)
class StringLiteral(Expr):
    value: str

    @property
    def type(self) -> ValueType:
        return ValueType.STRING


At = int | Literal["start", "end"] | None
"""The ``@`` modifier: a Unix time in milliseconds, the query's own start or end, or none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorSelector(Expr):
    """An instant selector. ``matchers`` include the metric name as a matcher on ``__name__``."""

    matchers: tuple[Matcher, ...]
    offset_ms: int = 0
    at: At = None

    @property
    def type(self) -> ValueType:
        return ValueType.VECTOR


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixSelector(Expr):
    """A range selector: ``selector[range]``, the window left-open, right-closed."""

    selector: VectorSelector
    range_ms: int

    @property
    def type(self) -> ValueType:
        return ValueType.MATRIX


@dataclass(frozen=True, slots=True, kw_only=True)
class Subquery(Expr):
    """``expr[range:step]``; ``step_ms`` is None where the default (the evaluation interval) holds."""

    expr: Expr
    range_ms: int
    step_ms: int | None
    offset_ms: int = 0
    at: At = None

    @property
    def type(self) -> ValueType:
        return ValueType.MATRIX


@dataclass(frozen=True, slots=True, kw_only=True)
class Paren(Expr):
    expr: Expr

    @property
    def type(self) -> ValueType:
        return self.expr.type


@dataclass(frozen=True, slots=True, kw_only=True)
class Unary(Expr):
    op: Literal["+", "-"]
    expr: Expr

    @property
    def type(self) -> ValueType:
        return self.expr.type


class Cardinality(StrEnum):
    ONE_TO_ONE = "one-to-one"
    MANY_TO_ONE = "many-to-one"
    ONE_TO_MANY = "one-to-many"
    MANY_TO_MANY = "many-to-many"


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorMatching:
    """How the two sides of a vector operation find each other.

    ``on`` True: match on ``labels`` only; False: on all labels but ``labels`` (and ``__name__``).
    ``include`` are the labels that ``group_left``/``group_right`` copy from the one side.
    """

    cardinality: Cardinality = Cardinality.ONE_TO_ONE
    labels: tuple[str, ...] = ()
    on: bool = False
    include: tuple[str, ...] = ()


COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})
SET_OPERATORS = frozenset({"and", "or", "unless"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary(Expr):
    """``lhs op rhs``; ``matching`` is set exactly when both sides are vectors."""

    op: str
    lhs: Expr
    rhs: Expr
    return_bool: bool = False
    matching: VectorMatching | None = None

    @property
    def type(self) -> ValueType:
        both_scalar = self.lhs.type is ValueType.SCALAR and self.rhs.type is ValueType.SCALAR
        return ValueType.SCALAR if both_scalar else ValueType.VECTOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate(Expr):
    """``op by|without (grouping) (param, expr)``."""

    op: str
    expr: Expr
    param: Expr | None = None
    grouping: tuple[str, ...] = ()
    without: bool = False

    @property
    def type(self) -> ValueType:
        return ValueType.VECTOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Expr):
    """A function call; ``returns`` comes from the function's signature."""

    func: str
    args: tuple[Expr, ...]
    returns: ValueType = ValueType.VECTOR

    @property
    def type(self) -> ValueType:
        return self.returns


class PromQLError(ValueError):
    """A PromQL text that cannot be used. ``start``/``end`` are offsets into that text."""

    def __init__(self, message: str, start: int, end: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.start = start
        self.end = start + 1 if end is None else end


class UnsupportedError(PromQLError):
    """PromQL that Prometheus would take, and this engine does not: experimental, or for native histograms."""
