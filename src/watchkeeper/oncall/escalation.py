"""What becomes of a page that nobody has acknowledged yet, or whose acknowledgement was forgotten. Pure.

Always true after :func:`decide`: while a page fires unacknowledged and somebody can be reached, another step
is due, until every step was told ``repeat`` times more; a step that reaches nobody is passed over at once;
each page has at most one verdict on its deadline; what is decided twice with the same facts changes nothing
the second time (tests/oncall/test_escalation.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from watchkeeper.oncall.steps import EVERYBODY, Audience, Recipient, Step
from watchkeeper.store.journal import Verdict

RETRY = timedelta(minutes=1)
"""How soon a page that reached nobody is tried again: somebody may have mended the runbook."""
CLOCK_STEP = timedelta(minutes=1)
"""What was scheduled further in the future than this shows that the clock was set back; it is due."""
NO_ROTA = "the runbook has no rota any more, so the escalation pages nobody else"


class State(StrEnum):
    """How an escalation stands."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Page:
    """What the alerts say of a page. ``audible``: one of those that fire is neither silenced nor inhibited.

    ``acked_at`` is when the last of its alerts was acknowledged, and None while one is not. ``ended_at`` is
    when the last of them ended.
    """

    dedup_key: str
    firing: bool
    audible: bool = True
    paged_at: datetime | None = None
    acked_at: datetime | None = None
    acked_by: str | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Escalation:
    """The escalation of one page, as it is kept. ``step`` is the next one to be told, counted from 0;
    ``due_at`` when that is, or when the acknowledgement is forgotten; ``problem`` why nobody is paged."""

    dedup_key: str
    rota: str | None
    state: State
    paged_at: datetime
    started_at: datetime
    step: int
    round: int
    due_at: datetime | None
    scheduled_at: datetime
    verdict: Verdict | None = None
    acked_at: datetime | None = None
    acked_by: str | None = None
    ended_at: datetime | None = None
    told: tuple[Recipient, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What the runbook says, and ``audience``: whom a step means now. Without a rota there is no step."""

    rota: str | None
    steps: tuple[Step, ...]
    repeat: int
    acknowledge: timedelta | None
    lasts: timedelta
    audience: Callable[[Step], Audience]
    waived: bool = False


@dataclass(frozen=True, slots=True)
class Paged:
    """Step ``step`` (from 1) of ``steps`` is told; ``first`` is the one that begins the escalation."""

    audience: Audience
    step: int
    steps: int
    round: int
    first: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """The deadline was kept or missed; ``seconds`` from the page to the answer, or to now without one."""

    verdict: Verdict
    seconds: float
    answered: bool


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Somebody has it."""

    by: str


@dataclass(frozen=True, slots=True)
class Reopened:
    """It fires and is not acknowledged any more: taken back, or another alert has joined."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """It fires, and the acknowledgement is older than the runbook lets it be."""

    by: str


@dataclass(frozen=True, slots=True)
class NobodyReached:
    """No step, and not everybody together, leads to anybody; or there is no rota any more."""

    contacts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exhausted:
    """Every step was told as often as the runbook says, and nobody answered."""


@dataclass(frozen=True, slots=True)
class Ended:
    """It does not fire any more."""


Event = Paged | Judged | Acknowledged | Reopened | Forgotten | NobodyReached | Exhausted | Ended


def decide(
    known: Escalation | None, page: Page, policy: Policy, now: datetime
) -> tuple[Escalation | None, tuple[Event, ...]]:
    """The escalation of ``page`` as it is at ``now``, and what happened on the way there, in order."""
    if known is None or known.state is State.ENDED:
        if not (page.firing and page.audible):
            return known, ()
        known = _opened(page, policy, now)
    elif known.rota != policy.rota:
        known = _on_another_rota(known, policy, now)
    known, events = _judge(known, page, policy, now)
    if not page.firing:
        ended = replace(known, state=State.ENDED, due_at=None, ended_at=now, problem=None)
        return ended, (*events, Ended())
    if page.acked_at is not None:
        known, more = _acknowledged(known, page, page.acked_at, policy, now)
        return known, events + more
    if known.state is State.ACKNOWLEDGED:
        known = _restarted(known, policy, now)
        events += (Reopened(),)
    if page.audible and _is_due(known, now):
        known, more = _step(known, policy, now)
        events += more
    return known, events


def _opened(page: Page, policy: Policy, now: datetime) -> Escalation:
    due = now if policy.steps else None
    paged = min(page.paged_at or now, now)
    return Escalation(page.dedup_key, policy.rota, State.OPEN, paged, now, 0, 0, due, now)


def _restarted(known: Escalation, policy: Policy, now: datetime) -> Escalation:
    pages = policy.steps or known.told  # without a rota, and never with one, its routes are all there is
    return replace(
        known,
        state=State.OPEN,
        started_at=now,
        step=0,
        round=0,
        due_at=now if pages else None,
        scheduled_at=now,
        acked_at=None,
        acked_by=None,
        problem=None,
    )


def _on_another_rota(known: Escalation, policy: Policy, now: datetime) -> Escalation:
    """The runbook was changed: another rota pages on, from its first step; without one, that is said."""
    moved = replace(known, rota=policy.rota)
    if known.state is not State.OPEN:
        return moved
    return replace(moved, step=0, round=0, due_at=now, scheduled_at=now, problem=None)


def _is_due(known: Escalation, now: datetime) -> bool:
    return known.due_at is not None and (known.due_at <= now or known.scheduled_at > now + CLOCK_STEP)


def _judge(
    known: Escalation, page: Page, policy: Policy, now: datetime
) -> tuple[Escalation, tuple[Event, ...]]:
    if known.verdict is not None or policy.acknowledge is None:
        return known, ()
    deadline = known.paged_at + policy.acknowledge
    until = page.acked_at or (now if page.firing else min(now, page.ended_at or now))
    if page.acked_at is not None and page.acked_at <= deadline:
        verdict: Verdict = "met"
    elif until >= deadline:
        verdict = "missed"
    else:
        return known, ()
    if policy.waived:
        verdict = "waived"
    seconds = max(0.0, (until - known.paged_at).total_seconds())
    return replace(known, verdict=verdict), (Judged(verdict, seconds, page.acked_at is not None),)


def _acknowledged(
    known: Escalation, page: Page, at: datetime, policy: Policy, now: datetime
) -> tuple[Escalation, tuple[Event, ...]]:
    by = page.acked_by or "somebody"
    if known.state is State.ACKNOWLEDGED and known.acked_at == at:
        if (
            known.scheduled_at > now + CLOCK_STEP
        ):  # the clock was set back; nobody took it longer ago for that
            return replace(known, due_at=now + policy.lasts, scheduled_at=now), ()
        if not page.audible or not _is_due(known, now):
            return known, ()
        known, paged = _step(_restarted(known, policy, now), policy, now)
        return known, (Forgotten(by), *paged)
    seen = replace(
        known,
        state=State.ACKNOWLEDGED,
        acked_at=at,
        acked_by=by,
        due_at=min(at, now) + policy.lasts,
        scheduled_at=now,
        problem=None,
    )
    return seen, (Acknowledged(by),)


def _step(known: Escalation, policy: Policy, now: datetime) -> tuple[Escalation, tuple[Event, ...]]:
    """The next step that reaches somebody; where none of them does, everybody in place of the next."""
    count = len(policy.steps)
    if not count:
        after = replace(known, due_at=None, scheduled_at=now, problem=NO_ROTA)
        return after, () if known.problem == NO_ROTA else (NobodyReached(()),)
    missed: list[str] = []
    step, turn = begin, first_turn = (known.step, known.round) if known.step < count else (0, known.round + 1)
    for _ in range(count):
        if turn > policy.repeat:
            said = "nobody acknowledges it, and every step of the escalation was told"
            return replace(known, due_at=None, scheduled_at=now, problem=said), (Exhausted(),)
        found = policy.audience(policy.steps[step])
        if found.recipients:
            return _paged(known, policy, found, step, turn, now)
        missed += found.contacts
        step, turn = (step + 1, turn) if step + 1 < count else (0, turn + 1)
    found = policy.audience(Step((EVERYBODY,), RETRY))
    if found.recipients:
        return _paged(known, policy, found, begin, first_turn, now)
    return _nobody(known, tuple(dict.fromkeys((*missed, *found.contacts))), now)


def _paged(
    known: Escalation, policy: Policy, found: Audience, step: int, turn: int, now: datetime
) -> tuple[Escalation, tuple[Event, ...]]:
    event = Paged(found, step + 1, len(policy.steps), turn, first=not known.told)
    told = tuple(dict.fromkeys((*known.told, *found.recipients)))
    due = now + policy.steps[step].wait
    after = replace(known, step=step + 1, round=turn, due_at=due, scheduled_at=now, told=told, problem=None)
    return after, (event,)


def _nobody(
    known: Escalation, contacts: tuple[str, ...], now: datetime
) -> tuple[Escalation, tuple[Event, ...]]:
    who = ", ".join(contacts) or "no contact"
    said = f"nobody can be reached: no receiver of the runbook leads to {who}"
    after = replace(known, due_at=now + RETRY, scheduled_at=now, problem=said)
    return after, () if known.problem == said else (NobodyReached(contacts),)
