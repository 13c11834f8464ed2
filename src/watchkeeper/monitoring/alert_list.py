"""The alerts as the store has them, with every time that matters: for the command line and other readers.

Always true: nothing but the store is read, so the list is there when no process runs; a time that has not
come is None (tests/monitoring/test_alert_list.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from watchkeeper.store import journal
from watchkeeper.store.canonical import rfc3339
from watchkeeper.store.models import alerts, outbox

_ORDER = {"firing": 0, "pending": 1, "resolved": 2}


@dataclass(frozen=True, slots=True)
class Listed:
    """One alert, or one that was. ``paged_at`` is when a receiver had the first notification of it."""

    alertname: str
    state: str
    severity: str
    labels: Mapping[str, str]
    summary: str
    clause: str | None
    value: float | str | None
    fingerprint: str
    episode: str
    active_at: datetime | None
    fired_at: datetime | None
    resolved_at: datetime | None
    queued_at: datetime | None = None
    paged_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    inhibited_by: str | None = None
    annotations: Mapping[str, str] | None = None
    dedup_key: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, times in RFC 3339."""
        document: dict[str, Any] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            document[name] = rfc3339(value) if isinstance(value, datetime) else value
        document["labels"] = dict(self.labels)
        document["annotations"] = dict(self.annotations or {})
        return document


def from_json(document: Mapping[str, Any]) -> Listed:
    """What :meth:`Listed.to_json` wrote."""
    values: dict[str, Any] = {
        name: _moment(document.get(name)) if name.endswith("_at") else document.get(name)
        for name in Listed.__slots__
    }
    return Listed(**values)


def current(conn: Connection) -> list[Listed]:
    """What fires, what is pending, and what resolved in the last 15 minutes; pages first, oldest first."""
    rows = conn.execute(select(alerts)).all()
    times = _delivered(conn, [row.group_key for row in rows if row.group_key])
    names = {row.fingerprint: row.alertname for row in rows}
    listed = [_listed(row, times, names) for row in rows]
    return sorted(
        listed,
        key=lambda one: (
            _ORDER[one.state],
            one.severity != "page",
            one.active_at.timestamp() if one.active_at else 0.0,
        ),
    )


def earlier(conn: Connection, known: Iterable[Listed], limit: int = 200) -> list[Listed]:
    """Alerts that resolved longer ago, from the journal; the newest ``limit``, newest first."""
    episodes = {one.episode for one in known}
    newest = reversed(journal.entries(conn, journal.Filter(kind="alert.resolved"), limit))
    return [ended(entry) for entry in newest if entry.facts.get("episode") not in episodes]


def ended(entry: journal.Entry) -> Listed:
    """An alert that is over, as the journal's entry about it has it."""
    facts = entry.facts
    return Listed(
        alertname=str(facts.get("alertname", "")),
        state="resolved",
        severity=str(facts.get("severity", "")),
        labels=facts.get("labels", {}),
        summary=str(facts.get("summary", "")),
        clause=next((clause for clause, _ in entry.evidence), None),
        value=facts.get("value"),
        fingerprint=entry.subject.removeprefix("alert:"),
        episode=str(facts.get("episode", "")),
        active_at=_moment(facts.get("active_at")),
        fired_at=_moment(facts.get("fired_at")),
        resolved_at=entry.at,
    )


def one(conn: Connection, fingerprint: str) -> Listed | None:
    """The alert of that fingerprint, where :func:`current` has it."""
    row = conn.execute(select(alerts).where(alerts.c.fingerprint == fingerprint)).first()
    if row is None:
        return None
    speaks = select(alerts.c.alertname).where(alerts.c.fingerprint == row.inhibited_by)
    name = conn.execute(speaks).scalar() if row.inhibited_by else None
    times = _delivered(conn, [row.group_key] if row.group_key else [])
    return _listed(row, times, {row.inhibited_by: name} if name else {})


def _delivered(conn: Connection, keys: list[str]) -> dict[str, tuple[datetime, datetime | None]]:
    """Per dedup key: when its first trigger was queued, and when a receiver had it."""
    found: dict[str, tuple[datetime, datetime | None]] = {}
    columns = (outbox.c.dedup_key, outbox.c.enqueued_at, outbox.c.settled_at, outbox.c.state)
    for start in range(0, len(keys), 500):
        part = keys[start : start + 500]
        query = select(*columns).where(outbox.c.dedup_key.in_(part)).order_by(outbox.c.id)
        for row in conn.execute(query):
            queued, arrived = found.get(row.dedup_key, (row.enqueued_at, None))
            if row.state == "delivered" and (arrived is None or row.settled_at < arrived):
                arrived = row.settled_at
            found[row.dedup_key] = (queued, arrived)
    return found


def _listed(
    row: Any, times: Mapping[str, tuple[datetime, datetime | None]], names: Mapping[str, str]
) -> Listed:
    queued, arrived = times.get(row.group_key or "", (row.last_sent_at, None))
    return Listed(
        alertname=row.alertname,
        state=row.state,
        severity=row.severity,
        labels=row.labels,
        summary=row.annotations.get("summary", ""),
        clause=row.clause,
        value=_number(row.last_value),
        fingerprint=row.fingerprint,
        episode=row.episode,
        active_at=row.active_at,
        fired_at=row.fired_at,
        resolved_at=row.resolved_at,
        queued_at=queued,
        paged_at=arrived,
        acknowledged_at=row.acked_at,
        acknowledged_by=row.acked_by,
        inhibited_by=names.get(row.inhibited_by, row.inhibited_by),
        annotations=row.annotations,
        dedup_key=row.group_key,
    )


def _number(value: float | None) -> float | str | None:
    if value is None or value != value:
        return None if value is None else "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return value


def _moment(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None
