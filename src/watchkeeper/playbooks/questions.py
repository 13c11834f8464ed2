"""Who may answer what. Pure.

Always true: an answer that :func:`check` lets through can be applied as it is; whoever may not answer, or
answers what is not asked, is told what is asked and who may (tests/playbooks/test_answers.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from watchkeeper.playbooks import progress
from watchkeeper.playbooks.models import ROLES, About, Answer, PlaybookError, Record, Run, Target, Verdict
from watchkeeper.runbook.models.playbooks import Step

DEFAULT_ROLE = "responder"
LONGEST_NOTE = 4000
_ALLOWED: dict[About, tuple[Verdict, ...]] = {
    "manual": ("confirm", "skip", "abort"),
    "by hand": ("confirm", "skip", "abort"),
    "doubt": ("confirm", "skip", "retry", "abort"),
    "failure": ("confirm", "skip", "retry", "abort"),
}


class AnswerError(PlaybookError):
    """An answer that is not taken; nothing was changed."""


class ForbiddenAnswerError(AnswerError):
    """Whoever answered may not."""


def verdicts(run: Run, target: Target) -> tuple[Verdict, ...]:
    """What may be answered to what is asked of ``target`` now; nothing where nothing is asked."""
    record = run.record(target)
    if not record.open_question or record.about is None:
        return ()
    refused: set[Verdict] = {"abort"} if target.undo else set()
    if record.about == "failure" and run.spec(target).four_eyes:
        refused.add("confirm")  # one pair of eyes does not make up for two; `retry` asks both again
    return tuple(one for one in _ALLOWED[record.about] if one not in refused)


def needed_role(step: Step) -> str:
    """The least role that may answer. A role that nobody has means an admin."""
    wanted = step.role or DEFAULT_ROLE
    return wanted if wanted in ROLES else "admin"


def folded(run: Run, answers: Iterable[Answer]) -> Run:
    """``run`` after answers that were checked when they were given."""
    for answer in answers:
        if answer.step is None or run.record(progress.asked_target(run, answer.step)).open_question:
            run = progress.answered(run, answer, answer.at)
    return run


def check(run: Run, answer: Answer, role: str) -> bool:
    """Whether ``answer`` is new. False: the same person has said the same before, and it counts already.

    Raises :class:`AnswerError` for one that cannot be, :class:`ForbiddenAnswerError` for a person who may
    not give it.
    """
    step_id = str(answer.step)
    step = run.playbook.step(step_id)
    if step is None:
        known = ", ".join(one.id for one in run.playbook.steps)
        raise AnswerError(f"run {run.id} has no step {step_id!r}; its steps are {known}")
    if len(answer.note) > LONGEST_NOTE:
        raise AnswerError(
            f"a note is at most {LONGEST_NOTE} characters long; this one has {len(answer.note)}"
        )
    target = progress.asked_target(run, step_id)
    record = run.record(target)
    if any(answer.same_as(given) for given in _given(run, target)):
        if record.open_question and record.about == "manual" and answer.verdict == "confirm":
            return False  # the first of four eyes, twice
        if not record.open_question:
            return False
    if run.state.over:
        raise AnswerError(f"run {run.id} is over ({run.state.value}); nothing is asked any more")
    if not record.open_question:
        raise AnswerError(f"step {target} asks nothing: it is {_state(record)}{_asked_instead(run)}")
    allowed = verdicts(run, target)
    if answer.verdict not in allowed:
        raise AnswerError(f"step {target} takes {', '.join(allowed)}; {answer.verdict} does not fit")
    _check_person(run, step, target, record, answer, role)
    if answer.verdict == "confirm" and not answer.note.strip() and not record.answers:
        used = _note_user(run, step_id)
        if used is not None and record.about == "manual":
            raise AnswerError(f"step {step_id} needs a note: step {used} works with what it says")
    return True


def check_role(role: str, needed: str, what: str) -> None:
    """Raises :class:`ForbiddenAnswerError` unless ``role`` is ``needed`` or more."""
    if role not in ROLES or ROLES.index(role) < ROLES.index(needed):
        raise ForbiddenAnswerError(f"{what} needs the role {needed}; you have {role or 'none'}")


def _check_person(run: Run, step: Step, target: Target, record: Record, answer: Answer, role: str) -> None:
    needed = needed_role(step) if not target.undo else DEFAULT_ROLE
    check_role(role, needed, f"answering step {target}")
    if step.four_eyes and record.about == "manual" and not answer.by.startswith("person:"):
        raise ForbiddenAnswerError(
            f"step {target} asks two people, and {answer.by} is none; nothing was changed"
        )


def _given(run: Run, target: Target) -> tuple[Answer, ...]:
    given = run.record(target).answers
    if target.undo:  # an answer that aborted the run was given to the step itself
        given += tuple(one for one in run.record(Target(target.step)).answers if one.verdict == "abort")
    return given


def _state(record: Record) -> str:
    last = record.answers[-1] if record.answers else None
    words = record.state.value
    return f"{words}, {last.by} said {last.verdict}" if last else words


def _asked_instead(run: Run) -> str:
    current = run.current
    if current is not None and run.record(current).open_question:
        return f"; the run asks about step {current}"
    return "; the run asks nothing now"


def _note_user(run: Run, step_id: str) -> str | None:
    """A step that works with the note of ``step_id``."""
    wanted = f"steps.{step_id}.note"
    for step in run.playbook.steps:
        undo = step.undo.with_ if step.undo else {}
        if wanted in json.dumps([step.with_, undo, step.expect, step.idempotency], default=str):
            return step.id
    return None
