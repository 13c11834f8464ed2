"""A lease has one holder at a time, and a new one once the old one is gone."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from tests.store.conftest import NOW
from watchkeeper.store import owners
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store
from watchkeeper.store.leases import Lease, described

LASTS = timedelta(seconds=30)


def take(store: Store, lease: Lease) -> bool:
    with store.write() as conn:
        return lease.take(conn, LASTS)


def test_it_has_one_holder_until_that_one_renews_it_no_more(store: Store) -> None:
    here, there = ManualClock(NOW), ManualClock(NOW)
    first, second = Lease("rules", "a", here), Lease("rules", "b", there)
    assert take(store, first)
    for _ in range(10):
        for clock in (here, there):
            clock.advance(10)
        assert take(store, first)
        assert not take(store, second)
        assert second.holder == "a"
    there.advance(29)
    assert not take(store, second)
    there.advance(1)
    assert take(store, second)
    assert not take(store, first)
    assert (first.held, first.holder, second.held) == (False, "b", True)


def test_clocks_that_differ_by_hours_change_nothing(store: Store) -> None:
    for hours in (-5, 5):
        here, there = ManualClock(NOW), ManualClock(NOW + timedelta(hours=hours))
        first, second = Lease(f"rules {hours}", "a", here), Lease(f"rules {hours}", "b", there)
        assert take(store, first)
        assert not take(store, second)
        there.jump(-100_000)
        assert not take(store, second)
        there.advance(30)
        assert take(store, second)


def test_a_process_of_this_machine_that_ended_is_followed_at_once(store: Store) -> None:
    clock, me = ManualClock(NOW), owners.this_process()
    host, boot, namespace, _, _ = me.rsplit("/", 4)
    ended = f"{host}/{boot}/{namespace}/{2**22 + 1}/1"
    assert not Path(f"/proc/{2**22 + 1}").exists()
    assert take(store, Lease("rules", ended, clock))
    assert take(store, Lease("rules", me, clock))
    assert described(ended) == f"process {2**22 + 1} on {host}"


def test_a_lease_that_was_taken_in_a_write_that_is_undone_was_not_taken(store: Store) -> None:
    clock = ManualClock(NOW)
    lease = Lease("rules", "a", clock)
    with suppress(ZeroDivisionError), store.write() as conn:
        assert lease.take(conn, LASTS)
        raise ZeroDivisionError
    assert take(store, Lease("rules", "b", clock))
    assert not take(store, lease)
