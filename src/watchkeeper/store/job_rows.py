"""Jobs in the store: taken by one process at a time, with a journal entry for whatever becomes of them.

Always true: whoever takes a job raises its ``epoch``, and nothing that an older epoch says is written any
more; a change of a job and its journal entry are one transaction; whether somebody gives no sign any more is
judged by how long their row did not change on the monotonic clock, so that no jump of the wall clock makes
two run it (tests/store/test_job_rows.py).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, text, update

from watchkeeper.store import jobs as pure
from watchkeeper.store import journal, owners
from watchkeeper.store.cron import parse
from watchkeeper.store.jobs import Failed, Job, Outcome, Refused, Start, State
from watchkeeper.store.models import jobs

log = logging.getLogger(__name__)

ACTOR = "component:jobs"
LEASE = timedelta(seconds=30)
"""So long a process may give no sign before another one takes over what it ran."""
MAX_ERROR = 2000


@dataclass(frozen=True, slots=True)
class Claim:
    """The right of this process to run ``name`` once; ``epoch`` fences what it writes."""

    name: str
    due: datetime
    attempt: int
    owner: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Known:
    """A job for people: its row."""

    name: str
    title: str
    schedule: str
    state: State
    lease_expires_at: datetime | None
    last_started_at: datetime | None
    last_ended_at: datetime | None
    last_outcome: str | None
    last_error: str | None
    paused_by: str | None


class Watcher:
    """Tells whether whoever runs a job has ended. One per process; not shared between threads."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[tuple[Any, ...], float]] = {}

    def lost(self, known: Known, monotonic: float) -> bool:
        """Whether the owner of ``known`` certainly ended, or gave no sign for as long as a lease."""
        owner = known.state.owner
        if owner is None:
            self._seen.pop(known.name, None)
            return False
        if owners.is_gone(owner):
            return True
        sign = (owner, known.state.epoch, known.lease_expires_at)
        before = self._seen.get(known.name)
        if before is None or before[0] != sign:
            self._seen[known.name] = (sign, monotonic)
            return False
        return monotonic - before[1] >= LEASE.total_seconds()


def register(conn: Connection, now: datetime, wanted: Iterable[Job], *, begin: bool) -> None:
    """Make the rows those of the jobs ``wanted``. ``begin``: also start what runs ``at_start``."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("LOCK TABLE jobs IN EXCLUSIVE MODE"))
    found = {known.name: known for known in listing(conn)}
    for job in wanted:
        known = found.pop(job.name, None)
        described = {"title": job.title, "schedule": str(job.schedule)}
        if known is None:
            state = pure.planned(job, now)
            conn.execute(insert(jobs).values(name=job.name, **described, **_values(state)))
            continue
        state, at_start = known.state, begin and job.at_start
        if known.schedule != str(job.schedule) or at_start:
            state = pure.replanned(state, job, now, begin=at_start)
        if state != known.state or (known.title, known.schedule) != (job.title, str(job.schedule)):
            conn.execute(update(jobs).where(jobs.c.name == job.name).values(**described, **_values(state)))
    gone = [name for name, known in found.items() if not known.state.running]
    if gone:
        conn.execute(delete(jobs).where(jobs.c.name.in_(gone)))


def look(
    conn: Connection, now: datetime, job: Job, owner: str, watcher: Watcher, monotonic: float
) -> Claim | None:
    """Write what is due about ``job``; the claim to run it, where it is to be run by ``owner`` now."""
    known = load(conn, job.name, lock=True)
    if known is None:
        return None
    state, events = pure.decide(known.state, job, now, lost=watcher.lost(known, monotonic))
    claim: Claim | None = None
    outcome: dict[str, Any] = {}
    for event in events:
        if isinstance(event, Start):
            claim = Claim(job.name, event.due, event.attempt, owner, state.epoch + 1)
            state = replace(state, owner=owner, epoch=claim.epoch)
            outcome |= {"last_started_at": now, "lease_expires_at": now + LEASE}
            _started(conn, now, job, event, ACTOR)
        elif isinstance(event, Refused):
            facts = {"summary": f"{job.title} is not begun: {event.because}", "due": event.due}
            journal.append(conn, now, "job.refused", ACTOR, f"job:{job.name}", facts)
        else:
            outcome |= {"last_ended_at": now, **failed(conn, now, job, event, "lost")}
    if state != known.state or outcome:
        conn.execute(update(jobs).where(jobs.c.name == job.name).values(**_values(state), **outcome))
    return claim


def take(conn: Connection, now: datetime, job: Job, owner: str, actor: str) -> Claim | None:
    """Take ``job`` now, because ``actor`` asks for it; None where somebody runs it. Its plan stays."""
    known = load(conn, job.name, lock=True)
    state = known.state if known is not None else pure.planned(replace(job, at_start=False), now)
    if state.owner is not None and not owners.is_gone(state.owner):
        return None
    claim = Claim(job.name, now, 1, owner, state.epoch + 1)
    state = replace(state, running_due=now, running_since=now, attempt=1, owner=owner, epoch=claim.epoch)
    values = {"last_started_at": now, "lease_expires_at": now + LEASE, **_values(state)}
    if known is None:
        conn.execute(
            insert(jobs).values(name=job.name, title=job.title, schedule=str(job.schedule), **values)
        )
    else:
        conn.execute(update(jobs).where(jobs.c.name == job.name).values(**values))
    _started(conn, now, job, Start(now, 1), actor)
    return claim


def _started(conn: Connection, now: datetime, job: Job, event: Start, actor: str) -> None:
    facts: dict[str, Any] = {"summary": f"{job.title} begins", "due": event.due, "attempt": event.attempt}
    if event.attempt > 1:
        facts["summary"] += f", attempt {event.attempt} of {job.retries + 1}"
    if event.missed_since is not None:
        facts |= {"missed_since": event.missed_since}
        facts["summary"] += "; the times before it were missed, this one makes up for them"
    journal.append(conn, now, "job.started", actor, f"job:{job.name}", facts)


def renew(conn: Connection, now: datetime, claim: Claim) -> bool:
    """Say that ``claim`` goes on; False where another process has it."""
    return bool(conn.execute(_of(claim).values(lease_expires_at=now + LEASE)).rowcount)


def overdue(conn: Connection, now: datetime, claim: Claim, job: Job) -> None:
    """Journal that ``claim`` runs longer than it may. It is held until its thread ends."""
    error = f"it has run for {_words(job.timeout)}, which is all it may; it was asked to stop"
    if conn.execute(_of(claim).values(last_outcome="timed out", last_error=error)).rowcount:
        evidence = [(clause, job.failing) for clause in job.clauses]
        facts = {"summary": f"{job.title}: {error}", "due": claim.due, "attempt": claim.attempt}
        journal.append(conn, now, "job.failed", ACTOR, f"job:{job.name}", facts, evidence)


def finish(
    conn: Connection, now: datetime, claim: Claim, job: Job, result: Outcome | str, kind: str = "failed"
) -> bool:
    """Write how ``claim`` ended: its outcome, or what went wrong (``kind``: failed, timed out, stopped).

    False where another process has it: then nothing is written.
    """
    known = load(conn, job.name, lock=True)
    if known is None or (known.state.owner, known.state.epoch) != (claim.owner, claim.epoch):
        log.warning(
            "%s ended, but another process has taken it over; what it found is not recorded", job.name
        )
        return False
    if isinstance(result, Outcome):
        state = pure.ended(known.state, job, now)
        values = _answered(conn, now, claim, job, result)
    elif kind == "stopped":  # we end: whoever begins next tries again at once
        state = replace(known.state, due_at=now, scheduled_at=now, running_since=None, owner=None)
        values = {"last_outcome": "stopped", "last_error": result}
        facts = {"summary": f"{job.title} was stopped: {result}", "due": claim.due}
        journal.append(conn, now, "job.failed", ACTOR, f"job:{job.name}", facts)
    else:
        state, event = pure.failed_attempt(known.state, job, now, result)
        values = failed(conn, now, job, event, kind)
    values |= {"last_ended_at": now, "lease_expires_at": None}
    return bool(conn.execute(_of(claim).values(**_values(state), **values)).rowcount)


def _answered(conn: Connection, now: datetime, claim: Claim, job: Job, result: Outcome) -> dict[str, Any]:
    evidence: Sequence[tuple[str, str]] | None = result.evidence
    if evidence is None:
        evidence = [(clause, "met" if result.ok else "missed") for clause in job.clauses]
    facts = {**result.facts, "summary": f"{job.title}: {result.summary}", "due": claim.due}
    kind = "job.ended" if result.ok else "job.failed"
    journal.append(conn, now, kind, ACTOR, f"job:{job.name}", facts, evidence)
    return {
        "last_outcome": "done" if result.ok else "failed",
        "last_error": None if result.ok else result.summary,
    }


def failed(conn: Connection, now: datetime, job: Job, event: Failed, kind: str) -> dict[str, Any]:
    """Journal a failed attempt; the columns that tell of it."""
    error = event.error[:MAX_ERROR]
    facts: dict[str, Any] = {
        "summary": f"{job.title}: {error}",
        "due": event.due,
        "attempt": event.attempt,
        "outcome": kind,
        "again_at": event.again_at,
    }
    evidence = [(clause, job.failing) for clause in job.clauses] if event.again_at is None else []
    journal.append(conn, now, "job.failed", ACTOR, f"job:{job.name}", facts, evidence)
    return {"last_outcome": kind, "last_error": error, "lease_expires_at": None}


def pause(conn: Connection, now: datetime, name: str, by: str) -> bool:
    """Begin ``name`` no more, until :func:`resume`; False where there is no such job. What runs goes on."""
    known = load(conn, name, lock=True)
    if known is None:
        return False
    if known.paused_by is None:
        conn.execute(update(jobs).where(jobs.c.name == name).values(paused_by=by))
        facts = {"summary": f"{known.title or name} is paused"}
        journal.append(conn, now, "job.paused", by, f"job:{name}", facts)
    return True


def resume(conn: Connection, now: datetime, name: str, by: str) -> bool:
    """Begin ``name`` again at its next time; False where there is no such job."""
    known = load(conn, name, lock=True)
    if known is None:
        return False
    if known.paused_by is not None:
        state = pure.resumed(known.state, parse(known.schedule), now)
        conn.execute(update(jobs).where(jobs.c.name == name).values(paused_by=None, **_values(state)))
        facts = {"summary": f"{known.title or name} goes on", "next": state.due_at}
        journal.append(conn, now, "job.resumed", by, f"job:{name}", facts)
    return True


def load(conn: Connection, name: str, *, lock: bool = False) -> Known | None:
    """The job of that name. ``lock``: nobody else changes it until the transaction ends."""
    query = select(jobs).where(jobs.c.name == name)
    row = conn.execute(query.with_for_update() if lock else query).first()
    return None if row is None else _known(row)


def listing(conn: Connection) -> list[Known]:
    """Every job, by name."""
    return [_known(row) for row in conn.execute(select(jobs).order_by(jobs.c.name))]


def history(conn: Connection, name: str, limit: int = 50) -> list[journal.Entry]:
    """The newest entries about a job, oldest first."""
    return journal.entries(conn, journal.Filter(subject=f"job:{name}"), limit)


def problems(conn: Connection) -> list[str]:
    """A sentence for each job whose last run did not end well, for people."""
    found = []
    for known in listing(conn):
        if known.last_outcome in ("failed", "timed out", "lost") and known.last_error:
            when = f" ({known.last_ended_at:%Y-%m-%d %H:%M} UTC)" if known.last_ended_at else ""
            found.append(f"job {known.name} {known.last_outcome}{when}: {known.last_error}")
    return found


def _known(row: Row[Any]) -> Known:
    state = State(
        due_at=row.due_at,
        scheduled_at=row.scheduled_at,
        running_due=row.running_due,
        running_since=row.running_since,
        attempt=row.attempt,
        owner=row.owner,
        epoch=row.epoch,
        last_due=row.last_due,
        paused=row.paused_by is not None,
    )
    return Known(
        row.name,
        row.title,
        row.schedule,
        state,
        row.lease_expires_at,
        row.last_started_at,
        row.last_ended_at,
        row.last_outcome,
        row.last_error,
        row.paused_by,
    )


def _values(state: State) -> Mapping[str, Any]:
    names = (
        "due_at",
        "scheduled_at",
        "running_due",
        "running_since",
        "attempt",
        "owner",
        "epoch",
        "last_due",
    )
    return {name: getattr(state, name) for name in names}


def _of(claim: Claim) -> Any:
    mine = (jobs.c.name == claim.name) & (jobs.c.owner == claim.owner) & (jobs.c.epoch == claim.epoch)
    return update(jobs).where(mine)


def _words(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    return f"{seconds // 60} min" if seconds >= 60 else f"{seconds} s"
