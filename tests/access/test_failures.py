"""Failures in the store: counted, told a few times, and never more rows than fit."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from tests.access.people import kinds
from tests.postgresql import long_on_postgresql
from watchkeeper.access import failures, throttle
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store
from watchkeeper.store.models import sign_in_failures as table


def test_a_full_table_drops_the_shortest_streaks(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "MOST_STREAKS", 40)
    with store.write() as conn:
        for _ in range(10):
            failures.record(conn, clock.now(), "ada", True, "192.0.2.1")
        for number in range(200):
            clock.advance(0.001)
            failures.record(conn, clock.now(), f"name-{number}", False, f"10.0.{number}.1")
            assert conn.execute(select(func.count()).select_from(table)).scalar_one() <= 40
        kept = {row.key: row.failures for row in conn.execute(select(table))}
    assert (kept["user:ada"], kept["from:192.0.2.1"]) == (10, 10)


@long_on_postgresql
def test_in_a_flood_only_blocks_of_real_names_are_told(store: Store, clock: ManualClock) -> None:
    with store.write() as conn:
        for number in range(60):
            for turn in range(25):
                failures.record(conn, clock.now(), f"name-{number}", False, f"10.{turn}.{number}.1")
        for _ in range(5):
            failures.record(conn, clock.now(), "ada", True, "192.0.2.1")
        found = journal.entries(conn, journal.Filter(kind="access.*"), 10_000)
    assert len(found) < 60
    assert (found[-1].kind, found[-1].subject) == ("access.sign_in_blocked", "user:ada")
    assert kinds(store).count("access.sign_in_flood") == 1


def test_after_a_flood_failures_are_told_again(store: Store, clock: ManualClock) -> None:
    with store.write() as conn:
        for number in range(100):
            failures.record(conn, clock.now(), f"name-{number}", False, f"10.0.{number}.1")
        clock.advance(throttle.WINDOW.total_seconds())
        failures.record(conn, clock.now(), "ada", True, "192.0.2.1")
        assert journal.entries(conn)[-1].kind == "access.sign_in_failed"
