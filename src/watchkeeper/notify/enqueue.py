"""Putting a notification into the outbox, in the transaction that changes the alert.

Always true here: pages go before everything else; pages, acknowledgements and resolves are never given up (a
resolve that never came would leave an incident open for ever); the rest is, at its first failure after
``KEEP_TRYING``, with a journal entry; a repeat takes the place of the repeat before it that still waits, and
nothing else is ever merged (tests/notify/test_enqueue.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import Connection

from watchkeeper.notify.models import Kind, Notification
from watchkeeper.store import outbox

KEEP_TRYING = timedelta(hours=24)
PAGE_PRIORITY = 0
OTHER_PRIORITY = 100


def enqueue_notification(
    conn: Connection,
    now: datetime,
    receivers: Iterable[str],
    notification: Notification,
    *,
    due_at: datetime | None = None,
    repeat: bool = False,
) -> list[int]:
    """One row per receiver (their ids in the runbook), part of the caller's transaction; the rows' ids.

    ``repeat``: this says again what was said before (``repeat_interval``), so at most one such need wait.
    """
    priority, give_up_at = _urgency(notification, now)
    return [
        outbox.enqueue(
            conn,
            now,
            receiver,
            notification.order_key,
            notification.dedup_key,
            notification.to_json(),
            due_at=due_at,
            priority=priority,
            give_up_at=give_up_at,
            coalesce_key=f"repeat-{notification.kind}" if repeat else None,
        )
        for receiver in dict.fromkeys(receivers)
    ]


def enqueue_notifications(
    conn: Connection, now: datetime, told: Iterable[tuple[Iterable[str], Notification]]
) -> None:
    """Many at once, each with its receivers, in their order, as :func:`enqueue_notification` does one."""
    rows = []
    for receivers, notification in told:
        priority, give_up_at = _urgency(notification, now)
        payload = notification.to_json()
        rows += [
            outbox.Row(
                receiver,
                notification.order_key,
                notification.dedup_key,
                payload,
                priority=priority,
                give_up_at=give_up_at,
            )
            for receiver in dict.fromkeys(receivers)
        ]
    outbox.enqueue_all(conn, now, rows)


def _urgency(notification: Notification, now: datetime) -> tuple[int, datetime | None]:
    """The priority, and when it is given up."""
    may_end = notification.kind in (Kind.TRIGGER, Kind.CHANGE) and not notification.is_page
    return PAGE_PRIORITY if notification.is_page else OTHER_PRIORITY, now + KEEP_TRYING if may_end else None
