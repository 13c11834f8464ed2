"""Everything that the store knows of one life of an alert: itself, its timeline, who was told, what changed.

Always true: one snapshot of the store is read; a life that is over long since is told from the journal, and
what is not known any more is None, never guessed (tests/console/test_alert.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from watchkeeper.incidents import reading
from watchkeeper.launches import changes as launches
from watchkeeper.launches.changes import Recent
from watchkeeper.monitoring import alert_list
from watchkeeper.monitoring.alert_list import Listed
from watchkeeper.store import journal
from watchkeeper.store.models import outbox

ENTRIES = 200
DELIVERIES = 100
EPISODES = 20
BEFORE = timedelta(hours=24)
AFTER = timedelta(hours=1)
"""What receivers say of an alert that is over comes a little later."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notification to one receiver. ``state``: pending, retrying, delivered, dead or superseded."""

    receiver: str
    kind: str
    note: str
    queued_at: datetime
    settled_at: datetime | None
    due_at: datetime
    state: str
    attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class Story:
    """One life of an alert. ``lives``: the others that the journal has, as episode and end, newest first.

    ``incident``: the number of the one that the alert belongs to, or belonged to last.
    """

    alert: Listed
    timeline: tuple[journal.Entry, ...]
    told: tuple[Delivery, ...]
    changes: tuple[Recent, ...]
    changes_since: datetime
    lives: tuple[tuple[str, datetime], ...]
    incident: int | None = None


def read(conn: Connection, fingerprint: str, episode: str, now: datetime) -> Story | None:
    """The story of ``episode``, or of the newest life; None for an alert that nobody knows."""
    subject = f"alert:{fingerprint}"
    ends = journal.entries(conn, journal.Filter(subject=subject, kind="alert.resolved"), EPISODES)[::-1]
    alert = _alert(conn, fingerprint, episode, ends)
    if alert is None:
        return None
    begin = alert.active_at or alert.fired_at or alert.resolved_at or now
    end = alert.resolved_at
    wanted = journal.Filter(subject=subject, since=begin, until=end + AFTER if end else None)
    own = (None, alert.episode)
    timeline = tuple(
        entry for entry in journal.entries(conn, wanted, ENTRIES) if entry.facts.get("episode") in own
    )
    since = begin - BEFORE
    told = launches.recent(conn, begin, BEFORE / timedelta(hours=1))
    changes = tuple(one for one in told if end is None or one.at <= end)
    lives = [(str(entry.facts.get("episode", "")), entry.at) for entry in ends]
    return Story(
        alert=_with_acknowledgement(alert, timeline),
        timeline=timeline,
        told=_told(conn, _keys(conn, alert, begin, timeline)),
        changes=changes,
        changes_since=since,
        lives=tuple(life for life in lives if life[0] != alert.episode),
        incident=reading.of_alert(conn, fingerprint),
    )


def _alert(conn: Connection, fingerprint: str, episode: str, ends: Sequence[journal.Entry]) -> Listed | None:
    now_there = alert_list.one(conn, fingerprint)
    if now_there is not None and episode in ("", now_there.episode):
        return now_there
    for entry in ends:
        if episode in ("", entry.facts.get("episode")):
            return alert_list.ended(entry)
    return now_there if episode == "" else None


def _with_acknowledgement(alert: Listed, timeline: Sequence[journal.Entry]) -> Listed:
    """``alert`` with who took it, where only the journal knows that."""
    if alert.acknowledged_by:
        return alert
    for entry in reversed(timeline):
        if entry.kind == "alert.unacknowledged":
            return alert
        if entry.kind == "alert.acknowledged":
            person = entry.actor.partition(":")[2]
            return replace(alert, acknowledged_at=entry.at, acknowledged_by=person)
    return alert


def _keys(conn: Connection, alert: Listed, begin: datetime, timeline: Sequence[journal.Entry]) -> list[str]:
    """Under which keys receivers know it: of its group, which may bear another alert's name."""
    keys = {str(entry.facts["dedup_key"]) for entry in timeline if "dedup_key" in entry.facts}
    if alert.dedup_key:
        keys.add(alert.dedup_key)
    if not keys:
        wanted = journal.Filter(kind="notification.queued", since=begin, until=alert.resolved_at)
        for entry in journal.entries(conn, wanted, 1000):
            if alert.fingerprint in entry.facts.get("alerts", ()):
                keys.add(str(entry.facts.get("dedup_key", "")))
    return sorted(keys)


def _told(conn: Connection, keys: Sequence[str]) -> tuple[Delivery, ...]:
    query = select(outbox).where(outbox.c.dedup_key.in_(keys)).order_by(outbox.c.id.desc()).limit(DELIVERIES)
    return tuple(_delivery(row) for row in conn.execute(query))[::-1]


def _delivery(row: Any) -> Delivery:
    payload = row.payload if isinstance(row.payload, dict) else {}
    return Delivery(
        receiver=row.receiver,
        kind=str(payload.get("kind", "")),
        note=str(payload.get("note", "")),
        queued_at=row.enqueued_at,
        settled_at=row.settled_at,
        due_at=row.due_at,
        state="retrying" if row.state == "pending" and row.attempts else row.state,
        attempts=row.attempts,
        error=row.last_error or "",
    )
