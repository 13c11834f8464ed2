"""A real process delivers and is killed, at every point and any moment: nothing is lost, nothing doubled."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.fakes.pagerduty import ROUTING_KEY, FakePagerDuty
from tests.notify.conftest import Make
from tests.postgresql import long_on_postgresql
from watchkeeper.notify.enqueue import enqueue_notification
from watchkeeper.notify.lane import MOST_UNDER_WAY
from watchkeeper.notify.models import Kind
from watchkeeper.store import journal, outbox
from watchkeeper.store.database import Store, open_store
from watchkeeper.store.journal import Filter
from watchkeeper.store.models import outbox as table

WORKER = textwrap.dedent("""
    import os, signal, sys
    from watchkeeper.notify.delivery import Deliverer
    from watchkeeper.notify.pagerduty import PagerDutyReceiver
    from watchkeeper.notify.transport import HttpTransport
    from watchkeeper.runbook.models.secrets import Secret
    from watchkeeper.store import outbox
    from watchkeeper.store.clock import SystemClock
    from watchkeeper.store.database import open_store

    where, url, point, number, key = sys.argv[1:]
    sends = 0

    def die_at(here):
        if here == point and sends == int(number):
            os.kill(os.getpid(), signal.SIGKILL)

    class Fragile:
        real = HttpTransport()
        def post(self, *given):
            global sends
            sends += 1
            die_at("before the send")
            answer = self.real.post(*given)
            die_at("after the send")
            return answer

    settle = outbox.settle
    def fragile_settle(*given):
        done = settle(*given)
        die_at("in the settling transaction")
        return done
    outbox.settle = fragile_settle

    with open_store(where) as store:
        receiver = PagerDutyReceiver("pagerduty", Secret(env="KEY"), Fragile(), {"KEY": key}, url,
                                     rate_per_minute=100_000)
        deliverer = Deliverer(store, [receiver], SystemClock())
        while True:
            deliverer.run_once()
            with store.read() as conn:
                if not outbox.backlog(conn):
                    break
            SystemClock().sleep(0.05)
""")


def _start(where: Path | str, url: str, point: str = "never", number: int = 0) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WORKER, str(where), url, point, str(number), ROUTING_KEY])


def _fill(store: Store, make: Make, alerts: int) -> None:
    now = datetime.now(UTC)
    with store.write() as conn:
        for n in range(alerts):
            enqueue_notification(conn, now, ["pagerduty"], make(f"alert-{n}"))
        for n in range(0, alerts, 2):
            enqueue_notification(conn, now, ["pagerduty"], make(f"alert-{n}", Kind.RESOLVE))


def _all_is_well(fake: FakePagerDuty, store: Store, alerts: int) -> None:
    with store.read() as conn:
        assert outbox.backlog(conn) == {}
        assert journal.verify(conn).intact
        delivered = journal.entries(conn, Filter(kind="notification.delivered"), limit=10_000)
    assert len(delivered) == alerts + (alerts + 1) // 2  # each journaled exactly once
    assert len(fake.incidents) == alerts
    for n in range(alerts):
        (incident,) = fake.incidents[f"watchkeeper/alert-{n}/e1"]
        assert incident.status == ("triggered" if n % 2 else "resolved")
    assert fake.refused == []


@pytest.mark.parametrize("point", ["before the send", "after the send", "in the settling transaction"])
def test_killed_at_any_point_it_delivers_after_a_restart_without_waiting_for_the_lease(
    place: Path | str, make: Make, point: str
) -> None:
    with FakePagerDuty() as fake, open_store(place) as store:
        _fill(store, make, 6)
        assert _start(place, fake.url, point, 4).wait(30) == -signal.SIGKILL
        with store.read() as conn:
            assert len(outbox.owners(conn)) == 1
            query = select(func.count()).select_from(table).where(table.c.claimed_by.is_not(None))
            under_way = conn.execute(query).scalar_one()
        assert 1 <= under_way <= MOST_UNDER_WAY
        began = time.monotonic()
        assert _start(place, fake.url).wait(30) == 0
        assert time.monotonic() - began < 15  # the lease would have been 40 s
        assert 9 <= len(fake.events) <= 9 + under_way  # only what was under way is sent once more
        assert len(fake.events) > 9 or point == "before the send"
        _all_is_well(fake, store, 6)


@long_on_postgresql
def test_killed_at_random_moments_again_and_again_it_loses_and_doubles_nothing(
    place: Path | str, make: Make
) -> None:
    generator = random.Random(5)
    with FakePagerDuty() as fake, open_store(place) as store:
        _fill(store, make, 120)
        for _ in range(5):
            seen = len(fake.events)
            child = _start(place, fake.url)
            fake.wait_for(lambda fake, seen=seen: len(fake.events) > seen, 30)  # type: ignore[misc]
            time.sleep(generator.uniform(0, 0.12))
            child.kill()
            child.wait(10)
        assert _start(place, fake.url).wait(60) == 0
        _all_is_well(fake, store, 120)


def test_two_processes_at_the_same_time_share_the_work(place: Path | str, make: Make) -> None:
    with FakePagerDuty() as fake, open_store(place) as store:
        _fill(store, make, 60)
        children = [_start(place, fake.url) for _ in range(2)]
        assert [child.wait(60) for child in children] == [0, 0]
        assert len(fake.events) == 90
        _all_is_well(fake, store, 60)
