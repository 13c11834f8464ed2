"""What the tests of delivery share: a receiver on the fake, a deliverer with seeded chance, and questions."""

from __future__ import annotations

import random
from datetime import datetime

from tests.fakes.pagerduty import ROUTING_KEY, FakePagerDuty
from watchkeeper.notify.delivery import Deliverer
from watchkeeper.notify.enqueue import enqueue_notification
from watchkeeper.notify.models import Notification
from watchkeeper.notify.pagerduty import PagerDutyReceiver
from watchkeeper.notify.receivers import Receiver
from watchkeeper.notify.transport import HttpTransport
from watchkeeper.runbook.models.secrets import Secret
from watchkeeper.store import journal, outbox
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store
from watchkeeper.store.journal import Filter


def pagerduty(fake: FakePagerDuty, name: str = "pagerduty", timeout: float = 5.0) -> PagerDutyReceiver:
    environ = {"PD_KEY": ROUTING_KEY}
    return PagerDutyReceiver(
        name, Secret(env="PD_KEY"), HttpTransport(), environ, fake.url, timeout_seconds=timeout
    )


def deliverer_of(store: Store, clock: ManualClock, *receivers: Receiver) -> Deliverer:
    return Deliverer(store, receivers, clock, owner="test", chance=random.Random(7))


def put(store: Store, at: datetime, *notifications: Notification, receiver: str = "pagerduty") -> None:
    with store.write() as conn:
        for notification in notifications:
            enqueue_notification(conn, at, [receiver], notification)


def waiting(store: Store) -> int:
    with store.read() as conn:
        return sum(rows for rows, _ in outbox.backlog(conn).values())


def entries(store: Store, kind: str) -> list[journal.Entry]:
    with store.read() as conn:
        assert journal.verify(conn).intact
        return journal.entries(conn, Filter(kind=kind), limit=10_000)


def until_empty(deliverer: Deliverer, store: Store, clock: ManualClock, step: float, passes: int) -> None:
    """Deliver in steps of time until nothing waits; fails when it does not come to that."""
    for _ in range(passes):
        deliverer.run_once()
        if not waiting(store):
            return
        clock.advance(step)
    raise AssertionError(f"{waiting(store)} notifications still wait after {passes} passes")
