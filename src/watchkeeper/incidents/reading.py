"""Incidents as they are shown: lists, and the whole story of one. Nothing here writes.

Always true here: what one call answers is one snapshot of the store, the caller's connection
(tests/incidents/test_reading.py).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from watchkeeper.incidents import clocks, document, figures, lifecycle, records, timeline
from watchkeeper.incidents.models import (
    LIVE,
    Countdown,
    FollowUp,
    Incident,
    JoinedAlert,
    Receipt,
    State,
    Story,
    TimelineEntry,
    Update,
)
from watchkeeper.incidents.policy import section
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import deadlines, journal
from watchkeeper.store.models import alerts as alert_rows
from watchkeeper.store.models import escalations, incident_alerts, incidents, outbox

_WARN = 0.8
_PAGE = "acknowledge the page"
_JUDGED = "escalation.deadline"
_PAGES = 20
"""So many pages of an incident are looked at for how its acknowledgement ended; the first of them says it."""


def listed(
    conn: Connection,
    *,
    states: Collection[State] | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Incident]:
    """Incidents, newest first; ``before`` is the number to page on from."""
    query = select(incidents).order_by(incidents.c.id.desc()).limit(limit)
    if states is not None:
        query = query.where(incidents.c.state.in_([state.value for state in states]))
    if before is not None:
        query = query.where(incidents.c.id < before)
    return [records.incident_of(row) for row in conn.execute(query)]


def live(conn: Connection) -> list[Incident]:
    """Those that may still hurt customers, the worst first."""
    found = listed(conn, states=LIVE, limit=1000)
    return sorted(found, key=lambda one: (one.severity or "SEV-0", one.opened_at, one.id))


def one(conn: Connection, number: int) -> Incident:
    """The incident of that number. Raises :class:`NoSuchIncidentError`."""
    return records.load(conn, number)


def of_alert(conn: Connection, fingerprint: str) -> int | None:
    """The number of the incident that an alert belongs to, or belonged to last."""
    mine = select(func.max(incident_alerts.c.incident_id)).where(incident_alerts.c.fingerprint == fingerprint)
    found: int | None = conn.execute(mine).scalar()
    return found


def story(conn: Connection, now: datetime, runbook: Runbook, number: int) -> Story:
    """All that the page of an incident shows but its timeline. Raises :class:`NoSuchIncidentError`."""
    incidents_section = section(runbook)
    incident = records.load(conn, number)
    alerts = records.joined(conn, number)
    said = records.updates(conn, number)
    follow_ups = records.follow_ups_of(conn, number)
    running = countdowns(conn, runbook, incident, alerts)
    resolve = lifecycle.resolve_gaps(alerts) if incident.live else ()
    close = lifecycle.close_gaps(incident, follow_ups, incidents_section)
    merged = select(incidents.c.id).where(incidents.c.merged_into == number).order_by(incidents.c.id)
    return Story(
        incident=incident,
        stage=lifecycle.stage(incident, alerts, said),
        next=lifecycle.next_action(incident, alerts, said, running, resolve, close, now),
        clock=lifecycle.next_clock(running),
        clocks=running,
        alerts=alerts,
        updates=said,
        receipts=receipts(conn, said),
        follow_ups=follow_ups,
        ratings=records.ratings_of(conn, alerts),
        resolve_gaps=resolve,
        close_gaps=close,
        allowed=lifecycle.allowed(incident, alerts, resolve, close),
        merged_from=tuple(conn.execute(merged).scalars()),
    )


def timeline_of(conn: Connection, number: int) -> tuple[TimelineEntry, ...]:
    """Everything that happened, oldest first. Raises :class:`NoSuchIncidentError`."""
    return timeline.timeline(conn, records.load(conn, number))


def receipts(conn: Connection, updates: Sequence[Update]) -> tuple[Receipt, ...]:
    """What became of every message of ``updates``, in their order."""
    wanted = [told.outbox_id for update in updates for told in update.told]
    rows: dict[int, Any] = {}
    for start in range(0, len(wanted), 500):
        query = select(outbox).where(outbox.c.id.in_(wanted[start : start + 500]))
        rows |= {row.id: row for row in conn.execute(query)}
    found = []
    for update in updates:
        for told in update.told:
            row = rows.get(told.outbox_id)
            found.append(
                Receipt(
                    update.id,
                    told.audience,
                    told.whom,
                    told.receiver,
                    told.to,
                    "unknown" if row is None else row.state,
                    None if row is None else row.settled_at,
                    0 if row is None else row.attempts,
                    None if row is None else row.last_error,
                )
            )
    return tuple(found)


def countdowns(
    conn: Connection, runbook: Runbook, incident: Incident, alerts: Sequence[JoinedAlert]
) -> tuple[Countdown, ...]:
    """The clocks of an incident, in order of their begin; the acknowledgement's from the escalation."""
    found = [
        Countdown(
            one.clause,
            one.title,
            one.state.value,
            one.starts_at,
            one.warn_at,
            one.due_at,
            one.id,
            one.settled_at,
            one.settled_by,
            one.reason,
        )
        for one in deadlines.of(conn, incident.subject)
    ]
    return (*_acknowledgement(conn, runbook, alerts), *found)


def _acknowledgement(
    conn: Connection, runbook: Runbook, alerts: Sequence[JoinedAlert]
) -> tuple[Countdown, ...]:
    limit = section(runbook).deadlines.acknowledge
    firing = [one.fingerprint for one in alerts if one.resolved_at is None and one.severity == "page"]
    if not firing:
        return _judged(conn, alerts, limit)
    keys = select(alert_rows.c.group_key).where(
        alert_rows.c.fingerprint.in_(firing), alert_rows.c.group_key.is_not(None)
    )
    query = select(escalations).where(escalations.c.dedup_key.in_(keys)).order_by(escalations.c.paged_at)
    row = conn.execute(query.limit(1)).first()
    if row is None:
        return _judged(conn, alerts, limit)
    return (
        Countdown(
            clocks.ACKNOWLEDGE,
            _PAGE,
            row.verdict or "running",
            row.paged_at,
            row.paged_at + limit * _WARN,
            row.paged_at + limit,
            settled_at=row.acked_at,
            settled_by=row.acked_by,
        ),
    )


def _judged(conn: Connection, alerts: Sequence[JoinedAlert], limit: timedelta) -> tuple[Countdown, ...]:
    """The acknowledgement of a page that is over, as the journal has it: the escalation is forgotten soon."""
    pages = [one for one in alerts if one.severity == "page" and one.fired_at is not None]
    found = []
    for one in pages[:_PAGES]:
        wanted = journal.Filter(subject=f"alert:{one.fingerprint}", kind=_JUDGED, since=one.fired_at)
        found += journal.entries(conn, wanted)
    if not found:
        return ()
    first = min(found, key=lambda entry: entry.seq)
    seconds = float(first.facts["seconds"])
    paged_at = first.at - timedelta(seconds=seconds)
    return (
        Countdown(
            clocks.ACKNOWLEDGE,
            _PAGE,
            str(first.facts["verdict"]),
            paged_at,
            paged_at + limit * _WARN,
            paged_at + limit,
            settled_at=first.at,
            reason=f"after {seconds:.0f} s",
        ),
    )


def follow_ups(conn: Connection, *, undone: bool = True) -> tuple[FollowUp, ...]:
    """The follow-ups of all incidents; with ``undone`` those that wait, which is what people ask for."""
    return records.follow_ups_of(conn, undone=undone)


def document_of(conn: Connection, now: datetime, runbook: Runbook, number: int, *, whole: bool = True) -> str:
    """The incident document, as Markdown. Raises :class:`NoSuchIncidentError`."""
    found = story(conn, now, runbook, number)
    lines = timeline.timeline(conn, found.incident)
    return document.document(found, lines, section(runbook), whole=whole)


def figures_since(conn: Connection, since: datetime) -> list[figures.Figures]:
    """The figures of the incidents that were opened since then, per service and quarter."""
    query = select(incidents).where(incidents.c.opened_at >= since).order_by(incidents.c.id)
    known = [records.incident_of(row) for row in conn.execute(query)]
    mine = select(incident_alerts).join(incidents, incidents.c.id == incident_alerts.c.incident_id)
    rows = conn.execute(mine.where(incidents.c.opened_at >= since))
    alerts = [records.joined_of(row) for row in rows]
    return figures.figures(known, alerts, records.ratings_of(conn, alerts))
