"""The timeline of an incident: the journal's entries about it, its alerts, its runs and its follow-ups.

Always true here: people and machines are told apart by the entry's actor alone; entries come in the order in
which they happened, each once (tests/incidents/test_timeline.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, select

from watchkeeper.incidents import records
from watchkeeper.incidents.clocks import follow_up_subject
from watchkeeper.incidents.models import Incident, JoinedAlert, TimelineEntry
from watchkeeper.store import journal
from watchkeeper.store.journal import Entry, Filter
from watchkeeper.store.models import runs

KEY_KINDS = frozenset(
    (
        "alert.firing",
        "incident.opened",
        "incident.acknowledged",
        "incident.severity",
        "incident.updated",
        "incident.mitigated",
        "incident.resolved",
        "incident.reopened",
        "incident.merged",
        "incident.split",
        "deadline.missed",
        "deadline.waived",
    )
)
"""What stands in the document unless somebody takes it out."""
_QUIET = ("incident.key_event", "notification.queued", "notification.delivered")
MOST = 2000


def timeline(conn: Connection, incident: Incident) -> tuple[TimelineEntry, ...]:
    """Everything that happened, oldest first."""
    alerts = records.joined(conn, incident.id)
    found: dict[int, Entry] = {}
    for subject in (incident.subject, *_others(conn, incident)):
        found |= {one.seq: one for one in journal.entries(conn, Filter(subject=subject), MOST)}
    for fingerprint in sorted({one.fingerprint for one in alerts}):
        episodes = [one for one in alerts if one.fingerprint == fingerprint]
        since = min(one.active_at or one.fired_at or one.joined_at for one in episodes)
        wanted = Filter(subject=f"alert:{fingerprint}", since=since)
        found |= {one.seq: one for one in journal.entries(conn, wanted, MOST) if _is_of(one, episodes)}
    return tuple(entry(one, incident) for _, one in sorted(found.items()) if one.kind not in _QUIET)


def entry(one: Entry, incident: Incident) -> TimelineEntry:
    """One entry as a line of the timeline."""
    kind, _, name = one.actor.partition(":")
    key = one.seq not in incident.left_out and (one.kind in KEY_KINDS or one.seq in incident.key_events)
    return TimelineEntry(
        one.seq,
        one.at,
        one.kind,
        one.actor,
        name or kind,
        kind == "person",
        one.subject,
        str(one.facts.get("summary") or one.kind),
        key,
        str(one.facts.get("note") or ""),
    )


def _is_of(one: Entry, episodes: Iterable[JoinedAlert]) -> bool:
    """Whether an alert's entry is of one of its episodes in the incident."""
    named = one.facts.get("episode")
    if named is not None:
        return any(str(named) == known.episode for known in episodes)
    return any(_within(one.at, known) for known in episodes)


def _within(at: datetime, known: JoinedAlert) -> bool:
    return known.resolved_at is None or at <= known.resolved_at


def _others(conn: Connection, incident: Incident) -> list[str]:
    """Its follow-ups and runs, as the journal names them."""
    mine = select(runs.c.id).where(runs.c.subject == incident.subject).order_by(runs.c.started_at)
    return [
        *(follow_up_subject(one.id) for one in records.follow_ups_of(conn, incident.id)),
        *(f"run:{name}" for name in conn.execute(mine).scalars()),
    ]
