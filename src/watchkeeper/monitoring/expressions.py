"""PromQL texts put together from the runbook's parts, readable by the person who gets the page.

Always true: what comes out parses, and means the parts that went in whatever operators they end with,
because every part stands in its own parentheses unless it is a single selector, call or aggregate
(tests/monitoring/test_compile.py).
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from watchkeeper.monitoring.promql.ast import (
    SET_OPERATORS,
    Aggregate,
    Binary,
    Call,
    Cardinality,
    Expr,
    MatrixSelector,
    Paren,
    Subquery,
    Unary,
    ValueType,
    VectorSelector,
    quote,
)
from watchkeeper.monitoring.promql.parser import parse

_SELECTING = frozenset({"topk", "bottomk", "limitk", "limit_ratio"})
_WITHOUT_LABELS = frozenset({"vector", "scalar", "time"})


def first_with_data(alternatives: Sequence[str]) -> str:
    """Each series from the first of ``alternatives`` that has it."""
    if len(alternatives) == 1:
        return textwrap.dedent(alternatives[0]).strip()
    return "\nor\n".join(enclosed(text) for text in alternatives)


def enclosed(text: str) -> str:
    """``text`` so that any operator may follow it."""
    text = textwrap.dedent(text).strip()
    if "#" not in text and isinstance(parse(text), (VectorSelector, Aggregate, Call, Paren)):
        return text
    if "\n" not in text and "#" not in text:  # a comment would swallow the parenthesis
        return f"({text})"
    return "(\n" + textwrap.indent(text, "  ") + "\n)"


def compared(value: str, operator: str, figure: float) -> str:
    """``value`` where it is beyond ``figure``."""
    return f"{enclosed(value)} {operator} {number(figure)}"


def guarded(line: str, guard: str | None, value: str) -> str:
    """``line`` (made from ``value``) where ``guard`` has a result too, matched on the labels they share."""
    if guard is None:
        return line
    mine, its = result_labels(parse(value)), result_labels(parse(guard))
    if mine == its:
        joint = "and"
    else:
        known = [labels for labels in (mine, its) if labels is not None]
        joint = f"and on ({', '.join(sorted(frozenset.intersection(*known)))})"
    return f"{enclosed(line)}\n{joint}\n{enclosed(guard)}"


def latched(line: str, keep: str, alertname: str, rule_labels: Iterable[str]) -> str:
    """``line``, and, while the alert fires, ``keep`` too: hysteresis in plain PromQL.

    ``ALERTS`` is the series in which Prometheus (and our own engine) say which alerts fire; its labels are
    those of the element and those of the rule, so the rule's are left out of the match.
    """
    added = ", ".join(sorted({"alertname", "alertstate", *rule_labels}))
    firing = f'ALERTS{{alertname={quote(alertname)}, alertstate="firing"}}'
    return f"{enclosed(line)}\nor\n(\n  {_indented(enclosed(keep))}\n  and ignoring ({added})\n  {firing}\n)"


def absent(value: str) -> str:
    """One element where ``value`` has none at all."""
    return f"absent({_indented(enclosed(value))})"


def number(figure: float) -> str:
    """``figure`` as PromQL reads it, without a needless ``.0``."""
    return str(int(figure)) if figure == int(figure) and abs(figure) < 1e15 else repr(float(figure))


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def result_labels(expr: Expr) -> frozenset[str] | None:
    """The names that the labels of ``expr``'s elements can have; None where only the data can tell."""
    if isinstance(expr, (Paren, Unary)):
        return result_labels(expr.expr)
    if isinstance(expr, Subquery):
        return result_labels(expr.expr)
    if isinstance(expr, (VectorSelector, MatrixSelector)):
        return None
    if isinstance(expr, Aggregate):
        return _of_aggregate(expr)
    if isinstance(expr, Call):
        return _of_call(expr)
    if isinstance(expr, Binary):
        return _of_binary(expr)
    return frozenset()


def _of_aggregate(expr: Aggregate) -> frozenset[str] | None:
    inner = result_labels(expr.expr)
    if expr.op in _SELECTING:
        return inner
    if expr.op == "count_values":
        return None
    if expr.without:
        return None if inner is None else inner - set(expr.grouping)
    return frozenset(expr.grouping)


def _of_call(expr: Call) -> frozenset[str] | None:
    if expr.func in _WITHOUT_LABELS:
        return frozenset()
    if expr.func in ("absent", "absent_over_time", "label_replace", "label_join"):
        return None
    vectors = [arg for arg in expr.args if arg.type in (ValueType.VECTOR, ValueType.MATRIX)]
    if not vectors:
        return frozenset()
    inner = result_labels(vectors[-1])
    if inner is not None and expr.func.startswith("histogram_"):
        return inner - {"le"}
    return inner


def _of_binary(expr: Binary) -> frozenset[str] | None:
    if expr.matching is None:
        vector = expr.lhs if expr.lhs.type is ValueType.VECTOR else expr.rhs
        return result_labels(vector)
    lhs, rhs = result_labels(expr.lhs), result_labels(expr.rhs)
    if expr.op == "or":
        return lhs if lhs == rhs else None
    if expr.op in SET_OPERATORS:
        return lhs
    matching = expr.matching
    if matching.cardinality is Cardinality.ONE_TO_ONE:
        if matching.on:
            return frozenset(matching.labels)
        return None if lhs is None else lhs - set(matching.labels)
    many = lhs if matching.cardinality is Cardinality.MANY_TO_ONE else rhs
    return None if many is None else many | set(matching.include)
