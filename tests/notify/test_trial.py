"""A test message leaves nobody paged, and is one message like any other."""

from __future__ import annotations

import pytest

from tests.fakes.pagerduty import FakePagerDuty
from tests.notify.deliveries import deliverer_of, entries, pagerduty, until_empty
from watchkeeper.notify.models import NotifyError
from watchkeeper.notify.report import outcome, receipts, standings
from watchkeeper.notify.trial import send_test
from watchkeeper.runbook.models.notifications import Receiver
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store

LINES = (
    Receiver.model_validate({"id": "pagerduty", "pagerduty": {"routing_key": {"env": "PD_KEY"}}}),
    Receiver.model_validate(
        {"id": "mail", "webhook": {"url": "https://hook.test/x"}, "send_resolved": False}
    ),
)


def send(store: Store, clock: ManualClock, name: str = "pagerduty") -> tuple[int, int]:
    with store.write() as conn:
        return send_test(conn, clock.now(), LINES, name, "person:ada")


def test_pagerduty_has_a_warning_that_began_and_ended(
    store: Store, clock: ManualClock, fake: FakePagerDuty
) -> None:
    ids = send(store, clock)
    until_empty(deliverer_of(store, clock, pagerduty(fake)), store, clock, 1, 5)
    with store.read() as conn:
        begun, ended = outcome(conn, ids)
        (duty, mail) = standings(conn, LINES)
    assert (begun.kind, begun.state, ended.kind, ended.state) == (
        "trigger",
        "delivered",
        "resolve",
        "delivered",
    )
    assert fake.open_incidents() == []
    events = [event for event in fake.events if event.body["event_action"] == "trigger"]
    assert [event.body["payload"]["severity"] for event in events] == ["warning"]
    assert (duty.state, duty.last_success_at, mail.state) == ("ok", clock.now(), "unknown")
    kinds = [(entry.kind, entry.subject) for entry in entries(store, "*")]
    assert (
        kinds
        == [("receiver.tested", "receiver:pagerduty")]
        + [("notification.delivered", "receiver:pagerduty")] * 2
    )


def test_the_end_is_never_given_up_and_comes_after_the_beginning(
    store: Store, clock: ManualClock, fake: FakePagerDuty
) -> None:
    fake.always("500")
    ids = send(store, clock)
    deliverer = deliverer_of(store, clock, pagerduty(fake))
    for _ in range(30):
        clock.advance(3600)
        deliverer.run_once()
    with store.read() as conn:
        begun, ended = outcome(conn, ids)
        (duty, _) = standings(conn, LINES)
    assert begun.state == "dead"  # a warning is given up after a day, and then nobody is paged by it
    assert ended.state in ("pending", "retrying")
    assert (duty.state, duty.waiting) == ("failing", 1)
    fake.always(None)
    until_empty(deliverer, store, clock, 400, 10)
    assert fake.open_incidents() == []


def test_one_test_of_a_receiver_waits_at_a_time(store: Store, clock: ManualClock) -> None:
    send(store, clock)
    with pytest.raises(NotifyError, match="a test of pagerduty waits since 2026-01-05 03:00:00 UTC"):
        send(store, clock)
    send(store, clock, "mail")  # its end is sent although it wants no others
    with store.read() as conn:
        assert [(one.receiver, one.kind) for one in receipts(conn)] == [
            ("mail", "resolve"), ("mail", "trigger"), ("pagerduty", "resolve"), ("pagerduty", "trigger"),
        ]  # fmt: skip
        assert len(receipts(conn, "mail")) == 2
        assert len(receipts(conn, limit=1)) == 1


def test_a_receiver_that_is_not_there_is_named_with_those_that_are(store: Store, clock: ManualClock) -> None:
    with pytest.raises(NotifyError, match="no receiver 'nobody'; those there are: pagerduty, mail"):
        send(store, clock, "nobody")
    with store.write() as conn, pytest.raises(NotifyError, match="the runbook has none"):
        send_test(conn, clock.now(), (), "nobody", "person:ada")
    assert entries(store, "*") == []
