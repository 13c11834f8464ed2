"""An expression as canonical PromQL.

Always true: ``parse(to_string(parse(text))) == parse(text)``, and printing is stable: printing what was
read from printed text gives that text again (tests/monitoring/promql/test_printer.py). Parentheses are
added where a tree that was built by hand needs them.
"""

from __future__ import annotations

import math
import re

from watchkeeper.monitoring.promql.ast import (
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
    VectorMatching,
    VectorSelector,
)
from watchkeeper.monitoring.promql.durations import format_duration
from watchkeeper.monitoring.promql.lexer import KEYWORDS
from watchkeeper.monitoring.promql.parser import PRECEDENCE

_METRIC_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER_WORDS = frozenset({"inf", "nan"})
_UNARY = PRECEDENCE["^"] - 0.5
_OPERAND = PRECEDENCE["^"] + 1


def to_string(expr: Expr) -> str:
    """``expr`` as PromQL on one line."""
    match expr:
        case NumberLiteral():
            return format_number(expr.value)
        case StringLiteral():
            return quote_string(expr.value)
        case VectorSelector():
            return _selector(expr) + _modifiers(expr.at, expr.offset_ms)
        case MatrixSelector():
            selector = expr.selector
            window = f"[{format_duration(expr.range_ms)}]"
            return _selector(selector) + window + _modifiers(selector.at, selector.offset_ms)
        case Subquery():
            step = "" if expr.step_ms is None else format_duration(expr.step_ms)
            window = f"[{format_duration(expr.range_ms)}:{step}]"
            return _within(expr.expr, _OPERAND) + window + _modifiers(expr.at, expr.offset_ms)
        case Paren():
            return f"({to_string(expr.expr)})"
        case Unary():
            return expr.op + _within(expr.expr, _UNARY)
        case Binary():
            return _binary(expr)
        case Aggregate():
            return _aggregate(expr)
        case Call():
            return f"{expr.func}({', '.join(to_string(arg) for arg in expr.args)})"
        case _:
            raise TypeError(f"not a PromQL expression: {expr!r}")


def quote_string(text: str) -> str:
    """``text`` as a double-quoted PromQL string, which gives ``text`` again when read."""
    parts: list[str] = []
    for character in text:
        code = ord(character)
        if character in '"\\':
            parts.append("\\" + character)
        elif character == "\n":
            parts.append("\\n")
        elif 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, see the lexer
            parts.append(f"\\x{code - 0xDC00:02x}")
        else:
            parts.append(character)
    return '"' + "".join(parts) + '"'


def format_number(value: float) -> str:
    """``value`` with as many digits as it takes to read the same float again."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    if value == int(value) and abs(value) < 1e15:
        return f"-{-int(value)}" if math.copysign(1, value) < 0 else str(int(value))
    return repr(value)


def _level(expr: Expr) -> float:
    """How strongly the outermost operator of ``expr`` binds."""
    if isinstance(expr, Binary):
        return PRECEDENCE[expr.op]
    if isinstance(expr, Unary) or (isinstance(expr, NumberLiteral) and math.copysign(1, expr.value) < 0):
        return _UNARY
    return _OPERAND


def _within(expr: Expr, least: float) -> str:
    """``expr`` where only what binds at least as strongly as ``least`` can stand without parentheses."""
    text = to_string(expr)
    return text if _level(expr) >= least else f"({text})"


def _binary(node: Binary) -> str:
    precedence = PRECEDENCE[node.op]
    power = node.op == "^"
    left = _within(node.lhs, precedence + 1 if power else precedence)
    # A sign may stand to the right of any operator.
    right_is_signed = _level(node.rhs) == _UNARY
    right = to_string(node.rhs) if right_is_signed else _within(node.rhs, precedence + (0 if power else 1))
    modifiers = " bool" if node.return_bool else ""
    if node.matching is not None:
        modifiers += _matching(node.matching, right)
    return f"{left} {node.op}{modifiers} {right}"


def _matching(matching: VectorMatching, right: str) -> str:
    grouped = matching.cardinality in (Cardinality.MANY_TO_ONE, Cardinality.ONE_TO_MANY)
    if not (matching.on or matching.labels or grouped):
        return ""
    text = f" {'on' if matching.on else 'ignoring'} ({_labels(matching.labels)})"
    if grouped:
        text += " group_left" if matching.cardinality is Cardinality.MANY_TO_ONE else " group_right"
        if matching.include or right.startswith("("):
            text += f" ({_labels(matching.include)})"
    return text


def _aggregate(node: Aggregate) -> str:
    grouping = ""
    if node.grouping or node.without:
        grouping = f" {'without' if node.without else 'by'} ({_labels(node.grouping)}) "
    param = "" if node.param is None else f"{to_string(node.param)}, "
    return f"{node.op}{grouping}({param}{to_string(node.expr)})"


def _labels(names: tuple[str, ...]) -> str:
    return ", ".join(_label(name, reserved=_NUMBER_WORDS | {"without"}) for name in names)


def _label(name: str, *, reserved: frozenset[str] = frozenset()) -> str:
    plain = _LABEL_NAME.fullmatch(name) and name.lower() not in reserved
    return name if plain else quote_string(name)


def _selector(node: VectorSelector) -> str:
    matchers = list(node.matchers)
    name = ""
    if matchers and _names_metric(matchers[0]) and all(m.name != "__name__" for m in matchers[1:]):
        value = matchers[0].value
        if _METRIC_NAME.fullmatch(value) and value.lower() not in KEYWORDS | _NUMBER_WORDS:
            name = matchers.pop(0).value
    inside = ",".join(_matcher(matcher) for matcher in matchers)
    return f"{name}{{{inside}}}" if inside or not name else name


def _names_metric(matcher: Matcher) -> bool:
    return matcher.name == "__name__" and matcher.op is MatchOp.EQUAL


def _matcher(matcher: Matcher) -> str:
    return f"{_label(matcher.name)}{matcher.op}{quote_string(matcher.value)}"


def _modifiers(at: At, offset_ms: int) -> str:
    text = ""
    if at is not None:
        text += f" @ {at}()" if isinstance(at, str) else f" @ {_seconds(at)}"
    if offset_ms:
        text += f" offset {format_duration(offset_ms)}"
    return text


def _seconds(ms: int) -> str:
    sign = "-" if ms < 0 else ""
    whole, rest = divmod(abs(ms), 1000)
    return f"{sign}{whole}.{rest:03d}"
