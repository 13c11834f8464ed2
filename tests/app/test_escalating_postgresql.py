"""The same escalation on PostgreSQL, with several processes that look at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.app.escalations import Watch
from tests.postgresql import Server
from watchkeeper.app.escalating import Escalating


@pytest.fixture
def watch(postgresql: Server) -> Iterator[Watch]:
    with postgresql.store() as url:
        made = Watch(url)
        try:
            yield made
        finally:
            made.store.close()


def test_a_page_is_escalated_acknowledged_forgotten_and_ended_once_each(watch: Watch) -> None:
    def look(after: timedelta = timedelta(0)) -> None:
        watch.clock.advance(after.total_seconds())
        others = [Escalating(watch.store, watch.clock, watch.runbook) for _ in range(3)]
        threads = [threading.Thread(target=other.look) for other in others]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    watch.fire()
    watch.fire("two", told=False)
    look()
    look(timedelta(minutes=5))
    watch.acknowledge("ben")
    look(timedelta(minutes=1))
    look(timedelta(hours=1))
    watch.resolve()
    watch.resolve("two", told=False)
    look()
    assert [entry.kind for entry in watch.entries("escalation.*")] == [
        "escalation.paged",
        "escalation.deadline",
        "escalation.paged",
        "escalation.acknowledged",
        "escalation.paged",
        "escalation.ended",
    ]
    assert len(watch.entries("alert.acknowledgement_forgotten")) == 2
    assert watch.evidence() == [("incidents.acknowledge", "missed")]
