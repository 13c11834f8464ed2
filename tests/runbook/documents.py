"""Small runbooks for tests: the default with one piece replaced, and a minimal one."""

from __future__ import annotations

import textwrap
from datetime import date

import pytest

from watchkeeper.runbook.errors import Problem, RunbookError
from watchkeeper.runbook.loading import LoadedRunbook, default_text, load_bytes
from watchkeeper.runbook.models.references import ExprProblem

MINIMAL = """
runbook: 1
platform: Test
monitoring:
  layers:
    - id: api
      title: API
      signals:
        - id: errors
          title: Errors
          expr: sum by (service, env, region) (rate(x_total[$window]))
          page: {above: 5%, over: 2m}
      playbook: look
playbooks:
  look:
    title: Look
    steps:
      - {id: see, action: changes.recent}
"""


def check_balanced(text: str) -> ExprProblem | None:
    """Stands for the PromQL parser: the first closing parenthesis too many is the mistake."""
    depth = 0
    for offset, char in enumerate(text):
        depth += {"(": 1, ")": -1}.get(char, 0)
        if depth < 0:
            return ExprProblem("unexpected )", offset)
    return ExprProblem("unclosed (", len(text)) if depth else None


def read(text: str, *, today: date | None = None, overlay: str | None = None) -> LoadedRunbook:
    """The runbook that ``text`` is."""
    over = None if overlay is None else ("overlay.yaml", textwrap.dedent(overlay).encode())
    raw = textwrap.dedent(text).encode()
    return load_bytes("runbook.yaml", raw, check_expr=check_balanced, today=today, overlay=over)


def problems(text: str, *, today: date | None = None, overlay: str | None = None) -> tuple[Problem, ...]:
    """What is wrong with it; fails when nothing is."""
    with pytest.raises(RunbookError) as caught:
        read(text, today=today, overlay=overlay)
    return caught.value.problems


def only(text: str, *, today: date | None = None, overlay: str | None = None) -> Problem:
    """The one thing that is wrong with it."""
    found = problems(text, today=today, overlay=overlay)
    assert len(found) == 1, "\n".join(problem.render() for problem in found)
    return found[0]


def minimal(old: str = "", new: str = "") -> str:
    """The minimal runbook with ``old`` replaced by ``new``."""
    assert old in MINIMAL
    return MINIMAL.replace(old, new, 1)


def default(old: str = "", new: str = "") -> str:
    """The default runbook with ``old`` replaced by ``new``."""
    text = default_text()
    assert old in text, old
    return text.replace(old, new, 1)
