"""Runs and plans of playbooks as lines for a terminal. Pure; nothing from outside moves the cursor."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from watchkeeper.cli.plain import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from watchkeeper.playbooks.plan import Planned
    from watchkeeper.playbooks.reading import RunView, StepView

_MARKS = {
    "pending": "·",
    "begun": "▶",
    "waiting": "?",
    "in doubt": "?",
    "done": "●",
    "failed": "■",
    "skipped": "◌",
    "undone": "↶",
}


def plan_table(planned: Sequence[Planned]) -> Table:
    """What a run would do, a row for each step."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_edge=False, pad_edge=False)
    for heading in ("step", "what", "done by", "with", "within", "if it fails"):
        table.add_column(heading, overflow="fold")
    for one in planned:
        by = f"{one.kind} {one.verb}" if one.carried else f"a person ({one.asks})"
        if one.verb and not one.carried:
            by += f": nothing carries out {one.verb} here yet"
        words = one.words + (f" (needs {', '.join(one.needs)})" if one.needs else "")
        given = [f"{key}: {_value(value)}" for key, value in one.with_.items()]
        given += [f"expect {key}: {_value(value)}" for key, value in (one.expect or {}).items()]
        failing = one.on_failure + (f"; in doubt: {one.on_doubt}" if one.on_doubt else "")
        failing += f"; undo: {one.undo}" if one.undo else ""
        limit = str(one.limit) if one.limit else "-"
        cells = (one.id, words, by, "\n".join(given), limit, failing)
        table.add_row(*(Text(plain_lines(cell.split("\n"))) for cell in cells))
    return table


def head(found: RunView) -> list[str]:
    """What the run is and how it stands; the first line alone says the latter."""
    began = f"{found.started_at:%Y-%m-%d %H:%M:%SZ}"
    lines = [f"{found.id}: {found.state.value}" + (f" ({found.problem})" if found.problem else "")]
    lines.append(f"  {found.title}, started {began} by {found.started_by}")
    if found.subject:
        lines.append(f"  for {found.subject}")
    lines += [f"  {key}: {_value(value)}" for key, value in found.inputs.items() if value is not None]
    return lines


def step_lines(step: StepView) -> list[str]:
    """One step, what came of it, and its outputs."""
    name = f"undo of {step.id}" if step.undo else step.id
    said = step.error or step.summary
    line = f"{_MARKS[step.state.value]} {name:<16} {step.state.value:<8} {step.words}"
    lines = [line + (f": {said}" if said else "")]
    if step.note:
        lines.append(f"    note: {step.note}")
    shown = {key: value for key, value in step.outputs.items() if value not in ("", None)}
    for key, value in list(shown.items())[:8]:
        lines.append(f"    {key}: {_value(value)}")
    return lines


def question(found: RunView) -> list[str]:
    """What the run asks, whom, and how it is answered; nothing where it asks nothing."""
    step = found.asking
    if step is None:
        return []
    who = "two people" if step.four_eyes else f"a {step.role}"
    lines = [f"step {step.id} asks {who}: {step.question}"]
    if step.confirmed_by:
        lines.append(f"  confirmed by {', '.join(step.confirmed_by)}; one more must")
    if step.due_at:
        lines.append(f"  until {step.due_at:%Y-%m-%d %H:%M:%SZ}")
    lines.append(f"  watchkeeper playbook answer {found.id} {step.id} {'|'.join(step.verdicts)} --note ...")
    return lines


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= 200 else f"{text[:200]}…"


def plain_lines(lines: Sequence[str]) -> str:
    """Several lines, each made plain."""
    return "\n".join(map(plain, lines))
