"""How the receivers of the runbook stand, and what became of what was for them: for people and programs.

Always true: only the store is read, so the answer is there when no process runs; nothing of a receiver's
settings but its kind is in it, so no secret is (tests/notify/test_report.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, select

from watchkeeper.notify import state
from watchkeeper.runbook.models.notifications import Receiver
from watchkeeper.store.canonical import rfc3339
from watchkeeper.store.models import outbox
from watchkeeper.store.outbox import backlog

State = Literal["ok", "failing", "unknown", "gone"]


@dataclass(frozen=True, slots=True)
class Standing:
    """One receiver. ``state``: ``ok`` (it took the last thing), ``failing``, ``unknown`` (nothing was ever
    sent to it), ``gone`` (something waits for it, and the runbook no longer has it)."""

    id: str
    title: str
    kind: str
    state: State
    last_success_at: datetime | None
    failing_since: datetime | None
    last_error: str | None
    waiting: int
    oldest: datetime | None

    def to_json(self) -> dict[str, object]:
        """For programs, under stable names."""
        document: dict[str, object] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            document[name] = rfc3339(value) if isinstance(value, datetime) else value
        return document


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one row of the outbox: ``delivered``, ``dead`` (never will be), ``superseded``,
    ``retrying`` or ``pending``."""

    id: int
    receiver: str
    kind: str
    severity: str
    summary: str
    subject: str
    state: str
    enqueued_at: datetime
    settled_at: datetime | None
    due_at: datetime
    attempts: int
    error: str | None


def standings(conn: Connection, lines: Sequence[Receiver]) -> list[Standing]:
    """The receivers in the runbook's order, then those that are gone while something waits for them."""
    waiting = backlog(conn)
    found = []
    named = {line.id: (line.title or "", line.kind) for line in lines}
    for name in [*named, *sorted(set(waiting) - set(named))]:
        title, kind = named.get(name, ("", ""))
        _, health = state.load(conn, name)
        count, oldest = waiting.get(name, (0, None))
        standing: State = "gone" if name not in named else "ok" if health.last_success_at else "unknown"
        if name in named and health.failures:
            standing = "failing"
        found.append(
            Standing(
                name, title, kind, standing, health.last_success_at, health.failing_since,
                health.last_error, count, oldest,
            )
        )  # fmt: skip
    return found


def receipts(conn: Connection, receiver: str | None = None, limit: int = 20) -> list[Receipt]:
    """The newest rows of the outbox, newest first. What was settled a week ago is in the journal alone."""
    query = select(outbox).order_by(outbox.c.id.desc()).limit(limit)
    if receiver is not None:
        query = query.where(outbox.c.receiver == receiver)
    return [_receipt(row) for row in conn.execute(query)]


def outcome(conn: Connection, ids: Sequence[int]) -> list[Receipt]:
    """What became of those rows, in the order of their ids."""
    query = select(outbox).where(outbox.c.id.in_(list(ids))).order_by(outbox.c.id)
    return [_receipt(row) for row in conn.execute(query)]


def _receipt(row: Any) -> Receipt:
    payload = row.payload if isinstance(row.payload, dict) else {}
    return Receipt(
        id=row.id,
        receiver=row.receiver,
        kind=str(payload.get("kind", "")),
        severity=str(payload.get("severity", "")),
        summary=str(payload.get("summary", "")),
        subject=str(payload.get("subject", "")),
        state="retrying" if row.state == "pending" and row.attempts else row.state,
        enqueued_at=row.enqueued_at,
        settled_at=row.settled_at,
        due_at=row.due_at,
        attempts=row.attempts,
        error=row.last_error,
    )
