"""Every deadline of the runbook: begun with its subject, warned of at 80 % of its time, and settled once.

Always true here: a deadline ends in exactly one verdict (met, missed or waived) in the journal, which cites
its clause, or in none because its subject went away (void), whatever the ticks, the clock's jumps and the
deaths of processes between them; it is warned of at most once, and never after it is settled; a settled
deadline never changes again (tests/store/test_deadlines.py).

Wall clocks jump. A deadline whose schedule was written more than ``CLOCK_STEP`` in what is now the future
shows that the clock was set back: it is moved back by as much, so that it has the time which it had when it
was last looked at, and never more. That the clock was set forward only a process can see that watches both
clocks (:func:`passed_over`); what was not running while time passed has no such excuse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, insert, or_, select, text, update

from watchkeeper.store import journal
from watchkeeper.store.canonical import rfc3339
from watchkeeper.store.errors import StoreError
from watchkeeper.store.models import deadlines as table

CLOCK_STEP = timedelta(minutes=1)
WARN_RATIO = 0.8
ACTOR = "component:deadlines"
_NOBODY: Mapping[str, str] = {}


class DeadlineError(StoreError):
    """What was asked of a deadline cannot be done; the message says why."""


class State(StrEnum):
    """How a deadline stands."""

    RUNNING = "running"
    MET = "met"
    MISSED = "missed"
    WAIVED = "waived"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Deadline:
    """One deadline as it is kept. ``look_at``: when something is to be decided of it; None once settled."""

    id: int
    clause: str
    subject: str
    title: str
    state: State
    starts_at: datetime
    warn_at: datetime
    due_at: datetime
    look_at: datetime | None
    scheduled_at: datetime
    warned_at: datetime | None = None
    settled_at: datetime | None = None
    settled_by: str | None = None
    reason: str = ""

    @property
    def running(self) -> bool:
        """Whether it is not settled."""
        return self.state is State.RUNNING


class Event(StrEnum):
    """What happened to a deadline at a look."""

    MOVED = "moved"
    WARNED = "warned"
    MISSED = "missed"
    WAIVED = "waived"


def decide(
    deadline: Deadline, now: datetime, waiver: str | None = None
) -> tuple[Deadline, tuple[Event, ...]]:
    """The deadline as it is at ``now``, and what happened on the way. Pure.

    ``waiver``: the reason for which the runbook waives its clause, where it does.
    """
    if not deadline.running:
        return deadline, ()
    deadline, events = _realigned(deadline, now)
    if now >= deadline.due_at:
        if waiver is not None:
            return _settled(deadline, State.WAIVED, now, None, waiver), (*events, Event.WAIVED)
        return _settled(deadline, State.MISSED, now, None, ""), (*events, Event.MISSED)
    if now >= deadline.warn_at and deadline.warned_at is None:
        warned = replace(deadline, warned_at=now, look_at=deadline.due_at, scheduled_at=now)
        return warned, (*events, Event.WARNED)
    return deadline, events


def moved(deadline: Deadline, by: timedelta, now: datetime) -> Deadline:
    """The deadline, ``by`` later (or earlier), as it was at ``now``."""
    return replace(
        deadline,
        starts_at=deadline.starts_at + by,
        warn_at=deadline.warn_at + by,
        due_at=deadline.due_at + by,
        look_at=None if deadline.look_at is None else deadline.look_at + by,
        scheduled_at=now,
    )


def _realigned(deadline: Deadline, now: datetime) -> tuple[Deadline, tuple[Event, ...]]:
    if deadline.scheduled_at <= now + CLOCK_STEP:
        return deadline, ()
    return moved(deadline, now - deadline.scheduled_at, now), (Event.MOVED,)


def _settled(deadline: Deadline, state: State, now: datetime, by: str | None, reason: str) -> Deadline:
    return replace(deadline, state=state, look_at=None, settled_at=now, settled_by=by, reason=reason)


def start(
    conn: Connection,
    now: datetime,
    clause: str,
    subject: str,
    title: str,
    starts_at: datetime,
    due: datetime,
) -> Deadline:
    """Begin a deadline, in the caller's transaction, whose entry says why. ``title`` is for people."""
    values: dict[str, Any] = {
        "clause": clause,
        "subject": subject,
        "title": title,
        "state": State.RUNNING.value,
        "starts_at": starts_at,
        "warn_at": starts_at + (due - starts_at) * WARN_RATIO,
        "due_at": due,
        "scheduled_at": now,
        "reason": "",
    }
    values["look_at"] = values["warn_at"]
    key = conn.execute(insert(table).values(**values)).inserted_primary_key
    assert key is not None
    return load(conn, int(key[0]))


def load(conn: Connection, number: int) -> Deadline:
    """The deadline of that number. Raises :class:`DeadlineError`."""
    row = conn.execute(select(table).where(table.c.id == number)).first()
    if row is None:
        raise DeadlineError(f"there is no deadline {number}; nothing was changed")
    return _deadline(row)


def of(conn: Connection, subject: str, clause: str | None = None) -> list[Deadline]:
    """The deadlines of a subject, oldest first; with ``clause``, its own alone."""
    query = select(table).where(table.c.subject == subject).order_by(table.c.id)
    if clause is not None:
        query = query.where(table.c.clause == clause)
    return [_deadline(row) for row in conn.execute(query)]


def running(conn: Connection, subject: str, clause: str | None = None) -> list[Deadline]:
    """Those of :func:`of` that are not settled."""
    return [one for one in of(conn, subject, clause) if one.running]


def meet(
    conn: Connection,
    now: datetime,
    clause: str,
    subject: str,
    actor: str,
    what: str,
    waivers: Mapping[str, str] = _NOBODY,
) -> list[Deadline]:
    """What was asked by these deadlines is done now: ``what``, by ``actor``. Late is missed, all the same."""
    lock(conn)
    found = []
    for known in running(conn, subject, clause):
        one, _ = _realigned(known, now)
        late = now > one.due_at
        state, reason = (State.MISSED, f"late: {what}") if late else (State.MET, what)
        if clause in waivers:  # the runbook let it go, not this person
            state, reason = State.WAIVED, f"{waivers[clause]}; {what}"
        found.append(_settle(conn, now, one, state, ACTOR if clause in waivers else actor, reason))
    return found


def waive(conn: Connection, now: datetime, number: int, actor: str, reason: str) -> Deadline:
    """``actor`` lets a running deadline go, for ``reason``. Raises :class:`DeadlineError`."""
    if not reason.strip():
        raise DeadlineError("a deadline is waived with a reason; nothing was changed")
    lock(conn)
    one = load(conn, number)
    if not one.running:
        raise DeadlineError(f"the deadline {one.title} is {one.state} already; nothing was changed")
    return _settle(conn, now, one, State.WAIVED, actor, reason.strip())


def void(
    conn: Connection, now: datetime, subject: str, actor: str, reason: str, clause: str | None = None
) -> list[Deadline]:
    """What these deadlines were about has gone away: no verdict."""
    lock(conn)
    return [_settle(conn, now, one, State.VOID, actor, reason) for one in running(conn, subject, clause)]


def due(conn: Connection, now: datetime) -> list[Deadline]:
    """Those of which :func:`decide` has something to say, in the order of their time."""
    waiting = table.c.look_at.is_not(None)
    is_due = or_(table.c.look_at <= now, table.c.scheduled_at > now + CLOCK_STEP)
    query = select(table).where(waiting, is_due).order_by(table.c.look_at, table.c.id)
    return [_deadline(row) for row in conn.execute(query)]


def look(
    conn: Connection, now: datetime, waivers: Mapping[str, str] = _NOBODY
) -> list[tuple[Deadline, Event]]:
    """Decide about every deadline that is due, and write it, in the caller's transaction; what happened.

    ``waivers``: why a clause is waived in the runbook, by clause.
    """
    lock(conn)
    return [pair for one in due(conn, now) for pair in look_at(conn, now, one, waivers)]


def look_at(
    conn: Connection, now: datetime, known: Deadline, waivers: Mapping[str, str] = _NOBODY
) -> list[tuple[Deadline, Event]]:
    """As :func:`look`, of one deadline that was just read in this transaction."""
    after, events = decide(known, now, waivers.get(known.clause))
    if events:
        _save(conn, known, after)
    for event in events:
        _journal(conn, now, after, event.value, ACTOR, known)
    return [(after, event) for event in events]


def lock(conn: Connection) -> None:
    """Keep other processes from deciding until the transaction ends; SQLite has one writer anyway."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("LOCK TABLE deadlines IN EXCLUSIVE MODE"))


def passed_over(conn: Connection, now: datetime, step: timedelta) -> int:
    """The clock was set forward by ``step`` (or nothing could run for it): every deadline that began before
    is moved by as much; how many. Whoever sees the same step after it finds nothing left to move."""
    before = table.c.scheduled_at <= now - step
    query = select(table).where(table.c.look_at.is_not(None), before).order_by(table.c.id)
    rows = [_deadline(row) for row in conn.execute(query)]
    for known in rows:
        after = moved(known, step, now)
        _save(conn, known, after)
        _journal(conn, now, after, Event.MOVED.value, ACTOR, known)
    return len(rows)


def _settle(
    conn: Connection, now: datetime, one: Deadline, state: State, actor: str, reason: str
) -> Deadline:
    after = _settled(one, state, now, actor, reason)
    _save(conn, one, after)
    _journal(conn, now, after, state.value, actor, one)
    return after


def _save(conn: Connection, before: Deadline, after: Deadline) -> None:
    values = {
        name: getattr(after, name) for name in Deadline.__slots__ if name not in ("id", "clause", "subject")
    }
    mine = (table.c.id == before.id) & (table.c.state == State.RUNNING.value)
    if not conn.execute(update(table).where(mine).values(**{**values, "state": after.state.value})).rowcount:
        raise DeadlineError(f"the deadline {before.title} was settled meanwhile; nothing was changed")


def _journal(conn: Connection, now: datetime, one: Deadline, what: str, actor: str, before: Deadline) -> None:
    seconds = (now - one.starts_at).total_seconds()
    left = (one.due_at - now).total_seconds()
    facts: dict[str, Any] = {
        "deadline": one.id,
        "clause": one.clause,
        "title": one.title,
        "starts_at": rfc3339(one.starts_at),
        "due_at": rfc3339(one.due_at),
        "seconds": round(seconds, 1),
    }
    evidence: Sequence[tuple[str, str]] = ()
    said = {
        "warned": f"{max(0, left):.0f} s are left",
        "moved": f"moved by {(one.due_at - before.due_at).total_seconds():+.0f} s, as the clock was set",
        "met": one.reason,
        "missed": one.reason or f"missed after {seconds:.0f} s",
        "waived": f"waived: {one.reason}",
        "void": f"it asks for nothing any more: {one.reason}",
    }[what]
    if one.reason:
        facts["reason"] = one.reason
    if what in ("met", "missed", "waived"):
        facts["verdict"] = what
        evidence = [(one.clause, what)]
    facts["summary"] = f"{one.title}: {said}"
    journal.append(conn, now, f"deadline.{what}", actor, one.subject, facts, evidence)


def _deadline(row: Any) -> Deadline:
    values = {name: getattr(row, name) for name in Deadline.__slots__}
    return Deadline(**{**values, "state": State(row.state)})
