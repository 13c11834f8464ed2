"""Who has taken an alert: said here and told to the receivers, or said at a receiver and brought home.

Always true: each change of the alerts of a group, its journal entries and what receivers are told of it are
one transaction; an event of a receiver counts once, however often it is delivered, and one about something
that we do not know changes nothing; whoever acknowledged first stays named until it is taken back. Resolving
at the receiver does not resolve the alert: only its signal does (tests/monitoring/test_acknowledgements.py).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from watchkeeper.notify.enqueue import enqueue_notification
from watchkeeper.notify.models import Kind, Notification
from watchkeeper.notify.pagerduty_webhook import Happened, Inbound
from watchkeeper.store import journal
from watchkeeper.store.canonical import rfc3339
from watchkeeper.store.models import alerts, outbox

FORGOTTEN = "alert.acknowledgement_forgotten"
ACTOR = "component:monitoring"
REMEMBERED = 50
SKEW = timedelta(minutes=1)
"""How far the receiver's clock may be behind ours."""
_KINDS = {
    Happened.ACKNOWLEDGED: "alert.acknowledged",
    Happened.UNACKNOWLEDGED: "alert.unacknowledged",
    Happened.RESOLVED: "alert.resolved_at_receiver",
    Happened.REOPENED: "alert.reopened_at_receiver",
}
_SUMMARIES = {
    Happened.ACKNOWLEDGED: "{actor} acknowledged {alert}",
    Happened.UNACKNOWLEDGED: "the acknowledgement of {alert} was taken back",
    Happened.RESOLVED: "{actor} resolved {alert} at the receiver; its signal decides whether it is over",
    Happened.REOPENED: "{actor} reopened {alert} at the receiver",
}


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What :func:`acknowledge` changed: the alerts by name, and the receivers that will hear of it.

    ``already``: who had acknowledged those that were named, where nothing was left to do.
    """

    alertnames: tuple[str, ...]
    receivers: tuple[str, ...]
    already: tuple[str, ...] = ()


def acknowledge(
    conn: Connection,
    now: datetime,
    fingerprints: Collection[str],
    person: str,
    note: str = "",
    *,
    actor: str | None = None,
) -> Acknowledged:
    """``person`` takes the firing alerts ``fingerprints``, and those that share their notification.

    Part of the caller's transaction. Alerts that somebody has, or that do not fire, stay as they are.
    ``actor`` is the journal's name for whoever it was where that is no person: ``token:ci``.
    """
    named = alerts.c.fingerprint.in_(list(fingerprints))
    firing = select(alerts).where(alerts.c.state == "firing")
    chosen = conn.execute(firing.where(named)).all()
    keys = sorted({row.group_key for row in chosen if row.group_key})
    shared = conn.execute(firing.where(alerts.c.group_key.in_(keys))).all()
    rows = {row.fingerprint: row for row in (*chosen, *shared)}
    who = actor or f"person:{person}"
    found = [row for _, row in sorted(rows.items()) if row.acked_at is None]
    open_rows = [row for row in found if _acknowledge(conn, now, row, person, note, who)]
    missed = [row.fingerprint for row in found if row not in open_rows]
    faster = select(alerts.c.acked_by).where(alerts.c.fingerprint.in_(missed), alerts.c.acked_by.is_not(None))
    already = {row.acked_by for row in rows.values() if row.acked_at is not None}
    already |= set(conn.execute(faster).scalars()) if missed else set()
    told: set[str] = set()
    for key in sorted({row.group_key for row in open_rows if row.group_key}):
        told |= _tell(conn, now, key, f"acknowledged by {person}" + (f": {note}" if note else ""))
    return Acknowledged(
        tuple(sorted({row.alertname for row in open_rows})),
        tuple(sorted(told)),
        tuple(sorted(already)),
    )


def _acknowledge(conn: Connection, now: datetime, row: Row[Any], person: str, note: str, actor: str) -> bool:
    """Whether it is theirs now: on PostgreSQL somebody else may have taken it since ``row`` was read."""
    mine = (alerts.c.fingerprint == row.fingerprint) & alerts.c.acked_at.is_(None)
    if not conn.execute(update(alerts).where(mine).values(acked_at=now, acked_by=person)).rowcount:
        return False
    facts = {
        "summary": _SUMMARIES[Happened.ACKNOWLEDGED].format(actor=person, alert=row.alertname),
        "episode": row.episode,
        "severity": row.severity,
    }
    if note:
        facts["note"] = note
    kind = _KINDS[Happened.ACKNOWLEDGED]
    journal.append(conn, now, kind, actor, f"alert:{row.fingerprint}", facts)
    return True


def take_back(conn: Connection, now: datetime, key: str, why: str) -> None:
    """The acknowledgement of the page that receivers know as ``key`` does not count any more.

    Part of the caller's transaction. Whoever was told of the alerts hears that they are open again.
    """
    mine = (alerts.c.group_key == key, alerts.c.state == "firing", alerts.c.acked_at.is_not(None))
    for row in conn.execute(select(alerts).where(*mine).order_by(alerts.c.fingerprint)).all():
        alert = alerts.c.fingerprint == row.fingerprint
        conn.execute(update(alerts).where(alert).values(acked_at=None, acked_by=None))
        facts = {
            "summary": f"the acknowledgement of {row.alertname} is taken back: {why}",
            "acked_by": row.acked_by,
            "acked_at": rfc3339(row.acked_at),
            "episode": row.episode,
        }
        journal.append(conn, now, FORGOTTEN, ACTOR, f"alert:{row.fingerprint}", facts)
    _tell(conn, now, key, why, Kind.TRIGGER)


def _tell(conn: Connection, now: datetime, key: str, note: str, kind: Kind = Kind.ACKNOWLEDGE) -> set[str]:
    """Whoever was told of the group hears of it, in the words that they know it by."""
    newest = select(func.max(outbox.c.id)).where(outbox.c.dedup_key == key).group_by(outbox.c.receiver)
    told = set()
    for row in conn.execute(select(outbox).where(outbox.c.id.in_(newest))):
        said = Notification.from_json(row.payload)
        if said.kind is Kind.RESOLVE:
            continue
        about = replace(said, kind=kind, note=note)
        enqueue_notification(conn, now, [row.receiver], about)
        told.add(row.receiver)
    return told


def record(conn: Connection, now: datetime, receiver: str, event: Inbound) -> int:
    """Take ``event`` in, as part of the caller's transaction; returns how many alerts it is about."""
    query = select(alerts).where(alerts.c.group_key == event.dedup_key, alerts.c.state != "pending")
    rows = conn.execute(query.order_by(alerts.c.fingerprint)).all()
    fresh = [row for row in rows if _is_about(row, event) and not _known(conn, row, event)]
    for row in fresh:
        _take_in(conn, now, receiver, event, row)
    return len(rows)


def _is_about(row: Row[Any], event: Inbound) -> bool:
    """Whether the alert fired when it happened: nobody has acknowledged what joined the page later."""
    late = event.happened is Happened.ACKNOWLEDGED and row.fired_at is not None
    return not late or row.fired_at <= event.at + SKEW


def _known(conn: Connection, row: Row[Any], event: Inbound) -> bool:
    wanted = journal.Filter(subject=f"alert:{row.fingerprint}", kind=_KINDS[event.happened])
    return any(entry.facts.get("event") == event.id for entry in journal.entries(conn, wanted, REMEMBERED))


def _take_in(conn: Connection, now: datetime, receiver: str, event: Inbound, row: Row[Any]) -> None:
    if event.happened in (Happened.ACKNOWLEDGED, Happened.UNACKNOWLEDGED):
        mine = update(alerts).where(alerts.c.fingerprint == row.fingerprint)
        if event.happened is Happened.UNACKNOWLEDGED:
            conn.execute(mine.values(acked_at=None, acked_by=None))
        else:  # the receiver also says so after it heard of an acknowledgement made here
            at = min(event.at, now)  # its clock is not ours: nobody answers later than we hear of it
            conn.execute(mine.where(alerts.c.acked_at.is_(None)).values(acked_at=at, acked_by=event.actor))
    facts = {
        "summary": _SUMMARIES[event.happened].format(actor=event.actor, alert=row.alertname),
        "event": event.id,
        "receiver": receiver,
        "incident": event.incident,
        "at_receiver": event.at.isoformat(),
        "episode": row.episode,
    }
    journal.append(
        conn, now, _KINDS[event.happened], f"person:{event.actor}", f"alert:{row.fingerprint}", facts
    )
