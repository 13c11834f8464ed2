"""What a run is: the playbook as it was when the run began, and what is recorded of each of its steps. Pure.

Always true: a run survives JSON unchanged, with all that is known of it (tests/playbooks/test_models.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from watchkeeper.runbook.models.playbooks import Playbook, Step
from watchkeeper.store.canonical import rfc3339

Verdict = Literal["confirm", "skip", "retry", "abort"]
VERDICTS: tuple[Verdict, ...] = ("confirm", "skip", "retry", "abort")
About = Literal["manual", "by hand", "doubt", "failure"]
Awaits = Literal["person", "condition", "time"]
ROLES = ("viewer", "responder", "admin")
"""Each may do what the one before may."""


class PlaybookError(Exception):
    """Something about a playbook or a run that a person must put right; the message says what."""


class StepState(StrEnum):
    """How a step stands."""

    PENDING = "pending"
    BEGUN = "begun"
    WAITING = "waiting"
    IN_DOUBT = "in doubt"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNDONE = "undone"


class RunState(StrEnum):
    """How a run stands: ``active`` has something to do now, ``waiting`` is parked; the others are over."""

    ACTIVE = "active"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    ABORTED = "aborted"

    @property
    def over(self) -> bool:
        """Whether nothing more happens."""
        return self in (RunState.DONE, RunState.FAILED, RunState.ABORTED)


class Target(NamedTuple):
    """What a move is about: a step, or what takes it back."""

    step: str
    undo: bool = False

    def __str__(self) -> str:
        return f"undo of {self.step}" if self.undo else self.step


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person said. ``by`` is the journal's actor, ``person:ada``. ``step`` None: abort the run."""

    step: str | None
    verdict: Verdict
    by: str
    note: str
    at: datetime

    def same_as(self, other: Answer) -> bool:
        """Whether the same person said the same."""
        return (self.step, self.verdict, self.by.casefold()) == (
            other.step,
            other.verdict,
            other.by.casefold(),
        )


@dataclass(frozen=True, slots=True)
class Record:
    """What is recorded of one step (or undo).

    ``unsure``: it may have happened although it is not recorded as done. While it waits, ``awaits`` says for
    what, ``since`` when that began, ``due_at`` its end; of a question ``about`` and ``question`` say which.
    ``asked`` counts questions, so that one that failed is asked about once for each failure.
    """

    state: StepState = StepState.PENDING
    attempts: int = 0
    begun_at: datetime | None = None
    ended_at: datetime | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""
    error: str | None = None
    note: str = ""
    unsure: bool = False
    awaits: Awaits | None = None
    about: About | None = None
    question: str = ""
    since: datetime | None = None
    due_at: datetime | None = None
    looked_at: datetime | None = None
    answers: tuple[Answer, ...] = ()

    @property
    def open_question(self) -> bool:
        """Whether a person must answer."""
        return self.state is StepState.WAITING and self.awaits == "person"


@dataclass(frozen=True, slots=True)
class Abort:
    """Why and on whose word the run is being taken back."""

    by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands: a record for each step that was touched, and for each undo."""

    steps: Mapping[str, Record] = field(default_factory=dict)
    undos: Mapping[str, Record] = field(default_factory=dict)
    abort: Abort | None = None

    def of(self, target: Target) -> Record:
        """The record of ``target``; a fresh one where nothing is recorded yet."""
        return (self.undos if target.undo else self.steps).get(target.step) or Record()

    def put(self, target: Target, record: Record) -> Progress:
        """The same with ``record`` for ``target``."""
        if target.undo:
            return replace(self, undos={**self.undos, target.step: record})
        return replace(self, steps={**self.steps, target.step: record})


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a playbook. ``playbook`` is as it was when the run began, whatever it is now."""

    id: str
    name: str
    playbook: Playbook
    inputs: Mapping[str, Any]
    subject: str | None
    started_by: str
    started_at: datetime
    state: RunState = RunState.ACTIVE
    progress: Progress = field(default_factory=Progress)
    problem: str | None = None
    ended_at: datetime | None = None

    def spec(self, target: Target) -> Step:
        """The step as the playbook has it; of an undo, the step that it amounts to.

        An undo without ``with`` of its own takes that of its step.
        """
        step = self.playbook.step(target.step)
        if step is None:
            raise PlaybookError(f"run {self.id} has no step {target.step!r}")
        if not target.undo:
            return step
        if step.undo is None:
            raise PlaybookError(f"step {step.id} of run {self.id} has no undo")
        return step.model_copy(
            update={
                "title": f"Undo: {step.words}",
                "action": step.undo.action,
                "probe": None,
                "manual": None,
                "wait": None,
                "needs": (),
                "with_": step.undo.with_ or step.with_,
                "expect": None,
                "undo": None,
                "on_failure": "ask",
                "deadline": None,
                "four_eyes": False,
            }
        )

    def record(self, target: Target) -> Record:
        """What is recorded of ``target``."""
        return self.progress.of(target)

    def put(self, target: Target, record: Record) -> Run:
        """The same with another record."""
        return replace(self, progress=self.progress.put(target, record))

    @property
    def undoable(self) -> tuple[Target, ...]:
        """What an abort takes back, last step first: done or possibly done, with an ``undo``."""
        return tuple(
            Target(step.id, undo=True)
            for step in reversed(self.playbook.steps)
            if step.undo is not None and _may_have_happened(self.record(Target(step.id)))
        )

    @property
    def current(self) -> Target | None:
        """What is being done or waited for, if anything."""
        steps = [Target(step.id) for step in self.playbook.steps]
        for target in [*self.undoable, *steps] if self.progress.abort else steps:
            if self.record(target).state in (StepState.BEGUN, StepState.WAITING, StepState.IN_DOUBT):
                return target
        return None


def _may_have_happened(record: Record) -> bool:
    return record.state in (StepState.DONE, StepState.UNDONE) or record.unsure


def progress_json(progress: Progress) -> dict[str, Any]:
    """As plain JSON; what is as in a fresh record is left out."""
    document: dict[str, Any] = {
        "steps": {name: _lean(record) for name, record in progress.steps.items()},
        "undos": {name: _lean(record) for name, record in progress.undos.items()},
    }
    if progress.abort is not None:
        abort = progress.abort
        document["abort"] = {"by": abort.by, "reason": abort.reason, "at": rfc3339(abort.at)}
    return document


def progress_from_json(document: Mapping[str, Any]) -> Progress:
    """What :func:`progress_json` wrote."""
    abort = document.get("abort")
    return Progress(
        {name: _record(one) for name, one in document.get("steps", {}).items()},
        {name: _record(one) for name, one in document.get("undos", {}).items()},
        None if abort is None else Abort(abort["by"], abort["reason"], datetime.fromisoformat(abort["at"])),
    )


def answer_json(answer: Answer) -> dict[str, Any]:
    """As plain JSON."""
    return {
        "step": answer.step,
        "verdict": answer.verdict,
        "by": answer.by,
        "note": answer.note,
        "at": rfc3339(answer.at),
    }


def answer_from_json(document: Mapping[str, Any]) -> Answer:
    """What :func:`answer_json` wrote."""
    return Answer(**{**document, "at": datetime.fromisoformat(document["at"])})


_FRESH = Record()


def _lean(record: Record) -> dict[str, Any]:
    lean: dict[str, Any] = {}
    for one in fields(record):
        value = getattr(record, one.name)
        if value == getattr(_FRESH, one.name):
            continue
        if isinstance(value, datetime):
            value = rfc3339(value)
        elif one.name == "answers":
            value = [answer_json(answer) for answer in value]
        elif isinstance(value, StepState):
            value = value.value
        lean[one.name] = value
    return lean


def _record(document: Mapping[str, Any]) -> Record:
    given = dict(document)
    for name in ("begun_at", "ended_at", "since", "due_at", "looked_at"):
        if name in given:
            given[name] = datetime.fromisoformat(given[name])
    if "state" in given:
        given["state"] = StepState(given["state"])
    if "answers" in given:
        given["answers"] = tuple(answer_from_json(one) for one in given["answers"])
    return Record(**given)
