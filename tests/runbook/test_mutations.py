"""Whatever is done to a line of the runbook: it is valid all the way, or every problem has a place."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runbook.documents import read
from watchkeeper.runbook.clauses import clauses
from watchkeeper.runbook.errors import RunbookError
from watchkeeper.runbook.lint import lint
from watchkeeper.runbook.loading import LoadedRunbook, default_text
from watchkeeper.runbook.rendering import render

LINES = default_text().split("\n")
VALUES = [
    "",
    "null",
    "true",
    "5",
    "-1",
    "3%",
    "5m",
    "[]",
    "{}",
    "[1, {a: b}]",
    "{id: x}",
    "'",
    "*a",
    "{x}",
    "|",
    "é\u200b",
]


def mutated(seed: int) -> str:
    """The default runbook after one to three careless edits."""
    pick = random.Random(seed)
    lines = list(LINES)
    for _ in range(pick.randint(1, 3)):
        at = pick.randrange(len(lines))
        how, line = pick.randrange(5), lines[at]
        if how == 0:
            del lines[at]
        elif how == 1:
            lines.insert(at, line)
        elif how == 2:
            lines[at] = "  " + line
        elif how == 3:
            lines[at] = line[: pick.randint(0, len(line))]
        elif ":" in line:
            lines[at] = f"{line.split(':', 1)[0]}: {pick.choice(VALUES)}"
    return "\n".join(lines)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32))
def test_a_careless_edit_never_ends_in_another_error(seed: int) -> None:
    text = mutated(seed)
    try:
        loaded = read(text)
    except RunbookError as error:
        found = error.problems
    else:
        assert_usable(loaded)
        return
    assert found
    for problem in found:
        assert 1 <= problem.place.line <= len(text.split("\n"))
        assert problem.render()


def assert_usable(loaded: LoadedRunbook) -> None:
    assert render(loaded.runbook)
    assert len({clause.id for clause in clauses(loaded.runbook)}) == len(clauses(loaded.runbook))
    for clause in clauses(loaded.runbook):
        assert loaded.place(clause.loc).line >= 1
    for finding in lint(loaded):
        assert finding.render()
