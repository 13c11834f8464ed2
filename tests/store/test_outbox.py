"""The outbox: what is in it goes out, in order, and is not lost."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from watchkeeper.store import outbox
from watchkeeper.store.database import Store, open_store
from watchkeeper.store.models import outbox as table

LEASE = timedelta(seconds=30)
SECOND = timedelta(seconds=1)


def _put(conn: Connection, now: datetime, key: str = "alert-1", **given: Any) -> int:
    return outbox.enqueue(conn, now, "pagerduty", key, f"dedup-{key}", {"n": 1}, **given)


def _claim(store: Store, now: datetime, owner: str = "me", limit: int = 10) -> list[outbox.Claimed]:
    with store.write() as conn:
        return outbox.claim(conn, now, "pagerduty", owner, LEASE, limit)


def _settle(store: Store, now: datetime, row: outbox.Claimed, how: outbox.Settlement) -> bool:
    with store.write() as conn:
        return outbox.settle(conn, now, row, how)


def _states(store: Store) -> list[str]:
    with store.read() as conn:
        return list(conn.execute(select(table.c.state).order_by(table.c.id)).scalars())


def test_a_row_exists_exactly_if_its_transaction_does(store: Store, now: datetime) -> None:
    def change_of_mind() -> None:
        with store.write() as conn:
            _put(conn, now)
            raise RuntimeError("not, after all")

    with pytest.raises(RuntimeError):
        change_of_mind()
    assert _claim(store, now) == []


def test_a_claimed_row_is_nobody_elses_until_the_claim_ends(store: Store, now: datetime) -> None:
    with store.write() as conn:
        _put(conn, now)
    (row,) = _claim(store, now, "first")
    assert _claim(store, now + LEASE - SECOND, "second") == []
    (again,) = _claim(store, now + LEASE, "second")
    assert (again.id, again.epoch) == (row.id, row.epoch + 1)


def test_a_settlement_by_a_claim_that_was_lost_changes_nothing(store: Store, now: datetime) -> None:
    with store.write() as conn:
        _put(conn, now)
    (lost,) = _claim(store, now, "first")
    (held,) = _claim(store, now + LEASE, "second")
    for how in (outbox.Delivered(), outbox.Dead("x"), outbox.Retry(now, "x"), outbox.Released()):
        assert not _settle(store, now + LEASE, lost, how)
    assert _claim(store, now + LEASE, "third") == []  # still the second's
    assert _settle(store, now + LEASE, held, outbox.Delivered())
    assert not _settle(store, now + LEASE, held, outbox.Dead("twice"))
    assert _states(store) == ["delivered"]


def test_of_one_alert_only_the_oldest_pending_row_can_be_claimed(store: Store, now: datetime) -> None:
    with store.write() as conn:
        trigger, resolve, other = _put(conn, now), _put(conn, now), _put(conn, now, "alert-2")
    first = _claim(store, now)
    assert [row.id for row in first] == [trigger, other]
    _settle(store, now, first[1], outbox.Delivered())
    _settle(store, now, first[0], outbox.Retry(now + 60 * SECOND, "503"))
    assert _claim(store, now + 59 * SECOND) == []  # the resolve waits for its trigger
    (retried,) = _claim(store, now + 60 * SECOND)
    assert (retried.id, retried.attempts) == (trigger, 1)
    _settle(store, now + 60 * SECOND, retried, outbox.Dead("400"))
    assert resolve in [row.id for row in _claim(store, now + 61 * SECOND)]


def test_receivers_do_not_wait_for_each_other(store: Store, now: datetime) -> None:
    with store.write() as conn:
        outbox.enqueue(conn, now, "pagerduty", "alert-1", "d", {})
        webhook = outbox.enqueue(conn, now, "webhook", "alert-1", "d", {})
        assert [row.id for row in outbox.claim(conn, now, "webhook", "me", LEASE)] == [webhook]


def test_the_most_urgent_goes_first_and_then_the_oldest(store: Store, now: datetime) -> None:
    with store.write() as conn:
        warn = _put(conn, now - 2 * SECOND, "w", priority=100)
        page = _put(conn, now, "p", priority=0)
        older_page = _put(conn, now - SECOND, "q", priority=0)
    assert [row.id for row in _claim(store, now)] == [older_page, page, warn]


def test_in_turn_urgency_does_not_count(store: Store, now: datetime) -> None:
    with store.write() as conn:
        warn = _put(conn, now - 2 * SECOND, "w", priority=100)
        page = _put(conn, now, "p", priority=0)
        rows = outbox.claim(conn, now, "pagerduty", "me", LEASE, 2, in_turn=True)
    assert [row.id for row in rows] == [warn, page]


def test_nothing_goes_out_before_it_is_due(store: Store, now: datetime) -> None:
    with store.write() as conn:
        _put(conn, now, due_at=now + 10 * SECOND)
    assert _claim(store, now + 9 * SECOND) == []
    assert len(_claim(store, now + 10 * SECOND)) == 1


def test_a_released_row_is_due_as_it_was(store: Store, now: datetime) -> None:
    with store.write() as conn:
        _put(conn, now)
    (row,) = _claim(store, now)
    assert _settle(store, now, row, outbox.Released())
    (again,) = _claim(store, now)
    assert again.attempts == 0


def test_a_clock_set_back_an_hour_delays_neither_retries_nor_the_claims_of_the_dead(
    store: Store, now: datetime
) -> None:
    with store.write() as conn:
        _put(conn, now)
    (row,) = _claim(store, now)
    _settle(store, now, row, outbox.Retry(now + 300 * SECOND, "503"))
    earlier = now - timedelta(hours=1)
    (again,) = _claim(store, earlier, "one that dies")
    assert again.id == row.id
    assert _claim(store, earlier, "another") == []
    much_earlier = earlier - timedelta(hours=1)
    assert [r.id for r in _claim(store, much_earlier, "another")] == [row.id]


def test_repeats_that_still_wait_are_replaced_and_only_those(store: Store, now: datetime) -> None:
    with store.write() as conn:
        _put(conn, now)  # the page itself
        _put(conn, now, coalesce_key="repeat")
        _put(conn, now, coalesce_key="repeat")
        _put(conn, now)  # the resolve
        _put(conn, now, coalesce_key="repeat")
        _put(conn, now, "alert-2", coalesce_key="repeat")
        outbox.enqueue(conn, now, "webhook", "alert-1", "dedup-alert-1", {}, coalesce_key="repeat")
    assert _states(store) == ["pending", "superseded"] + ["pending"] * 5


def test_a_row_that_is_being_delivered_is_not_replaced(store: Store, now: datetime) -> None:
    with store.write() as conn:
        _put(conn, now, coalesce_key="repeat")
    (row,) = _claim(store, now)
    with store.write() as conn:
        _put(conn, now, coalesce_key="repeat")
    assert _settle(store, now, row, outbox.Delivered())
    assert _states(store) == ["delivered", "pending"]


def test_when_a_receiver_answers_again_its_waiting_rows_are_due(store: Store, now: datetime) -> None:
    with store.write() as conn:
        _put(conn, now)
        _put(conn, now, "later", due_at=now + 100 * SECOND)
    (row,) = _claim(store, now)
    _settle(store, now, row, outbox.Retry(now + 300 * SECOND, "503"))
    with store.write() as conn:
        outbox.hasten(conn, now, "pagerduty")
    assert [r.id for r in _claim(store, now)] == [row.id]  # and not what was never due


def test_claims_of_processes_known_to_be_gone_are_freed_at_once(store: Store, now: datetime) -> None:
    with store.write() as conn:
        _put(conn, now)
        _put(conn, now, "alert-2")
    _claim(store, now, "gone", 1)
    (kept,) = _claim(store, now, "alive", 1)
    with store.write() as conn:
        assert sorted(outbox.owners(conn)) == ["alive", "gone"]
        assert outbox.release_owners(conn, ["gone"]) == 1
    assert _settle(store, now, kept, outbox.Delivered())
    assert len(_claim(store, now, "next")) == 1


def test_idempotency_keys_stay_the_same_for_a_row_and_differ_between_rows(
    store: Store, now: datetime
) -> None:
    with store.write() as conn:
        _put(conn, now)
        _put(conn, now, "alert-2")
    first, other = _claim(store, now)
    again, _ = _claim(store, now + LEASE)
    assert first.idempotency_key == again.idempotency_key != other.idempotency_key


def test_backlog_counts_what_waits_and_since_when(store: Store, now: datetime) -> None:
    with store.write() as conn:
        _put(conn, now)
        _put(conn, now + SECOND, "alert-2")
        outbox.enqueue(conn, now, "webhook", "k", "d", {})
    for row in _claim(store, now, limit=1):
        _settle(store, now, row, outbox.Delivered())
    with store.read() as conn:
        assert outbox.backlog(conn) == {"pagerduty": (1, now + SECOND), "webhook": (1, now)}


def test_settled_rows_are_forgotten_after_their_time_and_pending_ones_never(
    store: Store, now: datetime
) -> None:
    with store.write() as conn:
        _put(conn, now)
        _put(conn, now, "alert-2")
        _put(conn, now, "alert-3")
    delivered, dead = _claim(store, now, limit=2)
    _settle(store, now, delivered, outbox.Delivered())
    _settle(store, now + 10 * SECOND, dead, outbox.Dead("400"))
    with store.write() as conn:
        assert outbox.settled_before(conn, now + SECOND)
        assert outbox.prune(conn, now + SECOND) == 1
        assert not outbox.settled_before(conn, now + SECOND)
        assert outbox.prune(conn, now + timedelta(days=999)) == 1
        assert outbox.prune(conn, now + timedelta(days=999)) == 0
    assert _states(store) == ["pending"]
    with store.write() as conn:
        assert _put(conn, now) > dead.id + 1  # an id is never used again


CLAIMER = textwrap.dedent("""
    import sys
    from datetime import UTC, datetime, timedelta
    from watchkeeper.store import outbox
    from watchkeeper.store.database import open_store
    now = datetime(2026, 1, 5, 3, tzinfo=UTC)
    with open_store(sys.argv[1]) as store:
        while True:
            with store.write() as conn:
                rows = outbox.claim(conn, now, "pagerduty", sys.argv[2], timedelta(seconds=30), 1)
            for row in rows:
                print(row.order_key, row.id, flush=True)
                with store.write() as conn:
                    assert outbox.settle(conn, now, row, outbox.Delivered())
            if not rows:
                break
""")


def test_processes_that_claim_at_the_same_time_share_the_work_without_overlap(
    place: Path | str, now: datetime
) -> None:
    with open_store(place) as store:
        with store.write() as conn:
            for number in range(60):
                _put(conn, now, f"alert-{number % 20}")
        children = [
            subprocess.Popen(
                [sys.executable, "-c", CLAIMER, str(place), str(number)], stdout=subprocess.PIPE, text=True
            )
            for number in range(3)
        ]
        lines = [line for child in children for line in child.communicate(timeout=60)[0].splitlines()]
        assert [child.returncode for child in children] == [0, 0, 0]
        delivered = [int(line.split()[1]) for line in lines]
        assert len(delivered) == len(set(delivered))
        while rows := _claim(store, now + LEASE):  # whatever a process left because all heads were taken
            for row in rows:
                _settle(store, now, row, outbox.Delivered())
        assert _states(store) == ["delivered"] * 60
