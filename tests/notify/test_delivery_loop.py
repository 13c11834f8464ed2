"""The loop on the real clock: receivers side by side, reloads, a full disk, and stopping."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

import pytest
from sqlalchemy import text

from tests.fakes.pagerduty import FakePagerDuty
from tests.notify.conftest import Make
from tests.notify.deliveries import pagerduty, put, waiting
from tests.postgresql import sqlite_only
from watchkeeper.notify import delivery
from watchkeeper.notify.delivery import Deliverer
from watchkeeper.notify.receivers import Receiver
from watchkeeper.store import outbox
from watchkeeper.store.clock import SystemClock
from watchkeeper.store.database import Store


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
            put(store, now, make(f"alert-{n}"), receiver="hanging")
            put(store, now, make(f"alert-{n}"), receiver="good")
        running(pagerduty(hanging, "hanging", timeout=3.0), pagerduty(good, "good"))
        good.wait_for(lambda fake: len(fake.events) == 20, 2.5)
        assert hanging.requests <= 1


def test_the_loop_takes_new_receivers_and_leaves_old_ones(
    store: Store, running: Callable[..., Deliverer], make: Make
) -> None:
    with FakePagerDuty() as first, FakePagerDuty() as second:
        deliverer = running(pagerduty(first))
        put(store, SystemClock().now(), make("one"))
        first.wait_for(lambda fake: len(fake.events) == 1)
        deliverer.replace_receivers([pagerduty(second), pagerduty(second, "another")])
        put(store, SystemClock().now(), make("two"))
        put(store, SystemClock().now(), make("three"), receiver="another")
        wanted = {("pagerduty", "accepted"): 2, ("another", "accepted"): 1}
        second.wait_for(lambda fake: len(fake.events) == 2 and deliverer.totals == wanted)


def test_what_wakes_it_is_sent_at_once_and_what_does_not_a_moment_later(
    store: Store, running: Callable[..., Deliverer], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "POLL_SECONDS", 1.5)
    with FakePagerDuty() as fake:
        deliverer = running(pagerduty(fake))
        put(store, SystemClock().now(), make("first"))
        fake.wait_for(lambda fake: len(fake.events) == 1)  # it polls
        time.sleep(0.3)
        put(store, SystemClock().now(), make("woken"))
        deliverer.wake()
        fake.wait_for(lambda fake: len(fake.events) == 2, 0.8)


@sqlite_only
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
        put(store, SystemClock().now(), make(summary="x" * 20_000))
        with store.write() as conn:
            conn.execute(text("PRAGMA max_page_count = 1"))  # taken as what is used now: no page more
        running(pagerduty(fake))
        fake.wait_for(lambda fake: "no space left" in caplog.text)
        with store.write() as conn:
            conn.execute(text("PRAGMA max_page_count = 1000000"))
        deadline = time.monotonic() + 10
        while waiting(store) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert waiting(store) == 0
        assert len(fake.events) == 1  # sent once, although it could not be noted at first


def test_stopping_waits_for_the_send_under_way_and_no_longer(store: Store, make: Make) -> None:
    with FakePagerDuty() as fake:
        fake.always("hang")
        put(store, SystemClock().now(), make("one"), make("two"))
        stop = threading.Event()
        deliverer = Deliverer(store, [pagerduty(fake, timeout=1.0)], SystemClock())
        thread = threading.Thread(target=deliverer.run, args=(stop,))
        thread.start()
        fake.wait_for(lambda fake: fake.requests == 1)
        stop.set()
        thread.join(4)
        assert not thread.is_alive()
        with store.read() as conn:
            assert outbox.owners(conn) == []  # the attempt was settled
