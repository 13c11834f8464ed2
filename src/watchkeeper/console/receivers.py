"""The receivers as pages and the API read them: how each fares, and what waits for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from watchkeeper.notify import state
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import outbox


@dataclass(frozen=True, slots=True)
class Fares:
    """One receiver of the runbook."""

    id: str
    title: str
    kind: str
    state: str
    failing_since: datetime | None
    last_error: str | None
    last_success_at: datetime | None
    waiting: int
    waiting_since: datetime | None


def fares(conn: Connection, runbook: Runbook, now: datetime) -> list[Fares]:
    """Every receiver, in the runbook's order."""
    backlog = outbox.backlog(conn)
    found = []
    for line in runbook.notifications.receivers:
        _, health = state.load(conn, line.id)
        waiting, since = backlog.get(line.id, (0, None))
        if health.down:
            how = "down"
        elif health.failures:
            how = "retrying"
        else:
            how = "ok" if health.last_success_at is not None else "unknown"
        found.append(
            Fares(
                line.id,
                line.title or line.id,
                line.kind,
                how,
                health.failing_since,
                health.last_error,
                health.last_success_at,
                waiting,
                since,
            )
        )
    return found
