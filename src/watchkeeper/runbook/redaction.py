"""Secrets that were pasted into a runbook do not reach a terminal, a log or a page through its errors.

A line of the file is shown with every scalar masked that stands where only the name of a secret belongs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from watchkeeper.runbook.errors import Problem
from watchkeeper.runbook.models.secrets import Secret
from watchkeeper.runbook.schema import model_at
from watchkeeper.runbook.tree import Node

MASK = "********"
SECRET_KEYS = frozenset(
    {
        "password",
        "passwd",
        "credentials",
        "routing_key",
        "secret",
        "token",
        "secret_key",
        "api_key",
        "authorization",
    }
)
"""Keys whose values are secrets, wherever they stand."""
_SECRET_LINE = re.compile(
    rf"((?:{'|'.join(sorted(SECRET_KEYS))})['\"]?\s*:\s*)([^\s{{][^,}}]*)", re.IGNORECASE
)


def without_secrets(tree: Node, problems: Iterable[Problem]) -> list[Problem]:
    """``problems`` with pasted secrets masked in the lines that they show."""
    masks: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for loc, node in tree.walk():
        pasted = node.fields is None and node.items is None and node.value is not None
        if not pasted or not loc or not (str(loc[-1]).lower() in SECRET_KEYS or model_at(loc) is Secret):
            continue
        for line in range(node.line, node.end_line + 1):
            start = node.column if line == node.line else 0
            end = node.end_column if line == node.end_line else len(_line(node, line))
            masks.setdefault((node.source.name, line + 1), []).append((start, end))
    return [_masked(problem, masks.get((problem.place.file, problem.place.line), ())) for problem in problems]


def without_secret_lines(problems: Iterable[Problem]) -> list[Problem]:
    """The same for a file that is no tree: what follows a key that says secret, by the look of the line."""
    return [
        replace(
            problem, place=replace(problem.place, text=_SECRET_LINE.sub(rf"\1{MASK}", problem.place.text))
        )
        for problem in problems
    ]


def _line(node: Node, line: int) -> str:
    return node.source.lines[line] if line < len(node.source.lines) else ""


def _masked(problem: Problem, spans: Iterable[tuple[int, int]]) -> Problem:
    text, place = problem.place.text, problem.place
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + MASK + text[end:]
        if place.column > end:  # what stands behind the mask moves with it
            place = replace(place, shown_at=place.shown_column + len(MASK) - (end - start))
        elif place.column == start + 1:
            place = replace(place, length=len(MASK))
    return replace(problem, place=replace(place, text=text))
