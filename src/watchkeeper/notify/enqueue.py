"""Putting a notification into the outbox, in the transaction that changes the alert.

Always true here: pages go before everything else; pages, acknowledgements and resolves are never given up (a
resolve that never came would leave an incident open for ever); another trigger is, at its first failure after
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
    may_end = notification.kind is Kind.TRIGGER and not notification.is_page
    return [
        outbox.enqueue(
            conn,
            now,
            receiver,
            notification.order_key,
            notification.dedup_key,
            notification.to_json(),
            due_at=due_at,
            priority=PAGE_PRIORITY if notification.is_page else OTHER_PRIORITY,
            give_up_at=now + KEEP_TRYING if may_end else None,
            coalesce_key=f"repeat-{notification.kind}" if repeat else None,
        )
        for receiver in dict.fromkeys(receivers)
    ]
