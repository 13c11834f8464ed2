"""What people do with a page at its receiver, brought home: acknowledged, taken back, resolved, reopened.

Always true: each event changes the alerts of its group and the journal in one transaction, and once, however
often it is delivered; an event about something that we do not know changes nothing. Resolving at the
receiver does not resolve the alert: only its signal does (tests/monitoring/test_acknowledgements.py).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from watchkeeper.notify.pagerduty_webhook import Happened, Inbound
from watchkeeper.store import journal
from watchkeeper.store.models import alerts

REMEMBERED = 50
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


def record(conn: Connection, now: datetime, receiver: str, event: Inbound) -> int:
    """Take ``event`` in, as part of the caller's transaction; returns how many alerts it is about."""
    query = select(alerts).where(alerts.c.group_key == event.dedup_key, alerts.c.state != "pending")
    rows = conn.execute(query.order_by(alerts.c.fingerprint)).all()
    fresh = [row for row in rows if not _known(conn, row, event)]
    for row in fresh:
        _take_in(conn, now, receiver, event, row)
    return len(rows)


def _known(conn: Connection, row: Row[Any], event: Inbound) -> bool:
    wanted = journal.Filter(subject=f"alert:{row.fingerprint}", kind=_KINDS[event.happened])
    return any(entry.facts.get("event") == event.id for entry in journal.entries(conn, wanted, REMEMBERED))


def _take_in(conn: Connection, now: datetime, receiver: str, event: Inbound, row: Row[Any]) -> None:
    if event.happened in (Happened.ACKNOWLEDGED, Happened.UNACKNOWLEDGED):
        given = event.happened is Happened.ACKNOWLEDGED
        conn.execute(
            update(alerts)
            .where(alerts.c.fingerprint == row.fingerprint)
            .values(acked_at=event.at if given else None, acked_by=event.actor if given else None)
        )
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
