"""Incidents in the store: rows read into types, and changed together with their journal entry.

Always true here: :func:`change` writes the row and its entry in the caller's transaction, or raises and
writes nothing; of two changes that started from one ``revision`` the second is refused, and hears who made
the first and what it was (tests/incidents/test_service.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from watchkeeper.incidents.models import (
    Author,
    ConflictError,
    Correction,
    FollowUp,
    Incident,
    JoinedAlert,
    NoSuchIncidentError,
    Rating,
    Section,
    State,
    Status,
    Told,
    Update,
)
from watchkeeper.store import journal
from watchkeeper.store.models import (
    alert_ratings,
    alerts,
    follow_ups,
    incident_alerts,
    incident_updates,
    incidents,
)


def load(conn: Connection, number: int, *, lock: bool = False) -> Incident:
    """The incident of that number. Raises :class:`NoSuchIncidentError`."""
    query = select(incidents).where(incidents.c.id == number)
    row = conn.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise NoSuchIncidentError(f"there is no incident {number}; `watchkeeper incidents list` shows them")
    return incident_of(row)


def change(
    conn: Connection,
    now: datetime,
    incident: Incident,
    by: Author,
    kind: str,
    summary: str,
    *,
    revision: int | None = None,
    facts: Mapping[str, Any] | None = None,
    evidence: Sequence[tuple[str, str]] = (),
    **values: Any,
) -> Incident:
    """Write ``values`` of ``incident`` and the entry that explains them; the incident as it is then.

    ``revision`` is what the person saw when they decided; without it, what is there now is taken.
    """
    check_revision(conn, incident, revision)
    grown = incident.revision + 1
    mine = (incidents.c.id == incident.id) & (incidents.c.revision == incident.revision)
    if not conn.execute(update(incidents).where(mine).values(revision=grown, **values)).rowcount:
        raise _conflict(conn, incident, incident.revision)
    document = {"summary": summary, "revision": grown, **(facts or {})}
    journal.append(conn, now, f"incident.{kind}", by.actor, incident.subject, document, tuple(evidence))
    return load(conn, incident.id)


def check_revision(conn: Connection, incident: Incident, revision: int | None) -> None:
    """Raises :class:`ConflictError` where somebody changed the incident after ``revision``."""
    if revision is not None and revision != incident.revision:
        raise _conflict(conn, incident, revision)


def _conflict(conn: Connection, incident: Incident, revision: int) -> ConflictError:
    wanted = journal.Filter(subject=incident.subject, kind="incident.*")
    newer = [
        entry for entry in journal.entries(conn, wanted, 50) if entry.facts.get("revision", 0) > revision
    ]
    said = "; ".join(
        f"{entry.actor.partition(':')[2]} at {entry.at:%H:%M:%S} UTC: {entry.facts.get('summary')}"
        for entry in newer[-3:]
    )
    return ConflictError(
        f"incident {incident.id} was changed meanwhile ({said or 'by somebody else'}); "
        "nothing of yours was written: look at it again, then repeat it"
    )


def incident_of(row: Row[Any]) -> Incident:
    """A row of the table as a type."""
    document = row.document
    sections = {
        name: Section(one["text"], one["by"], datetime.fromisoformat(one["at"]))
        for name, one in document.get("sections", {}).items()
    }
    values = {
        name: getattr(row, name)
        for name in Incident.__slots__
        if name not in ("sections", "corrections", "key_events", "left_out")
    }
    values |= {
        "state": State(row.state),
        "status": Status(row.status),
        "public": bool(row.public),
        "components": tuple(row.components),
        "sections": sections,
        "corrections": tuple(
            Correction(one["section"], one["text"], one["by"], datetime.fromisoformat(one["at"]))
            for one in document.get("corrections", ())
        ),
        "key_events": tuple(document.get("key_events", ())),
        "left_out": tuple(document.get("left_out", ())),
    }
    return Incident(**values)


def document_of(incident: Incident, **changed: Any) -> dict[str, Any]:
    """The column ``document``, with ``changed`` instead of what it had."""
    sections = {
        name: {"text": one.text, "by": one.by, "at": one.at.isoformat()}
        for name, one in incident.sections.items()
    }
    corrections = [
        {"section": one.section, "text": one.text, "by": one.by, "at": one.at.isoformat()}
        for one in incident.corrections
    ]
    kept = {
        "sections": sections,
        "corrections": corrections,
        "key_events": list(incident.key_events),
        "left_out": list(incident.left_out),
    }
    return {**kept, **changed}


def joined(conn: Connection, number: int) -> tuple[JoinedAlert, ...]:
    """The alerts of an incident, in the order in which they fired; with who has each that still fires."""
    now_firing = (
        (alerts.c.fingerprint == incident_alerts.c.fingerprint)
        & (alerts.c.episode == incident_alerts.c.episode)
        & (alerts.c.state == "firing")
    )
    query = (
        select(incident_alerts, alerts.c.acked_at, alerts.c.acked_by)
        .select_from(incident_alerts.outerjoin(alerts, now_firing))
        .where(incident_alerts.c.incident_id == number)
        .order_by(incident_alerts.c.fired_at, incident_alerts.c.fingerprint, incident_alerts.c.episode)
    )
    return tuple(joined_of(row, row.acked_at, row.acked_by) for row in conn.execute(query))


def joined_of(row: Any, acked_at: datetime | None = None, acked_by: str | None = None) -> JoinedAlert:
    """A row of ``incident_alerts`` as a type."""
    return JoinedAlert(
        row.incident_id,
        row.fingerprint,
        row.episode,
        row.alertname,
        row.severity,
        row.summary,
        row.labels,
        row.clause,
        row.active_at,
        row.fired_at,
        row.joined_at,
        row.resolved_at,
        row.because,
        row.ended,
        bool(row.at_baseline),
        acked_at,
        acked_by,
    )


def updates(conn: Connection, number: int) -> tuple[Update, ...]:
    """What was said of an incident, newest first."""
    mine = select(incident_updates).where(incident_updates.c.incident_id == number)
    return tuple(
        Update(
            row.id,
            row.incident_id,
            row.at,
            row.by,
            Status(row.status),
            row.severity,
            row.impact,
            row.eta,
            row.note,
            row.next_update_at,
            row.said,
            tuple(Told(*one) for one in row.told),
        )
        for row in conn.execute(mine.order_by(incident_updates.c.id.desc()))
    )


def follow_ups_of(
    conn: Connection, number: int | None = None, *, undone: bool = False
) -> tuple[FollowUp, ...]:
    """The follow-ups of an incident, or of all; with ``undone`` those that wait."""
    query = select(follow_ups).order_by(follow_ups.c.id)
    if number is not None:
        query = query.where(follow_ups.c.incident_id == number)
    if undone:
        query = query.where(follow_ups.c.done_at.is_(None))
    return tuple(FollowUp(*row) for row in conn.execute(query))


def ratings_of(conn: Connection, joined_alerts: Sequence[JoinedAlert]) -> tuple[Rating, ...]:
    """What people said of the alerts of an incident."""
    known = {(one.fingerprint, one.episode) for one in joined_alerts}
    names = sorted({fingerprint for fingerprint, _ in known})
    found: list[Rating] = []
    for start in range(0, len(names), 500):
        mine = alert_ratings.c.fingerprint.in_(names[start : start + 500])
        for row in conn.execute(select(alert_ratings).where(mine).order_by(alert_ratings.c.at)):
            if (row.fingerprint, row.episode) in known:
                found.append(
                    Rating(
                        row.fingerprint,
                        row.episode,
                        row.alertname,
                        row.service,
                        bool(row.useful),
                        row.note,
                        row.at,
                        row.by,
                    )
                )
    return tuple(found)
