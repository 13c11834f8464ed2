"""A receiver's budget and health, kept in the store, so that a restart neither floods nor forgets."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from watchkeeper.notify.budget import Budget
from watchkeeper.notify.health import Health
from watchkeeper.store.models import receiver_state


def load(conn: Connection, receiver: str) -> tuple[Budget, Health]:
    """What is known of ``receiver``; of a new one, nothing."""
    row = conn.execute(select(receiver_state).where(receiver_state.c.receiver == receiver)).first()
    if row is None:
        return Budget(), Health()
    budget = Budget(tuple((int(second), int(count)) for second, count in row.sent))
    return budget, Health(
        row.consecutive_failures,
        row.blocked_until,
        row.blocked_at,
        row.failing_since,
        bool(row.failing_journaled),
        row.recovered_at,
        row.last_success_at,
        row.last_error,
    )


def save(conn: Connection, receiver: str, budget: Budget, health: Health) -> None:
    """Keep what is known of ``receiver``, in the caller's transaction."""
    conn.execute(delete(receiver_state).where(receiver_state.c.receiver == receiver))
    conn.execute(
        insert(receiver_state).values(
            receiver=receiver,
            sent=[list(pair) for pair in budget.sent],
            consecutive_failures=health.failures,
            blocked_until=health.blocked_until,
            blocked_at=health.blocked_at,
            failing_since=health.failing_since,
            failing_journaled=int(health.announced),
            recovered_at=health.recovered_at,
            last_success_at=health.last_success_at,
            last_error=health.last_error,
        )
    )
