"""The journal entries of runs: kinds, facts and sentences. Pure.

Every entry is about ``run:<id>``; its facts have the playbook, what the run is for (``for``), the step and a
``summary`` for people (tests/playbooks/test_runner.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from watchkeeper.playbooks import templates
from watchkeeper.playbooks.decide import (
    Ask,
    Begin,
    Check,
    Elapsed,
    End,
    Fail,
    Look,
    Rewind,
    Skip,
    Sleep,
    TakeBack,
)
from watchkeeper.playbooks.models import Answer, Record, Run, StepState, Target
from watchkeeper.playbooks.outputs import JOURNAL_BYTES, bounded
from watchkeeper.playbooks.progress import Checked, Failed, Result, Succeeded, asked_target
from watchkeeper.store.canonical import rfc3339
from watchkeeper.store.journal import Draft

ACTOR = "component:playbooks"
STARTED = "run.started"
STEP_BEGUN = "run.step_begun"
STEP_ENDED = "run.step_ended"
STEP_ASKED = "run.step_asked"
STEP_DOUBTED = "run.step_doubted"
ANSWERED = "run.answered"
ABORT_ASKED = "run.abort_asked"
ABORTING = "run.aborting"
ENDED = "run.ended"


def started(run: Run, definition_hash: str) -> Draft:
    """The run exists."""
    facts = {"summary": f"playbook {run.name} was started: {run.playbook.title}", "inputs": run.inputs}
    return _draft(run, STARTED, {**facts, "definition_hash": definition_hash}, run.started_by)


def moved(run: Run, move: Any, now: datetime) -> Draft | None:
    """What ``move`` is to the journal; ``run`` is as it is after it. None: nothing worth an entry."""
    match move:
        case End(state=state, problem=problem):
            ending = f"playbook {run.name} ended: {state.value}" + (f" ({problem})" if problem else "")
            return _draft(run, ENDED, {"summary": ending, "state": state.value, "problem": problem})
        case TakeBack():
            return aborting(run)
        case Begin(target=target, again=again):
            attempt = run.record(target).attempts
            which = f", attempt {attempt}: {again}" if attempt > 1 else ""
            facts = {"attempt": attempt, "key": move.work.key, **({"again": again} if again else {})}
            return _step(run, STEP_BEGUN, target, f"begun{which}", facts)
        case Look(target=target, first=True) | Sleep(target=target):
            until = run.record(target).due_at
            facts = {"attempt": run.record(target).attempts, "until": rfc3339(until) if until else None}
            return _step(run, STEP_BEGUN, target, "waits", facts)
        case Ask(target=target, about=about, text=text, due_at=due_at):
            facts = {"about": about, "question": text, "due_at": rfc3339(due_at) if due_at else None}
            return _step(run, STEP_ASKED, target, f"asks: {text}", facts)
        case Check(target=target):
            return _step(run, STEP_DOUBTED, target, "may have happened; its check is asked", {})
        case Elapsed(target=target) | Skip(target=target) | Fail(target=target):
            return settled(run, target, run.record(target))
        case Rewind(target=target):
            return _step(run, STEP_DOUBTED, target, "waits anew: the clock was set back", {})
    return None


def result(run: Run, found: Result) -> Draft | None:
    """What became of a step that was carried out; ``run`` is as it is after it."""
    match found:
        case Succeeded(target=target) | Failed(target=target):
            return settled(run, target, run.record(target))
        case Checked(target=target, found="happened"):
            return settled(run, target, run.record(target), "a check says that it happened")
        case Checked(target=target, found=said, summary=summary):
            words = f"its check says: {said}" + (f" ({summary})" if summary else "")
            return _step(run, STEP_DOUBTED, target, words, {"found": said})
    return None


def aborting(run: Run) -> Draft | None:
    """From here on the run is taken back."""
    abort = run.progress.abort
    if abort is None:
        return None
    undos = [target.step for target in run.undoable]
    what = f"; taken back: {', '.join(undos)}" if undos else "; there is nothing to take back"
    summary = f"playbook {run.name} is aborted: {abort.reason}{what}"
    return _draft(run, ABORTING, {"summary": summary, "reason": abort.reason, "undo": undos}, abort.by)


def settled(run: Run, target: Target, record: Record, how: str = "") -> Draft:
    """A step that has its end. ``how``: what is not already in the record."""
    said = record.error if record.state is StepState.FAILED else (how or record.summary)
    words = f"{record.state.value}: {said}" if said else record.state.value
    facts: dict[str, Any] = {"state": record.state.value, "attempt": record.attempts}
    if record.error is not None:
        facts["error"] = record.error
    if record.note:
        facts["note"] = record.note
    if record.outputs:
        facts["outputs"] = bounded(record.outputs, JOURNAL_BYTES)
    if record.begun_at and record.ended_at:
        facts["seconds"] = round(max(0.0, (record.ended_at - record.begun_at).total_seconds()), 3)
    return _step(run, STEP_ENDED, target, words, facts)


def answered(run: Run, answer: Answer) -> Draft:
    """Somebody answered; ``run`` is as it was before."""
    if answer.step is None:
        facts = {"summary": f"abort of playbook {run.name} was asked for: {answer.note}"}
        return _draft(run, ABORT_ASKED, facts, answer.by)
    target = asked_target(run, answer.step)
    said = f"{answer.verdict}, {answer.note!r}" if answer.note else answer.verdict
    about = run.record(target).about
    more = {"verdict": answer.verdict, "note": answer.note, "about": str(about)}
    return _step(run, ANSWERED, target, f"answered: {said}", more, answer.by)


def _step(
    run: Run, kind: str, target: Target, words: str, facts: Mapping[str, Any], actor: str = ACTOR
) -> Draft:
    title = templates.words(run, target)
    more = {"step": target.step, "undo": True} if target.undo else {"step": target.step}
    return _draft(run, kind, {"summary": f"{title}: {words}", **more, **facts}, actor)


def _draft(run: Run, kind: str, facts: Mapping[str, Any], actor: str = ACTOR) -> Draft:
    about = {"for": run.subject} if run.subject else {}
    return Draft(kind, actor, f"run:{run.id}", {"playbook": run.name, **about, **facts})
