"""Silences in the store: made, ended, reminded of, and seen off, each with its journal entry.

Always true: a silence and the entry that explains it are one transaction, that of the caller; every silence
that was made has exactly one entry that says it is over (tests/monitoring/test_silencing.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from watchkeeper.monitoring import silences
from watchkeeper.monitoring.promql.ast import Matcher, MatchOp
from watchkeeper.monitoring.silences import Silence, SilenceError, Wanted
from watchkeeper.notify.enqueue import enqueue_notification
from watchkeeper.notify.models import Kind, Notification, dedup_key, personal_key
from watchkeeper.runbook.models.monitoring import Silencing
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.ways import ways
from watchkeeper.store import journal
from watchkeeper.store.canonical import rfc3339
from watchkeeper.store.models import silences as table

ACTOR = "component:monitoring"
CREATED, ENDED, ENDING, EXPIRED = "silence.created", "silence.ended", "silence.ending", "silence.expired"


def create(
    conn: Connection,
    now: datetime,
    wanted: Wanted,
    person: str,
    policy: Silencing,
    *,
    actor: str | None = None,
) -> Silence:
    """Make a silence. Raises :class:`SilenceError` for one that may not be.

    ``actor`` is the journal's name for whoever made it where that is no person: ``token:ci``.
    """
    silences.check(wanted, now, policy)
    values = {
        "matchers": [[one.name, one.op.value, one.value] for one in wanted.matchers],
        "starts_at": wanted.starts_at,
        "ends_at": wanted.ends_at,
        "owner": wanted.owner,
        "reason": wanted.reason,
        "created_at": now,
        "created_by": person,
    }
    made = conn.execute(insert(table).values(**values)).inserted_primary_key
    assert made is not None
    silence = _silence(conn.execute(select(table).where(table.c.id == made[0])).one())
    text = f"{silence.owner} silenced {words(silence)}"
    _append(conn, now, CREATED, actor or f"person:{person}", silence, text)
    return silence


def end(conn: Connection, now: datetime, number: int, person: str, *, actor: str | None = None) -> Silence:
    """End silence ``number`` early. Raises :class:`SilenceError` where there is none that still stands.

    ``actor`` as for :func:`create`.
    """
    row = conn.execute(select(table).where(table.c.id == number, table.c.closed_at.is_(None))).first()
    if row is None or _silence(row).state(now) == "over":
        raise SilenceError(
            f"there is no silence {number} that could be ended; `watchkeeper silences` lists them"
        )
    conn.execute(update(table).where(table.c.id == number).values(ended_at=now, closed_at=now))
    silence = _silence(conn.execute(select(table).where(table.c.id == number)).one())
    text = f"{person} ended the silence of {words(silence)}"
    _append(conn, now, ENDED, actor or f"person:{person}", silence, text)
    return silence


def load(conn: Connection) -> tuple[Silence, ...]:
    """The silences that the journal has not seen the end of, oldest first."""
    query = select(table).where(table.c.closed_at.is_(None)).order_by(table.c.id)
    return tuple(_silence(row) for row in conn.execute(query))


def get(conn: Connection, number: int) -> Silence | None:
    """Silence ``number``, also one that is over; None where there never was one."""
    row = conn.execute(select(table).where(table.c.id == number)).first()
    return None if row is None else _silence(row)


def everything(conn: Connection, limit: int = 200) -> tuple[Silence, ...]:
    """The newest ``limit`` silences there ever were, oldest first."""
    query = select(table).order_by(table.c.id.desc()).limit(limit)
    return tuple(_silence(row) for row in conn.execute(query))[::-1]


def settle(conn: Connection, now: datetime, known: Iterable[Silence], runbook: Runbook) -> None:
    """Journal what time has done to the silences ``known``: that one ends soon, that one is over.

    Whoever owns one that ends soon is told, where the runbook has a contact of that id or name.
    """
    known = tuple(known)
    policy = runbook.monitoring.silences
    for silence in silences.ending(known, now, policy.remind):
        first = table.c.reminded_at.is_(None) & table.c.closed_at.is_(None)
        mine = update(table).where(table.c.id == silence.id, first)
        if conn.execute(mine.values(reminded_at=now)).rowcount:
            minutes = max(1, round((silence.until - now).total_seconds() / 60))
            text = f"the silence of {words(silence)} ends in {minutes} min; its owner is {silence.owner}"
            _append(conn, now, ENDING, ACTOR, silence, text)
            _remind(conn, now, silence, runbook, text)
    for silence in silences.over(known, now):
        mine = update(table).where(table.c.id == silence.id, table.c.closed_at.is_(None))
        if conn.execute(mine.values(closed_at=now)).rowcount:
            text = f"the silence of {words(silence)} is over; what still fires is told again"
            _append(conn, now, EXPIRED, ACTOR, silence, text)


def _remind(conn: Connection, now: datetime, silence: Silence, runbook: Runbook, text: str) -> None:
    """Tell the owner in every way that they are reached, as a warning that ends when the silence does."""
    named = [one for one in runbook.contacts if silence.owner in (one.id, one.name)]
    key = dedup_key(f"silence-{silence.id}", "ending")
    for way in ways(runbook, named[0]) if named else ():
        mine = key if way.to is None else personal_key(key, way.receiver, way.to)
        said = Notification(
            kind=Kind.TRIGGER,
            dedup_key=mine,
            order_key=mine,
            subject=f"silence:{silence.id}",
            alertname="SilenceEnding",
            severity="warn",
            summary=text,
            starts_at=now,
            note=silence.reason,
            to=way.to,
        )
        enqueue_notification(conn, now, [way.receiver], said)
        over = replace(said, kind=Kind.RESOLVE, ends_at=silence.until)
        enqueue_notification(conn, now, [way.receiver], over, due_at=silence.until)


def words(silence: Silence) -> str:
    """What it silences, as PromQL writes it."""
    return "{" + ", ".join(map(str, silence.matchers)) + "}"


def _append(conn: Connection, now: datetime, kind: str, actor: str, silence: Silence, summary: str) -> None:
    facts: dict[str, Any] = {
        "summary": summary,
        "matchers": words(silence),
        "from": rfc3339(silence.starts_at),
        "until": rfc3339(silence.until),
        "owner": silence.owner,
        "reason": silence.reason,
    }
    journal.append(conn, now, kind, actor, f"silence:{silence.id}", facts)


def _silence(row: Any) -> Silence:
    return Silence(
        id=row.id,
        matchers=tuple(Matcher(name, MatchOp(op), value) for name, op, value in row.matchers),
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        owner=row.owner,
        reason=row.reason,
        created_at=row.created_at,
        created_by=row.created_by,
        ended_at=row.ended_at,
        reminded_at=row.reminded_at,
    )
