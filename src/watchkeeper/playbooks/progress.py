"""What a move or its result makes of a run. Pure.

Always true: every function returns a run in which exactly what it says has changed; a settled step is never
unsettled but by a person's answer to a question about it (tests/playbooks/test_decide_properties.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from watchkeeper.playbooks.decide import (
    Ask,
    Begin,
    Check,
    Elapsed,
    End,
    Fail,
    Instant,
    Look,
    Rewind,
    Skip,
    Sleep,
    TakeBack,
    doubt_words,
)
from watchkeeper.playbooks.models import (
    Abort,
    Answer,
    Record,
    Run,
    RunState,
    StepState,
    Target,
)


@dataclass(frozen=True, slots=True)
class Succeeded:
    """It was carried out, and what it expects is met."""

    target: Target
    outputs: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """It was not. ``unsure``: something of it may have happened."""

    target: Target
    error: str
    outputs: Mapping[str, Any] = field(default_factory=dict)
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class NotYet:
    """A look at what is waited for: it is not so; ``seen`` says what is."""

    target: Target
    seen: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found out about a step in doubt."""

    target: Target
    found: Literal["happened", "did not happen", "unknown"]
    summary: str = ""
    outputs: Mapping[str, Any] = field(default_factory=dict)


Result = Succeeded | Failed | NotYet | Checked


def applied(run: Run, move: Instant | Begin | Look | Check, now: datetime) -> Run:
    """``run`` after ``move``; of one that is carried out, after it has begun."""
    if isinstance(move, End):
        return replace(run, state=move.state, problem=move.problem, ended_at=now)
    if isinstance(move, TakeBack):
        return aborted(run, move.by, move.reason, now)
    target = move.target
    record = run.record(target)
    match move:
        case Begin():
            begun = replace(
                _quiet(record), state=StepState.BEGUN, attempts=record.attempts + 1, begun_at=now, error=None
            )
            return _active(run.put(target, begun))
        case Look(first=True):
            due = now + (run.spec(target).timeout or move.work.timeout)
            waiting = replace(record, state=StepState.WAITING, awaits="condition", since=now, due_at=due)
            return _active(run.put(target, replace(waiting, begun_at=now, attempts=record.attempts + 1)))
        case Look():
            return _active(run)
        case Check():
            return _active(run.put(target, replace(record, state=StepState.IN_DOUBT, unsure=True)))
        case Sleep(until=until):
            waiting = replace(record, state=StepState.WAITING, awaits="time", since=now, due_at=until)
            return run.put(target, replace(waiting, begun_at=now, attempts=record.attempts + 1))
        case Elapsed():
            return _done(run, target, replace(record, summary="the time has passed"), now)
        case Ask():
            return _asked(run, move, record, now)
        case Skip(why=why):
            skipped = replace(_quiet(record), state=StepState.SKIPPED, summary=why, ended_at=now)
            return run.put(target, skipped)
        case Fail(error=error):
            return run.put(target, _failed(record, error, now))
        case Rewind():
            return run.put(target, _rewound(record, now))


def ended(run: Run, result: Result, now: datetime) -> Run:
    """``run`` after the result of what was begun."""
    target = result.target
    record = run.record(target)
    match result:
        case Succeeded(outputs=outputs, summary=summary):
            return _done(run, target, replace(record, outputs=outputs, summary=summary), now)
        case Failed(error=error, outputs=outputs, unsure=unsure):
            failed = replace(_failed(record, error, now), outputs=outputs, unsure=record.unsure or unsure)
            return run.put(target, failed)
        case NotYet(seen=seen):
            return run.put(target, replace(record, looked_at=now, summary=seen))
        case Checked(found="happened", outputs=outputs, summary=summary):
            return _done(run, target, replace(record, outputs=outputs, summary=summary), now)
        case Checked(found="did not happen"):
            return run.put(target, replace(record, state=StepState.PENDING, unsure=False))
        case Checked():
            words = doubt_words(run.spec(target), result.summary or "its check could not tell")
            return _asked(run, Ask(target, "doubt", words), record, now)


def aborted(run: Run, by: str, reason: str, now: datetime) -> Run:
    """``run`` from now on taken back. What was under way may have happened; nothing is asked any more."""
    for step in run.playbook.steps:
        target = Target(step.id)
        record = run.record(target)
        if record.state in (StepState.BEGUN, StepState.IN_DOUBT):
            run = run.put(target, replace(_failed(record, "the run was aborted meanwhile", now), unsure=True))
        elif record.state is StepState.WAITING:
            run = run.put(target, _failed(record, "the run was aborted", now))
    abort = Abort(by, reason, now)
    return _active(replace(run, progress=replace(run.progress, abort=abort)))


def answered(run: Run, answer: Answer, now: datetime) -> Run:
    """``run`` after ``answer``, which was checked (see :mod:`watchkeeper.playbooks.questions`)."""
    if answer.step is None:
        return run if run.progress.abort else aborted(run, answer.by, answer.note or "no reason given", now)
    target = asked_target(run, answer.step)
    record = run.record(target)
    answers = (*record.answers, answer)
    note = next((one.note for one in answers if one.note and one.verdict == answer.verdict), "")
    record = replace(record, answers=answers)
    who = answer.by.partition(":")[2] or answer.by
    match answer.verdict:
        case "abort":
            return aborted(run.put(target, record), answer.by, answer.note or f"{who} said so", now)
        case "skip":
            skipped = replace(_quiet(record), state=StepState.SKIPPED, note=note, ended_at=now)
            sure = record.unsure and record.about != "doubt"
            run = run.put(target, replace(skipped, summary=f"skipped by {who}", unsure=sure))
        case "retry":
            run = run.put(target, replace(_quiet(record), state=StepState.PENDING, note=note))
        case "confirm":
            if record.about == "manual" and run.spec(target).four_eyes and len(_confirmers(answers)) < 2:
                return run.put(target, record)
            by = " and ".join(sorted(_confirmers(answers))) if record.about == "manual" else who
            run = _done(run, target, replace(record, note=note, summary=f"confirmed by {by}"), now)
    return _active(run)


def asked_target(run: Run, step: str) -> Target:
    """What a person means by the step's id: while the run is taken back, the undo of it."""
    return Target(step, undo=run.progress.abort is not None and run.playbook.step(step) is not None)


def _confirmers(answers: tuple[Answer, ...]) -> set[str]:
    return {one.by.partition(":")[2].casefold() for one in answers if one.verdict == "confirm"}


def _asked(run: Run, move: Ask, record: Record, now: datetime) -> Run:
    waiting = replace(
        record,
        state=StepState.WAITING,
        awaits="person",
        about=move.about,
        question=move.text,
        since=now,
        due_at=move.due_at,
        answers=(),
        unsure=record.unsure or move.about == "doubt",
    )
    return replace(run.put(move.target, waiting), problem=move.text)


def _done(run: Run, target: Target, record: Record, now: datetime) -> Run:
    done = replace(_quiet(record), state=StepState.DONE, ended_at=now, error=None, unsure=False)
    run = run.put(target, done)
    if target.undo:
        step = Target(target.step)
        run = run.put(step, replace(run.record(step), state=StepState.UNDONE))
    return run


def _failed(record: Record, error: str, now: datetime) -> Record:
    return replace(_quiet(record), state=StepState.FAILED, error=error, ended_at=now)


def _quiet(record: Record) -> Record:
    """The same, waiting for nothing."""
    return replace(record, awaits=None, about=None, question="", since=None, due_at=None, looked_at=None)


def _rewound(record: Record, now: datetime) -> Record:
    assert record.since is not None
    due = None if record.due_at is None else now + (record.due_at - record.since)
    return replace(record, since=now, due_at=due, looked_at=None)


def _active(run: Run) -> Run:
    return replace(run, state=RunState.ACTIVE, problem=None)
