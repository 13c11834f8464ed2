"""How receivers stand, as the store has it."""

from __future__ import annotations

from datetime import timedelta

from watchkeeper.notify import health, state
from watchkeeper.notify.answers import try_again
from watchkeeper.notify.budget import Budget
from watchkeeper.notify.report import receipts, standings
from watchkeeper.runbook.models.notifications import Receiver
from watchkeeper.store import outbox
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store

LINE = Receiver.model_validate(
    {"id": "hook", "title": "The hook", "webhook": {"url": "https://h.test/?key=SECRET"}}
)


def test_a_receiver_that_fails_says_since_when_and_when_it_last_did_not(
    store: Store, clock: ManualClock
) -> None:
    then = clock.now()
    later = then + timedelta(minutes=5)
    with store.write() as conn:
        good, _ = health.after_success(health.Health(), then)
        bad, _ = health.after_failure(good, try_again("it answered 503"), later, 0.5)
        state.save(conn, "hook", Budget(), bad)
        outbox.enqueue(conn, later, "hook", "k", "k", {"summary": "s"})
    with store.read() as conn:
        (one,) = standings(conn, (LINE,))
    assert (one.state, one.failing_since, one.last_success_at) == ("failing", later, then)
    assert (one.title, one.kind, one.waiting, one.oldest) == ("The hook", "webhook", 1, later)
    document = one.to_json()
    assert document["failing_since"] == "2026-01-05T03:05:00Z"
    assert "SECRET" not in str(document)


def test_what_waits_for_a_receiver_that_left_the_runbook_is_not_forgotten(
    store: Store, clock: ManualClock
) -> None:
    with store.write() as conn:
        outbox.enqueue(conn, clock.now(), "old", "k", "k", ["not a notification"])
    with store.read() as conn:
        (hook, old) = standings(conn, (LINE,))
        (row,) = receipts(conn)
    assert (hook.state, old.id, old.state, old.waiting) == ("unknown", "old", "gone", 1)
    assert (row.summary, row.state) == ("", "pending")
