"""Delivery, against a PagerDuty that fails in every way it can: nothing lost, in order, within the budget."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tests.fakes.pagerduty import ROUTING_KEY, Fault, FakePagerDuty
from tests.notify.conftest import NOW, Make
from watchkeeper.notify import delivery
from watchkeeper.notify.answers import Answer, Said
from watchkeeper.notify.delivery import Deliverer, Summary
from watchkeeper.notify.enqueue import enqueue_notification
from watchkeeper.notify.models import Kind, Notification
from watchkeeper.notify.pagerduty import PagerDutyReceiver
from watchkeeper.notify.receivers import Receiver
from watchkeeper.notify.transport import HttpTransport
from watchkeeper.runbook.models.secrets import Secret
from watchkeeper.store import journal, outbox
from watchkeeper.store.clock import ManualClock, SystemClock
from watchkeeper.store.database import Store, open_store
from watchkeeper.store.journal import Filter

Fake = Callable[..., FakePagerDuty]


@pytest.fixture
def fake(clock: ManualClock) -> Iterable[FakePagerDuty]:
    with FakePagerDuty(limit_per_minute=120, now=lambda: clock.now().timestamp()) as server:
        yield server


def _pagerduty(fake: FakePagerDuty, name: str = "pagerduty", timeout: float = 5.0) -> PagerDutyReceiver:
    environ = {"PD_KEY": ROUTING_KEY}
    return PagerDutyReceiver(
        name, Secret(env="PD_KEY"), HttpTransport(), environ, fake.url, timeout_seconds=timeout
    )


def _deliverer(store: Store, clock: ManualClock, *receivers: Receiver) -> Deliverer:
    return Deliverer(store, receivers, clock, owner="test", chance=random.Random(7))


def _put(store: Store, at: datetime, *notifications: Notification, receiver: str = "pagerduty") -> None:
    with store.write() as conn:
        for notification in notifications:
            enqueue_notification(conn, at, [receiver], notification)


def _waiting(store: Store) -> int:
    with store.read() as conn:
        return sum(rows for rows, _ in outbox.backlog(conn).values())


def _entries(store: Store, kind: str) -> list[journal.Entry]:
    with store.read() as conn:
        assert journal.verify(conn).intact
        return journal.entries(conn, Filter(kind=kind), limit=10_000)


def _until_empty(deliverer: Deliverer, store: Store, clock: ManualClock, step: float, passes: int) -> None:
    """Deliver in steps of time until nothing waits; fails when it does not come to that."""
    for _ in range(passes):
        deliverer.run_once()
        if not _waiting(store):
            return
        clock.advance(step)
    raise AssertionError(f"{_waiting(store)} notifications still wait after {passes} passes")


def test_an_alert_is_triggered_acknowledged_and_resolved(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    _put(store, clock.now(), make(), make(kind=Kind.ACKNOWLEDGE), make(kind=Kind.RESOLVE))
    assert _deliverer(store, clock, _pagerduty(fake)).run_once() == Summary(delivered=3)
    assert fake.actions("watchkeeper/alert-1/e1") == ["trigger", "acknowledge", "resolve"]
    delivered = _entries(store, "notification.delivered")
    assert [entry.facts["notification"] for entry in delivered] == ["trigger", "acknowledge", "resolve"]
    assert delivered[0].subject == "alert:alert-1"
    assert delivered[0].facts["attempts"] == 1
    assert delivered[0].evidence == ()


def test_nothing_to_do_writes_nothing(store: Store, clock: ManualClock, fake: FakePagerDuty) -> None:
    deliverer = _deliverer(store, clock, _pagerduty(fake))
    with store.read() as conn:
        before = conn.execute(text("PRAGMA data_version")).scalar(), journal.head(conn)
    assert deliverer.run_once() == Summary()
    with store.read() as conn:
        assert (conn.execute(text("PRAGMA data_version")).scalar(), journal.head(conn)) == before


@pytest.mark.parametrize("fault", ["500", "503", "429", "drop", "drop_after", "sign_in"])
def test_a_failed_attempt_is_made_again_and_the_resolve_waits_for_it(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make, fault: str
) -> None:
    _put(store, clock.now(), make(), make(kind=Kind.RESOLVE))
    fake.plan(fault)
    deliverer = _deliverer(store, clock, _pagerduty(fake))
    assert deliverer.run_once() == Summary(retried=1)
    assert deliverer.run_once() == Summary()  # not at once
    _until_empty(deliverer, store, clock, 2, 10)
    history = ["trigger", "trigger", "resolve"] if fault == "drop_after" else ["trigger", "resolve"]
    assert fake.actions("watchkeeper/alert-1/e1") == history
    assert len(fake.incidents["watchkeeper/alert-1/e1"]) == 1  # twice sent, once an incident
    assert _entries(store, "notification.delivered")[0].facts["attempts"] == 2


def test_a_receiver_that_drips_is_left_in_time_and_tried_again(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    _put(store, clock.now(), make())
    fake.plan("drip", "hang")
    deliverer = _deliverer(store, clock, _pagerduty(fake, timeout=0.3))
    began = time.monotonic()
    assert deliverer.run_once() == Summary(retried=1)
    assert time.monotonic() - began < 2
    _until_empty(deliverer, store, clock, 5, 10)
    assert len(fake.open_incidents()) == 1


def test_retry_after_is_honoured_by_everything_for_that_receiver(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    _put(store, clock.now(), make("a"), make("b"))
    fake.plan(Fault("429", "30"))
    deliverer = _deliverer(store, clock, _pagerduty(fake))
    deliverer.run_once()
    clock.advance(29)
    assert deliverer.run_once() == Summary()
    assert fake.requests == 1
    clock.advance(1)
    assert deliverer.run_once() == Summary(delivered=2)


def test_a_retry_after_of_a_year_is_not_believed(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    _put(store, clock.now(), make())
    fake.plan(Fault("429", "31536000"))
    deliverer = _deliverer(store, clock, _pagerduty(fake))
    deliverer.run_once()
    clock.advance(300)
    assert deliverer.run_once() == Summary(delivered=1)


def test_what_pagerduty_finds_invalid_is_a_missed_clause_and_stops_nothing_else(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    _put(store, clock.now(), make("bad"), make("good"), make("bad", Kind.RESOLVE))
    fake.plan("400", "400")  # in full, and cut down to what is required
    assert _deliverer(store, clock, _pagerduty(fake)).run_once() == Summary(delivered=2, failed=1)
    (failed,) = _entries(store, "notification.failed")
    assert failed.subject == "alert:bad"
    assert failed.evidence == (("monitoring.api.error-rate.page", "missed"),)
    assert "was NOT told" in failed.facts["summary"]
    assert "Event object is invalid" in failed.facts["reason"]
    assert _entries(store, "receiver.*") == []  # the receiver itself is well


def test_a_page_outlives_an_outage_of_three_days_and_a_warning_is_given_up_with_an_entry(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    _put(store, clock.now(), make("page"), make("warning", severity="warn"))
    fake.always("503")
    deliverer = _deliverer(store, clock, _pagerduty(fake))
    for _ in range(3 * 24 * 4):
        deliverer.run_once()
        clock.advance(900)
    (failed,) = _entries(store, "notification.failed")
    assert failed.subject == "alert:warning"
    assert "given up after" in failed.facts["reason"]
    assert failed.evidence == ()
    fake.always(None)
    _until_empty(deliverer, store, clock, 60, 10)
    assert fake.actions("watchkeeper/page/e1") == ["trigger"]
    (delivered,) = _entries(store, "notification.delivered")
    assert delivered.facts["waited_seconds"] > 3 * 86400


def test_an_outage_is_two_entries_and_a_handful_of_probes_however_much_waits(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    _put(store, clock.now(), *(make(f"alert-{n}") for n in range(100)))
    fake.always("503")
    deliverer = _deliverer(store, clock, _pagerduty(fake))
    for _ in range(360):
        deliverer.run_once()
        clock.advance(10)
    assert 60 <= fake.requests <= 200  # an hour: at least one probe a minute, never a storm
    (failing,) = _entries(store, "receiver.failing")
    assert failing.facts["summary"] == "pagerduty cannot be told: PagerDuty answered 503"
    fake.always(None)
    clock.advance(60)
    assert deliverer.run_once() == Summary(delivered=100)  # none waits out its own backoff
    (recovered,) = _entries(store, "receiver.recovered")
    assert recovered.facts["seconds"] >= 3600


def test_a_wrong_routing_key_loses_no_page(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    _put(store, clock.now(), make())
    environ = {"PD_KEY": "X" * 32}
    receiver = PagerDutyReceiver("pagerduty", Secret(env="PD_KEY"), HttpTransport(), environ, fake.url)
    deliverer = _deliverer(store, clock, receiver)
    for _ in range(5):
        deliverer.run_once()
        clock.advance(300)
    assert fake.events == []
    assert "correct the secret" in _entries(store, "receiver.failing")[0].facts["summary"]
    environ["PD_KEY"] = ROUTING_KEY
    assert deliverer.run_once() == Summary(delivered=1)


def test_what_is_for_an_unknown_receiver_waits_and_is_spoken_of_once(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    _put(store, clock.now(), make())
    deliverer = _deliverer(store, clock)
    for _ in range(3):
        deliverer.run_once()
        clock.advance(600)
    (failing,) = _entries(store, "receiver.failing")
    assert failing.subject == "receiver:pagerduty"
    deliverer.replace_receivers([_pagerduty(fake)])
    assert deliverer.run_once() == Summary(delivered=1)
    assert len(_entries(store, "receiver.recovered")) == 1


def test_a_clock_set_back_an_hour_delays_nothing(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    deliverer = _deliverer(store, clock, _pagerduty(fake))
    fake.plan("503", "503", "503", Fault("429", "200"))
    _put(store, clock.now(), make())
    for _ in range(4):
        deliverer.run_once()
        clock.advance(60)
    assert fake.events == []
    clock.jump(-3600)
    _put(store, clock.now(), make("later"))
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
    _put(store, clock.now(), make())
    _put(store, clock.now(), make(), receiver="broken")
    summary = _deliverer(store, clock, Broken(), _pagerduty(fake)).run_once()
    assert summary == Summary(delivered=1, retried=1)
    assert "ZeroDivisionError" in caplog.text
    assert _waiting(store) == 1


def test_a_row_of_another_version_waits_and_stops_nothing_else(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    with store.write() as conn:
        outbox.enqueue(conn, clock.now(), "pagerduty", "strange", "d", {"version": 99})
    _put(store, clock.now(), make())
    assert _deliverer(store, clock, _pagerduty(fake)).run_once() == Summary(delivered=1, retried=1)


# --- storms


def _busiest_minute(fake: FakePagerDuty) -> int:
    times = [event.received_at for event in fake.events]
    return max(
        (sum(start <= at < start + 60 for at in times[n:]) for n, start in enumerate(times)), default=0
    )


def test_a_storm_stays_within_the_budget_and_pages_go_first(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    _put(store, clock.now(), *(make(f"warn-{n}", severity="warn") for n in range(150)))
    _put(store, clock.now(), *(make(f"page-{n}") for n in range(100)))
    deliverer = _deliverer(store, clock, _pagerduty(fake))
    assert deliverer.run_once() == Summary(delivered=120)
    assert all("/page-" in event.dedup_key for event in fake.events[:100])
    restarted = _deliverer(store, clock, _pagerduty(fake))  # the budget is not forgotten
    clock.advance(59)
    assert restarted.run_once() == Summary()
    _until_empty(restarted, store, clock, 1, 130)
    assert fake.refused == []
    assert _busiest_minute(fake) == 120


def test_a_thousand_alerts_with_five_percent_errors_all_arrive_once_and_in_order(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    alerts = [make(f"alert-{n}") for n in range(1000)]
    _put(store, clock.now(), *alerts)
    _put(store, clock.now(), *(make(f"alert-{n}", Kind.RESOLVE) for n in range(0, 1000, 10)))
    fake.random_faults(11, {"500": 2, "drop": 1, "drop_after": 1, "503": 0.5, "429": 0.5})
    deliverer = _deliverer(store, clock, _pagerduty(fake))
    _until_empty(deliverer, store, clock, 5, 400)
    assert [r for r in fake.refused if r[0] == 400] == []
    assert all(len(incidents) == 1 for incidents in fake.incidents.values())
    assert len(fake.incidents) == 1000
    resolved = {key for key, (incident,) in fake.incidents.items() if incident.status == "resolved"}
    assert resolved == {f"watchkeeper/alert-{n}/e1" for n in range(0, 1000, 10)}
    for key in resolved:
        assert fake.actions(key)[0] == "trigger"
        assert fake.actions(key)[-1] == "resolve"
    assert len(_entries(store, "notification.delivered")) == 1100
    assert len(_entries(store, "receiver.*")) <= 20
    assert _busiest_minute(fake) <= 120


KINDS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(list(Kind))), min_size=1, max_size=10)
FAULTS = st.lists(st.sampled_from([None, "500", "drop", "drop_after", "429", "sign_in"]), max_size=12)


@settings(max_examples=20, deadline=None)
@given(KINDS, FAULTS, st.integers(0, 1000))
def test_whatever_fails_each_alert_is_told_in_order_and_ends_as_it_should(
    told: list[tuple[str, Kind]], faults: list[str | None], seed: int
) -> None:
    clock = ManualClock(NOW)
    with TemporaryDirectory() as where, open_store(Path(where)) as store, FakePagerDuty() as fake:
        fake.plan(*faults)
        for alert, kind in told:
            fields = {
                "order_key": alert,
                "subject": alert,
                "alertname": "A",
                "severity": "page",
                "summary": "s",
            }
            _put(store, clock.now(), Notification(kind=kind, dedup_key=alert, starts_at=NOW, **fields))
        deliverer = Deliverer(store, [_pagerduty(fake)], clock, owner="test", chance=random.Random(seed))
        _until_empty(deliverer, store, clock, 30, 60)
        for alert in "abc":
            expected = [kind.value for name, kind in told if name == alert]
            assert _without_repeats(fake.actions(alert)) == _without_repeats(expected)
            if "drop_after" not in faults:
                assert fake.actions(alert) == expected


def _without_repeats(actions: list[str]) -> list[str]:
    """A lost answer makes the same event arrive twice in a row, which changes nothing."""
    return [action for n, action in enumerate(actions) if n == 0 or actions[n - 1] != action]


# --- the loop


@pytest.fixture
def running(store: Store) -> Iterable[Callable[..., Deliverer]]:
    """Starts a deliverer's loop on the real clock; all are stopped at the end."""
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def start(*receivers: Receiver) -> Deliverer:
        deliverer = Deliverer(store, receivers, SystemClock())
        threads.append(threading.Thread(target=deliverer.run, args=(stop,)))
        threads[-1].start()
        return deliverer

    yield start
    stop.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_a_receiver_that_hangs_does_not_hold_up_another(
    store: Store, running: Callable[..., Deliverer], make: Make
) -> None:
    with FakePagerDuty() as hanging, FakePagerDuty() as good:
        hanging.always("hang")
        now = SystemClock().now()
        for n in range(20):
            _put(store, now, make(f"alert-{n}"), receiver="hanging")
            _put(store, now, make(f"alert-{n}"), receiver="good")
        running(_pagerduty(hanging, "hanging", timeout=3.0), _pagerduty(good, "good"))
        good.wait_for(lambda fake: len(fake.events) == 20, 2.5)
        assert hanging.requests <= 1


def test_the_loop_takes_new_receivers_and_leaves_old_ones(
    store: Store, running: Callable[..., Deliverer], make: Make
) -> None:
    with FakePagerDuty() as first, FakePagerDuty() as second:
        deliverer = running(_pagerduty(first))
        _put(store, SystemClock().now(), make("one"))
        first.wait_for(lambda fake: len(fake.events) == 1)
        deliverer.replace_receivers([_pagerduty(second), _pagerduty(second, "another")])
        _put(store, SystemClock().now(), make("two"))
        _put(store, SystemClock().now(), make("three"), receiver="another")
        second.wait_for(lambda fake: len(fake.events) == 2)
        assert deliverer.totals == {("pagerduty", "accepted"): 2, ("another", "accepted"): 1}


def test_a_full_disk_stops_deliveries_only_while_it_is_full(
    store: Store,
    running: Callable[..., Deliverer],
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    monkeypatch.setattr(delivery, "TROUBLE_SECONDS", 0.05)
    with FakePagerDuty() as fake:
        _put(store, SystemClock().now(), make(summary="x" * 3000))
        with store.write() as conn:
            conn.execute(text("CREATE TABLE filler (x)"))
            conn.execute(text("PRAGMA max_page_count = 1"))  # not below what is used: no page more
        running(_pagerduty(fake))
        fake.wait_for(lambda fake: len(fake.events) >= 1)
        with store.write() as conn:
            conn.execute(text("PRAGMA max_page_count = 1000000"))
        deadline = time.monotonic() + 10
        while _waiting(store) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert _waiting(store) == 0
        assert len(fake.open_incidents()) == 1


def test_stopping_waits_for_the_send_under_way_and_no_longer(store: Store, make: Make) -> None:
    with FakePagerDuty() as fake:
        fake.always("hang")
        _put(store, SystemClock().now(), make("one"), make("two"))
        stop = threading.Event()
        deliverer = Deliverer(store, [_pagerduty(fake, timeout=1.0)], SystemClock())
        thread = threading.Thread(target=deliverer.run, args=(stop,))
        thread.start()
        fake.wait_for(lambda fake: fake.requests == 1)
        stop.set()
        thread.join(4)
        assert not thread.is_alive()
        with store.read() as conn:
            assert outbox.owners(conn) == []  # the attempt was settled


def test_settled_rows_are_forgotten_after_a_week(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    _put(store, clock.now(), make())
    deliverer = _deliverer(store, clock, _pagerduty(fake))
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
    _put(store, clock.now(), make("a"), make("b"), make("c"))
    fake.plan("503", "400", "400")
    deliverer = _deliverer(store, clock, _pagerduty(fake))
    deliverer.run_once()
    assert {said: count for (_, said), count in deliverer.totals.items()} == {
        Said.TRY_AGAIN: 1,
        Said.REJECTED: 1,
        Said.ACCEPTED: 1,
    }
