"""Delivery, against a PagerDuty that fails in every way it can: nothing lost, in order, within the budget."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from tests.fakes.pagerduty import ROUTING_KEY, FakePagerDuty, Fault
from tests.fakes.smtp import FakeSmtp, serving
from tests.notify.conftest import Make
from tests.notify.deliveries import deliverer_of, entries, pagerduty, put, until_empty, waiting
from tests.postgresql import long_on_postgresql, sqlite_only
from watchkeeper.notify import accounts, state
from watchkeeper.notify.answers import Answer, Said
from watchkeeper.notify.delivery import Deliverer, Summary
from watchkeeper.notify.email import EmailReceiver
from watchkeeper.notify.lane import MOST_UNDER_WAY
from watchkeeper.notify.models import Kind, Notification
from watchkeeper.notify.pagerduty import PagerDutyReceiver
from watchkeeper.notify.transport import HttpTransport
from watchkeeper.runbook.models.secrets import Secret
from watchkeeper.store import journal, outbox
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store
from watchkeeper.store.errors import StoreFullError

Fake = Callable[..., FakePagerDuty]


def test_an_alert_is_triggered_acknowledged_and_resolved(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    put(store, clock.now(), make(), make(kind=Kind.ACKNOWLEDGE), make(kind=Kind.RESOLVE))
    assert deliverer_of(store, clock, pagerduty(fake)).run_once() == Summary(delivered=3)
    assert fake.actions("watchkeeper/alert-1/e1") == ["trigger", "acknowledge", "resolve"]
    delivered = entries(store, "notification.delivered")
    assert [entry.facts["notification"] for entry in delivered] == ["trigger", "acknowledge", "resolve"]
    assert delivered[0].subject == "alert:alert-1"
    assert delivered[0].facts["attempts"] == 1
    assert delivered[0].evidence == ()


@sqlite_only
def test_nothing_to_do_writes_nothing(store: Store, clock: ManualClock, fake: FakePagerDuty) -> None:
    deliverer = deliverer_of(store, clock, pagerduty(fake))
    with store.read() as conn:
        before = conn.execute(text("PRAGMA data_version")).scalar(), journal.head(conn)
    assert deliverer.run_once() == Summary()
    with store.read() as conn:
        assert (conn.execute(text("PRAGMA data_version")).scalar(), journal.head(conn)) == before


@pytest.mark.parametrize("fault", ["500", "503", "429", "drop", "drop_after", "sign_in"])
def test_a_failed_attempt_is_made_again_and_the_resolve_waits_for_it(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make, fault: str
) -> None:
    put(store, clock.now(), make(), make(kind=Kind.RESOLVE))
    fake.plan(fault)
    deliverer = deliverer_of(store, clock, pagerduty(fake))
    assert deliverer.run_once() == Summary(retried=1)
    assert deliverer.run_once() == Summary()  # not at once
    until_empty(deliverer, store, clock, 2, 10)
    history = ["trigger", "trigger", "resolve"] if fault == "drop_after" else ["trigger", "resolve"]
    assert fake.actions("watchkeeper/alert-1/e1") == history
    assert len(fake.incidents["watchkeeper/alert-1/e1"]) == 1  # twice sent, once an incident
    assert entries(store, "notification.delivered")[0].facts["attempts"] == 2


def test_a_receiver_that_drips_is_left_in_time_and_tried_again(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    put(store, clock.now(), make())
    fake.plan("drip", "hang")
    deliverer = deliverer_of(store, clock, pagerduty(fake, timeout=0.3))
    began = time.monotonic()
    assert deliverer.run_once() == Summary(retried=1)
    assert time.monotonic() - began < 2
    until_empty(deliverer, store, clock, 5, 10)
    assert len(fake.open_incidents()) == 1


def test_retry_after_is_honoured_by_everything_for_that_receiver(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    put(store, clock.now(), make("a"), make("b"))
    fake.plan(Fault("429", "30"))
    deliverer = deliverer_of(store, clock, pagerduty(fake))
    deliverer.run_once()
    clock.advance(29)
    assert deliverer.run_once() == Summary()
    assert fake.requests == 1
    clock.advance(1)
    assert deliverer.run_once() == Summary(delivered=2)


def test_a_retry_after_of_a_year_is_not_believed(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    put(store, clock.now(), make())
    fake.plan(Fault("429", "31536000"))
    deliverer = deliverer_of(store, clock, pagerduty(fake))
    deliverer.run_once()
    clock.advance(300)
    assert deliverer.run_once() == Summary(delivered=1)


def test_what_pagerduty_finds_invalid_is_a_missed_clause_and_stops_nothing_else(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    put(store, clock.now(), make("bad"), make("good"), make("bad", Kind.RESOLVE))
    fake.plan("400", "400")  # in full, and cut down to what is required
    assert deliverer_of(store, clock, pagerduty(fake)).run_once() == Summary(delivered=2, failed=1)
    (failed,) = entries(store, "notification.failed")
    assert failed.subject == "alert:bad"
    assert failed.evidence == (("monitoring.api.error-rate.page", "missed"),)
    assert "was NOT told" in failed.facts["summary"]
    assert "Event object is invalid" in failed.facts["reason"]
    assert entries(store, "receiver.*") == []  # the receiver itself is well


@long_on_postgresql
def test_a_page_outlives_an_outage_of_three_days_and_a_warning_is_given_up_with_an_entry(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    put(store, clock.now(), make("page"), make("warning", severity="warn"))
    fake.always("503")
    deliverer = deliverer_of(store, clock, pagerduty(fake))
    for _ in range(3 * 24 * 4):
        deliverer.run_once()
        clock.advance(900)
    (failed,) = entries(store, "notification.failed")
    assert failed.subject == "alert:warning"
    assert "given up after" in failed.facts["reason"]
    assert failed.evidence == ()
    fake.always(None)
    until_empty(deliverer, store, clock, 60, 10)
    assert fake.actions("watchkeeper/page/e1") == ["trigger"]
    (delivered,) = entries(store, "notification.delivered")
    assert delivered.facts["waited_seconds"] >= 3 * 86400


@long_on_postgresql
def test_an_outage_is_two_entries_and_a_handful_of_probes_however_much_waits(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    put(store, clock.now(), *(make(f"alert-{n}") for n in range(100)))
    fake.always("503")
    deliverer = deliverer_of(store, clock, pagerduty(fake))
    for _ in range(360):
        deliverer.run_once()
        clock.advance(10)
    assert 60 <= fake.requests <= 200  # an hour: at least one probe a minute, never a storm
    (failing,) = entries(store, "receiver.failing")
    assert failing.facts["summary"] == "pagerduty cannot be told: PagerDuty answered 503"
    fake.always(None)
    clock.advance(60)
    assert deliverer.run_once() == Summary(delivered=100)  # none waits out its own backoff
    (recovered,) = entries(store, "receiver.recovered")
    assert recovered.facts["seconds"] >= 3600


class Late(random.Random):
    """Chance that always draws almost the longest wait."""

    def random(self) -> float:
        return 0.99


def test_when_a_receiver_answers_again_nothing_waits_out_its_own_backoff(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    deliverer = Deliverer(store, [pagerduty(fake)], clock, owner="test", chance=Late())
    put(store, clock.now(), make("tried often"))
    fake.always("503")
    for _ in range(10):
        deliverer.run_once()
        clock.advance(300)
    deliverer.run_once()
    fake.always(None)
    clock.advance(60)
    assert deliverer.run_once() == Summary()  # its own next attempt is minutes away
    put(store, clock.now(), make("new"))
    assert deliverer.run_once() == Summary(delivered=2)


def test_what_was_sent_but_could_not_be_noted_is_noted_later_and_not_sent_again(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, clock.now(), make())
    deliverer = deliverer_of(store, clock, pagerduty(fake))

    def full(*_given: object) -> None:
        raise StoreFullError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(accounts, "delivered", full)
        for _ in range(2):
            with pytest.raises(StoreFullError):
                deliverer.run_once()
    assert waiting(store) == 1
    assert deliverer.run_once() == Summary(delivered=1)
    assert (len(fake.events), waiting(store)) == (1, 0)
    assert len(entries(store, "notification.delivered")) == 1


def test_a_wrong_routing_key_loses_no_page(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    put(store, clock.now(), make())
    environ = {"PD_KEY": "X" * 32}
    receiver = PagerDutyReceiver("pagerduty", Secret(env="PD_KEY"), HttpTransport(), environ, fake.url)
    deliverer = deliverer_of(store, clock, receiver)
    for _ in range(5):
        deliverer.run_once()
        clock.advance(300)
    assert fake.events == []
    assert "correct the secret" in entries(store, "receiver.failing")[0].facts["summary"]
    environ["PD_KEY"] = ROUTING_KEY
    assert deliverer.run_once() == Summary(delivered=1)


def test_what_is_for_an_unknown_receiver_waits_and_is_spoken_of_once(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    put(store, clock.now(), make())
    deliverer = deliverer_of(store, clock)
    for _ in range(3):
        deliverer.run_once()
        clock.advance(600)
    (failing,) = entries(store, "receiver.failing")
    assert failing.subject == "receiver:pagerduty"
    deliverer.replace_receivers([pagerduty(fake)])
    assert deliverer.run_once() == Summary(delivered=1)
    assert len(entries(store, "receiver.recovered")) == 1


def test_a_clock_set_back_an_hour_delays_nothing(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    deliverer = deliverer_of(store, clock, pagerduty(fake))
    fake.plan("503", "503", "503", Fault("429", "200"))
    put(store, clock.now(), make())
    for _ in range(4):
        deliverer.run_once()
        clock.advance(60)
    assert fake.events == []
    clock.jump(-3600)
    put(store, clock.now(), make("later"))
    clock.advance(61)
    assert deliverer.run_once() == Summary(delivered=2)


class Broken:
    """A receiver with a defect in our own code."""

    id = "broken"
    rate_per_minute = 120.0
    timeout_seconds = 1.0

    def send(self, notification: Notification, idempotency_key: str, now: datetime) -> Answer:
        raise ZeroDivisionError(f"while sending {notification.summary}")


def test_a_defect_in_one_receiver_stops_no_other_and_loses_nothing(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    put(store, clock.now(), make())
    put(store, clock.now(), make(), receiver="broken")
    summary = deliverer_of(store, clock, Broken(), pagerduty(fake)).run_once()
    assert summary == Summary(delivered=1, retried=1)
    assert "ZeroDivisionError" in caplog.text
    assert waiting(store) == 1


def test_a_row_of_another_version_waits_and_stops_nothing_else(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    with store.write() as conn:
        outbox.enqueue(conn, clock.now(), "pagerduty", "strange", "d", {"version": 99})
    put(store, clock.now(), make())
    assert deliverer_of(store, clock, pagerduty(fake)).run_once() == Summary(delivered=1, retried=1)


def test_settled_rows_are_forgotten_after_a_week(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    put(store, clock.now(), make())
    deliverer = deliverer_of(store, clock, pagerduty(fake))
    deliverer.run_once()
    clock.advance(timedelta(days=6).total_seconds())
    deliverer.run_once()
    with store.read() as conn:
        assert outbox.settled_before(conn, clock.now())
    clock.advance(timedelta(days=2).total_seconds())
    deliverer.run_once()
    with store.read() as conn:
        assert not outbox.settled_before(conn, clock.now())


def test_answers_are_counted(store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make) -> None:
    put(store, clock.now(), make("a"), make("b"), make("c"))
    fake.plan("503", "400", "400")
    deliverer = deliverer_of(store, clock, pagerduty(fake))
    deliverer.run_once()
    assert {said: count for (_, said), count in deliverer.totals.items()} == {
        Said.TRY_AGAIN: 1,
        Said.REJECTED: 1,
        Said.ACCEPTED: 1,
    }


def test_who_was_not_told_beside_others_stands_in_the_journal(
    store: Store, clock: ManualClock, make: Make
) -> None:
    with serving(FakeSmtp(replies={"RCPT gone@example.org": "550 no such user"})) as smtp:
        to = ("gone@example.org", "ops@example.org")
        mail = EmailReceiver("mail", "127.0.0.1", "wk@example.org", to, {}, smtp.port, "none")
        put(store, clock.now(), make(), receiver="mail")
        deliverer_of(store, clock, mail).run_once()
    (entry,) = entries(store, accounts.DELIVERED)
    assert entry.facts["detail"] == "127.0.0.1: not by gone@example.org (550 no such user)"


class Slow:
    """A receiver that takes several at a time and answers when it is told to."""

    id = "pagerduty"
    rate_per_minute = 1000.0
    timeout_seconds = 5.0
    in_flight = 4

    def __init__(self) -> None:
        self.guard = threading.Condition()
        self.under_way: list[str] = []
        self.most = 0
        self.told: list[tuple[str, Kind]] = []

    def send(self, notification: Notification, idempotency_key: str, now: datetime) -> Answer:
        with self.guard:
            assert notification.order_key not in self.under_way, "of one alert, one at a time"
            self.under_way.append(notification.order_key)
            self.most = max(self.most, len(self.under_way))
        time.sleep(0.05)
        with self.guard:
            self.under_way.remove(notification.order_key)
            self.told.append((notification.order_key, notification.kind))
        return Answer(Said.ACCEPTED)


def test_several_are_under_way_at_a_time_but_never_two_of_one_alert(
    store: Store, clock: ManualClock, make: Make
) -> None:
    for kind in (Kind.TRIGGER, Kind.ACKNOWLEDGE, Kind.RESOLVE):
        put(store, clock.now(), *(make(f"alert-{n}", kind) for n in range(10)))
    slow = Slow()
    assert deliverer_of(store, clock, slow).run_once() == Summary(delivered=30)
    assert slow.most == 4
    for n in range(10):
        told = [kind for name, kind in slow.told if name == f"alert-{n}"]
        assert told == [Kind.TRIGGER, Kind.ACKNOWLEDGE, Kind.RESOLVE]
    assert len(entries(store, "notification.delivered")) == 30


def test_those_that_are_under_way_together_are_one_failure_in_a_row(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    put(store, clock.now(), *(make(f"alert-{n}") for n in range(40)))
    deliverer = deliverer_of(store, clock, pagerduty(fake))
    assert deliverer.run_once(16) == Summary(delivered=16)  # it has earned many at a time
    fake.plan(*["503"] * 12)
    assert deliverer.run_once(12).retried >= 8
    with store.read() as conn:
        known = state.load(conn, "pagerduty")[1]
    assert not known.down  # a hitch, not an outage: nothing is held back for it
    until_empty(deliverer, store, clock, 2, 10)


def test_a_receiver_that_asks_for_time_is_sent_nothing_that_was_not_under_way(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    put(store, clock.now(), *(make(f"alert-{n}") for n in range(60)))
    deliverer = deliverer_of(store, clock, pagerduty(fake))
    deliverer.run_once(20)
    fake.always(Fault("429", "30"))
    before = fake.requests
    deliverer.run_once()
    assert fake.requests - before <= MOST_UNDER_WAY
    asked = fake.requests
    clock.advance(29)
    assert (deliverer.run_once(), fake.requests) == (Summary(), asked)
    fake.always(None)
    until_empty(deliverer, store, clock, 5, 40)


def test_one_that_cannot_be_settled_for_a_defect_of_ours_holds_up_no_other(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, clock.now(), *(make(f"alert-{n}") for n in range(20)))
    deliverer = deliverer_of(store, clock, pagerduty(fake))
    right = accounts.delivered

    def defect(*given: Any) -> None:
        if given[3].subject == "alert:alert-9":
            raise ZeroDivisionError
        right(*given)

    with monkeypatch.context() as patched:
        patched.setattr(accounts, "delivered", defect)
        for _ in range(3):
            with contextlib.suppress(ZeroDivisionError):
                deliverer.run_once()
    assert waiting(store) == 1
    assert len(fake.events) == 20  # what was settled one by one was not sent again for it
    clock.advance(60)  # its claim ends
    assert deliverer.run_once() == Summary(delivered=1)
    assert fake.actions("watchkeeper/alert-9/e1") == ["trigger", "trigger"]
    assert len(entries(store, "notification.delivered")) == 20
