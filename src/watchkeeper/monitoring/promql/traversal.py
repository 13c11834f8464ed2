"""Walking over expressions. Always true: parents come before their children, in the order of the text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from watchkeeper.monitoring.promql.ast import Expr


def children(expr: Expr) -> list[Expr]:
    """The expressions directly inside ``expr``."""
    found: list[Expr] = []
    for field in fields(expr):
        value = getattr(expr, field.name)
        if isinstance(value, Expr):
            found.append(value)
        elif isinstance(value, tuple):
            found.extend(item for item in value if isinstance(item, Expr))
    return found


def walk(expr: Expr) -> Iterator[Expr]:
    """``expr`` and every expression inside it."""
    stack = [expr]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(children(node)))
