"""What the journal is told about deliveries: each notification that arrived or never will, each receiver that
begins or ceases to fail. Single attempts are not entries; they are counted in the one that ends them.

A page that never arrives is evidence against its clause (``missed``). One that arrives is no evidence *for*
it: whether the clause is kept is for the rule to say.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from watchkeeper.notify.health import Change, Health
from watchkeeper.notify.models import Kind, Notification
from watchkeeper.store import journal, outbox

ACTOR = "component:notify"
DELIVERED = "notification.delivered"
FAILED = "notification.failed"
RECEIVER_FAILING = "receiver.failing"
RECEIVER_RECOVERED = "receiver.recovered"


def delivered(
    conn: Connection, now: datetime, row: outbox.Claimed, notification: Notification, detail: str = ""
) -> None:
    """The receiver has the notification; ``detail`` says what to know beside that (some did not get it)."""
    facts = _facts(row, notification, now)
    if detail:
        facts["detail"] = detail
    facts["summary"] = f"{row.receiver} was told: {notification.kind} {notification.summary}"
    journal.append(conn, now, DELIVERED, ACTOR, notification.subject, facts)


def failed(
    conn: Connection, now: datetime, row: outbox.Claimed, notification: Notification | None, reason: str
) -> None:
    """The receiver will never have it."""
    facts = _facts(row, notification, now)
    told = f"{notification.kind} {notification.summary}" if notification else f"row {row.id} of the outbox"
    facts |= {"summary": f"{row.receiver} was NOT told: {told} ({reason})", "reason": reason}
    page = notification is not None and notification.is_page and notification.kind is Kind.TRIGGER
    clause = notification.clause if notification and page else None
    subject = notification.subject if notification else f"outbox:{row.id}"
    journal.append(conn, now, FAILED, ACTOR, subject, facts, [(clause, "missed")] if clause else [])


def receiver_changed(
    conn: Connection, now: datetime, receiver: str, change: Change, before: Health, after: Health
) -> None:
    """The receiver began to fail, or answers again."""
    if change is Change.FAILING:
        facts: dict[str, Any] = {"summary": f"{receiver} cannot be told: {after.last_error}"}
        journal.append(conn, now, RECEIVER_FAILING, ACTOR, f"receiver:{receiver}", facts)
        return
    seconds = round((now - before.failing_since).total_seconds()) if before.failing_since else 0
    facts = {
        "summary": f"{receiver} answers again after {seconds} s and {before.failures} failed attempts",
        "failed_attempts": before.failures,
        "seconds": seconds,
        "last_error": before.last_error,
    }
    journal.append(conn, now, RECEIVER_RECOVERED, ACTOR, f"receiver:{receiver}", facts)


def _facts(row: outbox.Claimed, notification: Notification | None, now: datetime) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "receiver": row.receiver,
        "outbox": row.id,
        "dedup_key": row.dedup_key,
        "attempts": row.attempts + 1,
        "waited_seconds": round((now - row.enqueued_at).total_seconds(), 1),
    }
    if notification:
        facts |= {"notification": notification.kind.value, "severity": notification.severity}
        if notification.to is not None:
            facts["to"] = notification.to
    return facts
