"""Runs for whoever looks at them: the console, the command line, an incident's page. Changes nothing.

Always true: answers that the runner has not read yet are counted in (tests/playbooks/test_reading.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from watchkeeper.playbooks import questions, rows, templates
from watchkeeper.playbooks.models import Abort, Answer, Record, Run, RunState, StepState, Target, Verdict
from watchkeeper.runbook.models.playbooks import StepKind
from watchkeeper.store.models import runs as table


@dataclass(frozen=True, slots=True)
class StepView:
    """One step, or the undo of one. ``verdicts``: what may be answered now, empty while nothing is asked;
    ``role`` who may, ``four_eyes``: two of them must confirm; ``confirmed_by`` those who did already."""

    id: str
    kind: StepKind
    verb: str | None
    words: str
    state: StepState
    current: bool
    attempts: int
    begun_at: datetime | None
    ended_at: datetime | None
    due_at: datetime | None
    summary: str
    error: str | None
    note: str
    outputs: Mapping[str, Any]
    about: str | None
    question: str
    verdicts: tuple[Verdict, ...]
    role: str
    four_eyes: bool
    confirmed_by: tuple[str, ...]
    answers: tuple[Answer, ...]
    undo: bool
    has_undo: bool


@dataclass(frozen=True, slots=True)
class RunView:
    """One run. ``undos`` are what an abort takes back, in order; ``held``: a process carries it out now."""

    id: str
    playbook: str
    title: str
    subject: str | None
    inputs: Mapping[str, Any]
    state: RunState
    problem: str | None
    started_at: datetime
    started_by: str
    ended_at: datetime | None
    due_at: datetime | None
    held: bool
    abort: Abort | None
    steps: tuple[StepView, ...]
    undos: tuple[StepView, ...]
    definition_hash: str
    wakes: int

    @property
    def current(self) -> StepView | None:
        """The step, or undo, that is being done or waited for."""
        return next((step for step in (*self.undos, *self.steps) if step.current), None)

    @property
    def asking(self) -> StepView | None:
        """The step that asks a person, if one does."""
        return next((step for step in (*self.undos, *self.steps) if step.verdicts), None)


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a list of runs."""

    id: str
    playbook: str
    title: str
    subject: str | None
    state: RunState
    problem: str | None
    started_at: datetime
    started_by: str
    ended_at: datetime | None


def run(conn: Connection, run_id: str) -> RunView | None:
    """The run of that id, whole."""
    row = rows.load(conn, run_id)
    if row is None:
        return None
    found = questions.folded(row.run, row.answers)
    undos = found.undoable if found.progress.abort else ()
    return RunView(
        id=found.id,
        playbook=found.name,
        title=found.playbook.title,
        subject=found.subject,
        inputs=found.inputs,
        state=found.state,
        problem=found.problem,
        started_at=found.started_at,
        started_by=found.started_by,
        ended_at=found.ended_at,
        due_at=row.due_at,
        held=row.owner is not None,
        abort=found.progress.abort,
        steps=tuple(_view(found, Target(step.id)) for step in found.playbook.steps),
        undos=tuple(_view(found, target) for target in undos),
        definition_hash=row.definition_hash,
        wakes=row.wakes,
    )


def runs(
    conn: Connection,
    *,
    subject: str | None = None,
    playbook: str | None = None,
    live: bool = False,
    limit: int = 100,
) -> list[Listed]:
    """The newest runs first; of one ``subject`` (``incident:12``) or playbook, with ``live`` only those that
    are not over."""
    columns = (
        table.c.id,
        table.c.playbook,
        table.c.title,
        table.c.subject,
        table.c.state,
        table.c.problem,
        table.c.started_at,
        table.c.started_by,
        table.c.ended_at,
    )
    query = select(*columns).order_by(table.c.started_at.desc(), table.c.id.desc()).limit(limit)
    if subject is not None:
        query = query.where(table.c.subject == subject)
    if playbook is not None:
        query = query.where(table.c.playbook == playbook)
    if live:
        query = query.where(table.c.state.in_(("active", "waiting")))
    return [
        Listed(
            row.id,
            row.playbook,
            row.title,
            row.subject,
            RunState(row.state),
            row.problem,
            row.started_at,
            row.started_by,
            row.ended_at,
        )
        for row in conn.execute(query)
    ]


def _view(found: Run, target: Target) -> StepView:
    step, record = found.spec(target), found.record(target)
    own = found.playbook.step(target.step)
    return StepView(
        id=target.step,
        kind=step.kind,
        verb=step.verb,
        words=templates.words(found, target),
        state=record.state,
        current=found.current == target,
        attempts=record.attempts,
        begun_at=record.begun_at,
        ended_at=record.ended_at,
        due_at=record.due_at,
        summary=record.summary,
        error=record.error,
        note=record.note,
        outputs=record.outputs,
        about=record.about,
        question=record.question,
        verdicts=() if found.state.over else questions.verdicts(found, target),
        role=questions.needed_role(step),
        four_eyes=step.four_eyes and record.about in (None, "manual"),
        confirmed_by=_confirmed_by(record),
        answers=record.answers,
        undo=target.undo,
        has_undo=not target.undo and own is not None and own.undo is not None,
    )


def _confirmed_by(record: Record) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.by for one in record.answers if one.verdict == "confirm"))
