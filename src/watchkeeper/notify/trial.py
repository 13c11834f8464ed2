"""A test message: one notification that begins and one that ends, through the outbox like any other.

Always true: a test leaves nobody paged, because its end is enqueued with its beginning, under the same key
and in the same order, and like every end is never given up; it is a warning, so that who is told of pages
alone sleeps on; while one test waits for a receiver there is no second one (tests/notify/test_trial.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from watchkeeper.notify.enqueue import enqueue_notification
from watchkeeper.notify.models import Kind, Notification, NotifyError, dedup_key
from watchkeeper.runbook.models.notifications import Receiver
from watchkeeper.store import journal
from watchkeeper.store.clock import to_us
from watchkeeper.store.models import outbox

TESTED = "receiver.tested"
ALERTNAME = "WatchkeeperTest"


def send_test(
    conn: Connection, now: datetime, lines: Sequence[Receiver], receiver: str, actor: str
) -> tuple[int, int]:
    """Enqueue a test for ``receiver``, one of ``lines``, and journal it; the ids of its two outbox rows.

    Part of the caller's transaction. ``actor`` is the journal's, ``person:ada``. Raises :class:`NotifyError`
    for a receiver that is not there, and while the test before this one waits.
    """
    known = [line.id for line in lines]
    if receiver not in known:
        there = f"those there are: {', '.join(known)}" if known else "the runbook has none"
        raise NotifyError(f"there is no receiver {receiver[:64]!r}; {there}")
    waiting = select(outbox.c.enqueued_at).where(
        outbox.c.receiver == receiver,
        outbox.c.state == "pending",
        outbox.c.dedup_key.startswith(f"watchkeeper/test-{receiver}/", autoescape=True),
    )
    since = conn.execute(waiting.limit(1)).scalar()
    if since is not None:
        raise NotifyError(
            f"a test of {receiver} waits since {since:%Y-%m-%d %H:%M:%S} UTC; nothing was added to it"
        )
    begins = _notification(Kind.TRIGGER, receiver, now, actor)
    ends = _notification(Kind.RESOLVE, receiver, now, actor)
    (first,) = enqueue_notification(conn, now, [receiver], begins)
    (second,) = enqueue_notification(conn, now, [receiver], ends)
    facts = {"summary": f"a test message is on its way to {receiver}", "outbox": [first, second]}
    journal.append(conn, now, TESTED, actor, f"receiver:{receiver}", facts)
    return first, second


def _notification(kind: Kind, receiver: str, now: datetime, actor: str) -> Notification:
    key = dedup_key(f"test-{receiver}", f"{to_us(now):x}")
    return Notification(
        kind=kind,
        dedup_key=key,
        order_key=key,
        subject=f"receiver:{receiver}",
        alertname=ALERTNAME,
        severity="warn",
        summary=f"Test message from Watchkeeper to {receiver}: nothing is wrong",
        starts_at=now,
        ends_at=now if kind is Kind.RESOLVE else None,
        labels={"alertname": ALERTNAME, "severity": "warn"},
        note=f"Sent by {actor}. It ends by itself; there is nothing to do.",
    )
