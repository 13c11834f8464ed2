"""Overrides that people make while the runbook stays as it is: created, cancelled, listed.

Always true here: an override changes together with the journal's entry about it, in the caller's
transaction; a refused one changes nothing, and says what would be taken; what was cancelled stands over
nobody any more, and stays on record (tests/oncall/test_overrides.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from watchkeeper.oncall.rota import REACH, Override
from watchkeeper.runbook.errors import nearest
from watchkeeper.runbook.models.people import Rota
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import journal
from watchkeeper.store.canonical import rfc3339, storable
from watchkeeper.store.models import oncall_overrides as table

LONGEST = timedelta(days=90)
"""An override is an exception; what lasts longer belongs in the runbook."""
LONGEST_REASON = 500


class OnCallError(ValueError):
    """What was asked about a rota or an override cannot be done; the message says why and what would do."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An override that somebody wants: ``contact`` instead of ``rota`` from ``start`` to before ``end``."""

    rota: str
    contact: str
    start: datetime
    end: datetime
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """An override as it is on record, with who made it and, where so, who cancelled it."""

    id: int
    rota: str
    override: Override
    created_at: datetime
    created_by: str
    cancelled_at: datetime | None = None
    cancelled_by: str | None = None


def find_rota(runbook: Runbook, rota_id: str | None) -> Rota:
    """The rota of that id; without one the default, or the only one. Raises :class:`OnCallError`."""
    rotas = runbook.oncall.rotas
    if not rotas:
        raise OnCallError("the runbook has no rota; add one under oncall.rotas")
    wanted = rota_id or runbook.oncall.default or (rotas[0].id if len(rotas) == 1 else None)
    if wanted is None:
        raise OnCallError(
            f"the runbook has several rotas and no default; name one: {', '.join(one.id for one in rotas)}"
        )
    found = runbook.oncall.rota(wanted)
    if found is None:
        raise OnCallError(f"there is no rota `{wanted}`: {nearest(wanted, [one.id for one in rotas])}")
    return found


def refusal(runbook: Runbook, wanted: Wanted, now: datetime) -> str | None:
    """Why ``wanted`` cannot be taken at ``now``, for whoever asked for it; ``None`` if it can."""
    if runbook.oncall.rota(wanted.rota) is None:
        valid = [rota.id for rota in runbook.oncall.rotas]
        return f"there is no rota `{wanted.rota}`: {nearest(wanted.rota, valid)}"
    if runbook.contact(wanted.contact) is None:
        valid = [contact.id for contact in runbook.contacts]
        return f"there is no contact `{wanted.contact}`: {nearest(wanted.contact, valid)}"
    if wanted.end <= wanted.start:
        return f"the override would end at {rfc3339(wanted.end)}, before it starts at {rfc3339(wanted.start)}"
    if wanted.end <= now:
        return f"the override would have ended at {rfc3339(wanted.end)}, and it is {rfc3339(now)} now"
    if wanted.end - wanted.start > LONGEST:
        return (
            f"the override would last longer than {LONGEST.days} days; "
            "change the rota in the runbook instead, or make a shorter one"
        )
    if wanted.reason is not None and len(wanted.reason) > LONGEST_REASON:
        return f"the reason is longer than {LONGEST_REASON} characters; say it shorter"
    return None


def create(conn: Connection, now: datetime, runbook: Runbook, wanted: Wanted, actor: str) -> Stored:
    """Make ``wanted`` stand, in the caller's transaction. ``actor`` is the journal's, ``person:ada``.

    Raises :class:`OnCallError` for one that cannot be taken; nothing was changed then.
    """
    problem = refusal(runbook, wanted, now)
    if problem is not None:
        raise OnCallError(f"{problem}. Nothing was changed.")
    values = {
        "rota": wanted.rota,
        "contact": wanted.contact,
        "starts_at": wanted.start,
        "ends_at": wanted.end,
        "reason": storable((wanted.reason or "").strip()) or None,
        "created_at": now,
        "created_by": storable(actor),
    }
    row = conn.execute(insert(table).values(**values).returning(*table.c)).one()
    made = _stored(row)
    why = f" ({made.override.reason})" if made.override.reason else ""
    _record(conn, now, "oncall.override_created", actor, made, f"{_words(made)}{why}")
    return made


def cancel(conn: Connection, now: datetime, override_id: int, actor: str) -> Stored:
    """End an override at ``now``: if it has begun, what is past of it stays as it was.

    Raises :class:`OnCallError` for one that is not there, is over, or was cancelled before.
    """
    query = select(table).where(table.c.id == override_id)
    row = conn.execute(query).first()
    if row is None:
        raise OnCallError(
            f"there is no override {override_id}; `watchkeeper oncall override --list` shows those there are"
        )
    if row.cancelled_at is not None:
        raise OnCallError(
            f"override {override_id} was cancelled before, by {row.cancelled_by} at "
            f"{rfc3339(row.cancelled_at)}; nothing was changed"
        )
    if row.ends_at <= now:
        raise OnCallError(f"override {override_id} was over at {rfc3339(row.ends_at)}; nothing was changed")
    ended = {"cancelled_at": now, "cancelled_by": storable(actor)}
    conn.execute(update(table).where(table.c.id == override_id).values(**ended))
    planned = _stored(row)
    _record(conn, now, "oncall.override_cancelled", actor, planned, f"cancelled: {_words(planned)}")
    return _stored(conn.execute(select(table).where(table.c.id == override_id)).one())


def known(conn: Connection, override_id: int) -> bool:
    """Whether there is an override of that number, also one that is over."""
    return conn.execute(select(table.c.id).where(table.c.id == override_id)).first() is not None


def upcoming(conn: Connection, now: datetime, rota: str | None = None) -> list[Stored]:
    """The overrides that stand at ``now`` or later, of ``rota`` or of all, oldest made first."""
    query = select(table).where(table.c.ends_at > now, table.c.cancelled_at.is_(None))
    if rota is not None:
        query = query.where(table.c.rota == rota)
    return [_stored(row) for row in conn.execute(query.order_by(table.c.id))]


def standing(conn: Connection, runbook: Runbook, rota: str, since: datetime) -> list[Override]:
    """What shapes the shifts of ``rota`` from ``since`` on, oldest made first, as
    :func:`watchkeeper.oncall.rota.shifts` takes it: also what was over before, because the shift at ``since``
    may have begun with its end. A cancelled one stands until it was cancelled.

    One whose contact has left the runbook stands over nobody: whoever has the turn can be reached.
    """
    query = select(table).where(table.c.rota == rota, table.c.ends_at > since - REACH).order_by(table.c.id)
    stood = [_stored(row).override for row in conn.execute(query)]
    known = {contact.id for contact in runbook.contacts}
    return [one for one in stood if one.contact in known and one.start < one.end]


def _stored(row: Row[Any]) -> Stored:
    end = row.ends_at if row.cancelled_at is None else min(row.ends_at, row.cancelled_at)
    override = Override(row.contact, row.starts_at, end, row.reason, row.id)
    return Stored(
        row.id, row.rota, override, row.created_at, row.created_by, row.cancelled_at, row.cancelled_by
    )


def _words(stored: Stored) -> str:
    one = stored.override
    return f"{one.contact} stands in on rota {stored.rota}, from {rfc3339(one.start)} to {rfc3339(one.end)}"


def _record(conn: Connection, now: datetime, kind: str, actor: str, stored: Stored, summary: str) -> None:
    override = stored.override
    facts = {
        "summary": summary,
        "override": stored.id,
        "rota": stored.rota,
        "contact": override.contact,
        "start": rfc3339(override.start),
        "end": rfc3339(override.end),
        "reason": override.reason,
    }
    journal.append(conn, now, kind, actor, f"rota:{stored.rota}", facts)
