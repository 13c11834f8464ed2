"""Laws of the outbox, whatever happens in whatever order: crashes, retries, lost claims, clocks that jump."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import select

from watchkeeper.store import outbox
from watchkeeper.store.database import open_store
from watchkeeper.store.models import outbox as table

LEASE = timedelta(seconds=30)
KEYS = st.sampled_from(["a", "b", "c"])


class OutboxMachine(RuleBasedStateMachine):
    """A receiver that takes what is sent, workers that may die holding claims, and a clock that may jump."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.store = open_store(Path(self.directory.name))
        self.now = datetime(2026, 1, 5, tzinfo=UTC)
        self.enqueued: dict[str, list[int]] = {}
        self.sent: dict[str, list[int]] = {}
        self.settled: list[int] = []
        self.held: list[outbox.Claimed] = []

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()

    @rule(key=KEYS, delay=st.integers(0, 90), priority=st.sampled_from([0, 100]))
    def enqueue(self, key: str, delay: int, priority: int) -> None:
        with self.store.write() as conn:
            due = self.now + timedelta(seconds=delay)
            row = outbox.enqueue(conn, self.now, "r", key, key, {}, due_at=due, priority=priority)
        self.enqueued.setdefault(key, []).append(row)

    @rule(limit=st.integers(1, 3))
    def claim_and_send(self, limit: int) -> None:
        """Each claimed row reaches the receiver; what becomes of the claim is decided later."""
        with self.store.write() as conn:
            rows = outbox.claim(conn, self.now, "r", "worker", LEASE, limit)
        assert len({row.order_key for row in rows}) == len(rows)
        for row in rows:
            assert row.id not in self.settled
            self.sent.setdefault(row.order_key, []).append(row.id)
        self.held += rows

    @precondition(lambda self: self.held)
    @rule(
        data=st.data(),
        how=st.sampled_from(["delivered", "dead", "retry", "released", "the worker dies"]),
        wait=st.integers(1, 300),
    )
    def settle(self, data: st.DataObject, how: str, wait: int) -> None:
        row = data.draw(st.sampled_from(self.held))
        self.held.remove(row)
        if how == "the worker dies":
            return
        settlements: dict[str, outbox.Settlement] = {
            "delivered": outbox.Delivered(),
            "dead": outbox.Dead("no"),
            "retry": outbox.Retry(self.now + timedelta(seconds=wait), "busy"),
            "released": outbox.Released(),
        }
        with self.store.write() as conn:
            changed = outbox.settle(conn, self.now, row, settlements[how])
        if changed and how in ("delivered", "dead"):
            assert row.id not in self.settled
            self.settled.append(row.id)

    @rule(seconds=st.one_of(st.integers(1, 60), st.sampled_from([3600, -3600])))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def of_one_key_no_row_is_sent_before_an_earlier_one_is_settled(self) -> None:
        for key, sent in self.sent.items():
            assert sent == sorted(sent), key

    @invariant()
    def nothing_is_lost(self) -> None:
        with self.store.read() as conn:
            states = {row.id: row.state for row in conn.execute(select(table.c.id, table.c.state))}
        for rows in self.enqueued.values():
            for row in rows:
                assert states[row] == "pending" or row in self.settled

    @rule()
    def a_good_worker_empties_it_within_a_bounded_time(self) -> None:
        self.held.clear()  # everybody else died
        for _ in range(100):
            self.now += timedelta(seconds=301)
            self.claim_and_send(3)
            for row in self.held:
                with self.store.write() as conn:
                    assert outbox.settle(conn, self.now, row, outbox.Delivered())
                self.settled.append(row.id)
            if not self.held:
                break
            self.held.clear()
        assert sorted(self.settled) == sorted(row for rows in self.enqueued.values() for row in rows)


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
