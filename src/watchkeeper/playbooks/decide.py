"""What comes next in a run. Pure: a run and the time in, one move out.

Always true of runs that are led by :func:`decide`: steps begin in their order, each only when every step
before it is settled; a step that is done is never begun again and none is passed over without a record that
says why; what was begun and not ended is in doubt, and nothing in doubt is repeated unless the playbook, a
check or a person says so; an aborted run takes back what happened, last first, and begins nothing else
(tests/playbooks/test_decide.py, test_decide_properties.py).

    pending ──begin──> begun ──────> done ──(abort)──> undone
       │ │               │ └───────> failed ──(on_failure: ask)──> waiting
       │ │               └─(crash)─> in doubt ──> begun again | done | waiting (a person is asked)
       │ └──(needs unmet)──────────> skipped
       └──(manual, wait, timer)────> waiting ──> done | skipped | failed
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from watchkeeper.playbooks import secrets, templates
from watchkeeper.playbooks.models import About, Record, Run, RunState, StepState, Target
from watchkeeper.playbooks.templates import TemplateError
from watchkeeper.runbook.models.playbooks import Step
from watchkeeper.runbook.models.quantities import BadQuantityError, Duration

CLOCK_STEP = timedelta(minutes=1)
"""What began further in the future than this shows that the clock was set back; its time begins anew."""
LOOK_AGAIN = timedelta(seconds=5)
"""Between two looks at what a wait step waits for."""
DEFAULT_TIMEOUT = timedelta(minutes=10)
"""For an action or a probe that says none."""
MOST_DOUBTS = 10
"""A step that was begun this often without an end is asked about: it may be what kills the process."""
TIMER = "time.sleep"


@dataclass(frozen=True, slots=True)
class Able:
    """How a verb can be carried out here: whether its provider can ``check`` afterwards what happened, and
    whether its effect is ``atomic`` with the record of it (then it did not happen if that is missing)."""

    checks: bool = False
    atomic: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """What a provider is given: ``with_`` has the places of secrets in it, not their values."""

    with_: Mapping[str, Any]
    expect: Mapping[str, Any] | None
    key: str
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class Begin:
    """Carry the step out. ``again`` says why, where it was begun before."""

    target: Target
    work: Work
    again: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """See whether what the step waits for is so; ``first`` begins the waiting."""

    target: Target
    work: Work
    first: bool


@dataclass(frozen=True, slots=True)
class Check:
    """Ask the provider whether the step happened."""

    target: Target
    work: Work


@dataclass(frozen=True, slots=True)
class Sleep:
    """Let time pass until ``until``; then the step is done."""

    target: Target
    until: datetime


@dataclass(frozen=True, slots=True)
class Elapsed:
    """The time has passed."""

    target: Target


@dataclass(frozen=True, slots=True)
class Ask:
    """A person must say something; until ``due_at``, where that is given."""

    target: Target
    about: About
    text: str
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """The step does not run."""

    target: Target
    why: str


@dataclass(frozen=True, slots=True)
class Fail:
    """The step failed without having been begun now."""

    target: Target
    error: str


@dataclass(frozen=True, slots=True)
class Rewind:
    """The clock was set back: what is waited for until a time is waited for anew."""

    target: Target


@dataclass(frozen=True, slots=True)
class TakeBack:
    """The run is aborted."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Park:
    """There is nothing to do before ``until``; None: before somebody answers."""

    until: datetime | None


@dataclass(frozen=True, slots=True)
class End:
    """The run is over."""

    state: RunState
    problem: str | None = None


Instant = Sleep | Elapsed | Ask | Skip | Fail | Rewind | TakeBack | End
"""Moves that are nothing but a record."""
Move = Instant | Begin | Look | Check | Park


def decide(run: Run, now: datetime, able: Mapping[str, Able]) -> Move:
    """The next move of ``run``. ``able`` has the verbs that can be carried out here."""
    if run.state.over:
        return Park(None)
    if run.progress.abort is not None:
        return _taking_back(run, now, able)
    failed: list[str] = []
    for step in run.playbook.steps:
        target = Target(step.id)
        record = run.record(target)
        if record.state in (StepState.DONE, StepState.SKIPPED):
            continue
        if record.state is StepState.FAILED:
            why = f"step {step.id} failed: {record.error}"
            if step.on_failure == "continue":
                failed.append(why)
                continue
            if step.on_failure == "stop":
                return End(RunState.FAILED, why)
            if step.on_failure == "abort":
                return TakeBack("component:playbooks", why)
        return _next(run, target, step, record, now, able)
    return End(RunState.DONE, "; ".join(failed) or None)


def _taking_back(run: Run, now: datetime, able: Mapping[str, Able]) -> Move:
    for target in run.undoable:
        record = run.record(target)
        if record.state not in (StepState.DONE, StepState.SKIPPED):
            return _next(run, target, run.spec(target), record, now, able)
    abort = run.progress.abort
    assert abort is not None
    return End(RunState.ABORTED, abort.reason)


def _next(
    run: Run, target: Target, step: Step, record: Record, now: datetime, able: Mapping[str, Able]
) -> Move:
    """The next move of the one step whose turn it is."""
    if record.state is StepState.WAITING and record.since is not None and record.since > now + CLOCK_STEP:
        return Rewind(target)
    try:
        match record.state:
            case StepState.PENDING:
                return _fresh(run, target, step, record, now, able)
            case StepState.BEGUN:
                return _doubtful(run, target, step, record, able)
            case StepState.IN_DOUBT:
                return Check(target, work(run, target, step))
            case StepState.FAILED:
                return Ask(target, "failure", f"{step.words}: {record.error}")
    except TemplateError as error:
        return Fail(target, str(error))
    return _waiting(run, target, step, record, now)


def _fresh(
    run: Run, target: Target, step: Step, record: Record, now: datetime, able: Mapping[str, Able]
) -> Move:
    for needed in step.needs:
        state = run.record(Target(needed)).state
        if state is not StepState.DONE:
            return Skip(target, f"it needs step {needed}, which {_became(state)}")
    if step.kind == "manual":
        text = templates.fill_text(step.manual or "", templates.of_run(run))
        return Ask(target, "manual", text, _until(now, step.deadline))
    verb = str(step.verb)
    if verb == TIMER:
        return Sleep(target, now + _span(work(run, target, step).with_))
    if verb not in able:
        end = step.deadline or (step.timeout if step.kind == "wait" else None)
        return Ask(target, "by hand", _by_hand(run, target, step), _until(now, end))
    if step.kind == "wait":
        return Look(target, work(run, target, step), first=True)
    return Begin(target, work(run, target, step), "a person asked for it" if record.attempts else "")


def _doubtful(run: Run, target: Target, step: Step, record: Record, able: Mapping[str, Able]) -> Move:
    """It was begun, and whoever began it is gone."""
    can = able.get(str(step.verb))
    doubt = step.doubt
    if can is None:
        doubt = "ask"
    elif can.atomic:
        doubt = "retry"
    if doubt == "retry" and record.attempts < MOST_DOUBTS:
        return Begin(target, work(run, target, step), "the process that carried it out before is gone")
    if doubt == "probe" and can is not None and can.checks:
        return Check(target, work(run, target, step))
    return Ask(target, "doubt", doubt_words(step, "the process that carried it out is gone"))


def _waiting(run: Run, target: Target, step: Step, record: Record, now: datetime) -> Move:
    due = record.due_at is not None and record.due_at <= now
    match record.awaits:
        case "time":
            return Elapsed(target) if due else Park(record.due_at)
        case "condition":
            return _watching(run, target, step, record, now)
    if not due:
        return Park(record.due_at)
    assert record.due_at is not None
    assert record.since is not None
    return Fail(target, f"nobody answered within {spoken(record.due_at - record.since)}")


def _watching(run: Run, target: Target, step: Step, record: Record, now: datetime) -> Move:
    """A step that waits for a condition is looked at once more after its end, so that none is missed while
    nobody could look."""
    assert record.due_at is not None
    looked = record.looked_at
    if looked is not None and looked >= record.due_at:
        waited = spoken(record.due_at - (record.since or record.due_at))
        return Fail(target, f"it was not so within {waited}; at last: {record.summary or 'nothing was seen'}")
    again = record.due_at if looked is None else min(record.due_at, looked + LOOK_AGAIN)
    if looked is None or again <= now or looked > now + CLOCK_STEP:
        return Look(target, work(run, target, step), first=False)
    return Park(again)


def work(run: Run, target: Target, step: Step) -> Work:
    """What is handed to the provider. Raises :class:`TemplateError`."""
    lookup = templates.of_run(run)
    key = templates.fill_text(step.idempotency, lookup) if step.idempotency else f"{run.id}/{step.id}"
    return Work(
        with_={name: templates.fill(item, lookup) for name, item in step.with_.items()},
        expect=None if step.expect is None else templates.fill(step.expect, lookup),
        key=f"{key}/undo" if target.undo else key,
        timeout=step.timeout or DEFAULT_TIMEOUT,
    )


def doubt_words(step: Step, why: str) -> str:
    """The question about a step that may or may not have happened."""
    return (
        f"it is not known whether this happened: {step.words} ({why}). Look, then confirm (it happened), "
        "retry (run it again), skip (it did not, go on without) or abort"
    )


def spoken(span: timedelta) -> str:
    """As people say it: ``10 minutes``, ``1 hour 30 minutes``."""
    seconds = max(0, round(span.total_seconds()))
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return Duration("".join(parts) or "0s").words


def _by_hand(run: Run, target: Target, step: Step) -> str:
    given = work(run, target, step)
    details = secrets.places(given.with_)
    shown = f" with {json.dumps(details, ensure_ascii=False)}" if details else ""
    about = f" ({step.title})" if step.title else ""
    if step.kind == "action":
        return f"nothing carries out {step.verb} here yet: do it by hand{shown}, then confirm{about}"
    expected = json.dumps(secrets.places(given.expect), ensure_ascii=False)
    wanted = f", expected {expected}" if given.expect else ""
    return f"nothing carries out {step.verb} here yet: look by hand{shown}{wanted}, then confirm{about}"


def _span(given: Mapping[str, Any]) -> timedelta:
    try:
        return Duration(given.get("for"))
    except BadQuantityError as error:
        raise TemplateError(f"time.sleep needs `for`, how long: {error}") from None


def _until(now: datetime, span: timedelta | None) -> datetime | None:
    return None if span is None else now + span


def _became(state: StepState) -> str:
    return {StepState.FAILED: "failed", StepState.SKIPPED: "was skipped"}.get(state, f"is {state.value}")
