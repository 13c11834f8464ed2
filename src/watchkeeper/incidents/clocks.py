"""Which deadlines run for an incident: begun, met and let go with what people do. Part of their transactions.

Always true here: while an incident of a severity that the runbook wants updates for is live, exactly one
update deadline runs, and none otherwise; the document's runs from resolve to close
(tests/incidents/test_clocks.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection

from watchkeeper.incidents.models import Author, FollowUp, Incident
from watchkeeper.runbook.models.incidents import Incidents
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import deadlines

ACKNOWLEDGE, TRIAGE, UPDATE = "incidents.acknowledge", "incidents.triage", "incidents.update"
COMMUNICATE, RESOLVE = "incidents.communicate", "incidents.resolve"
DOCUMENT, FOLLOW_UPS = "incidents.document", "incidents.follow-ups"


def waivers(runbook: Runbook, now: datetime) -> Mapping[str, str]:
    """Why a clause is waived now, by clause."""
    return {
        one.clause: f"{one.reason} ({one.owner}, until {one.until})"
        for one in runbook.waivers
        if one.active(now.date())
    }


def wants_updates(incidents: Incidents, severity: str | None) -> bool:
    """Whether an incident of that severity is reported on every so often."""
    return severity is not None and severity in incidents.deadlines.update.severities


def wants_stakeholders(incidents: Incidents, severity: str | None) -> bool:
    """Whether somebody must hear of an incident of that severity."""
    return severity is not None and any(
        not who.severities or severity in who.severities for who in incidents.stakeholders
    )


def opened(conn: Connection, now: datetime, incidents: Incidents, incident: Incident) -> None:
    """Triage is asked for from now on."""
    limit = incidents.deadlines.triage
    if limit is not None and incident.severity is None:
        _start(conn, now, TRIAGE, incident, "set the severity", limit)


def triaged(
    conn: Connection, now: datetime, runbook: Runbook, incident: Incident, by: Author, *, told: bool
) -> None:
    """The severity is set, for the first time or anew. ``told``: stakeholders have heard of it already."""
    incidents = _of(runbook)
    said = f"{by.name} set {incident.severity}"
    deadlines.meet(conn, now, TRIAGE, incident.subject, by.actor, said, waivers(runbook, now))
    keep_updating(conn, now, incidents, incident, by)
    if not incident.live or told:
        return
    if not wants_stakeholders(incidents, incident.severity):
        deadlines.void(
            conn, now, incident.subject, by.actor, f"{incident.severity} concerns no stakeholder", COMMUNICATE
        )
    elif not deadlines.running(conn, incident.subject, COMMUNICATE):
        limit = incidents.deadlines.communicate or incidents.deadlines.update.every
        _start(conn, now, COMMUNICATE, incident, "tell the stakeholders", limit)


def keep_updating(
    conn: Connection, now: datetime, incidents: Incidents, incident: Incident, by: Author
) -> None:
    """One update deadline, if the incident is live and of a severity that wants it; else none."""
    if incident.live and wants_updates(incidents, incident.severity):
        if not deadlines.running(conn, incident.subject, UPDATE):
            every = incidents.deadlines.update.every
            _start(conn, now, UPDATE, incident, "post an update", every)
        return
    why = f"{incident.severity} needs none" if incident.live else f"the incident is {incident.state}"
    deadlines.void(conn, now, incident.subject, by.actor, why, UPDATE)


def updated(
    conn: Connection, now: datetime, runbook: Runbook, incident: Incident, by: Author, *, told: bool
) -> None:
    """An update was posted; ``told``: stakeholders are among those that hear of it."""
    known = waivers(runbook, now)
    deadlines.meet(conn, now, UPDATE, incident.subject, by.actor, f"{by.name} posted an update", known)
    if told:
        said = f"{by.name} told the stakeholders"
        deadlines.meet(conn, now, COMMUNICATE, incident.subject, by.actor, said, known)
    keep_updating(conn, now, _of(runbook), incident, by)


def resolved(conn: Connection, now: datetime, runbook: Runbook, incident: Incident, by: Author) -> None:
    """The document is asked for from now on, and updates are not."""
    incidents = _of(runbook)
    keep_updating(conn, now, incidents, incident, by)
    deadlines.void(conn, now, incident.subject, by.actor, "the incident is resolved", TRIAGE)
    _start(conn, now, DOCUMENT, incident, "close the incident document", incidents.deadlines.document)


def closed(conn: Connection, now: datetime, runbook: Runbook, incident: Incident, by: Author) -> None:
    """The document is there."""
    said = f"{by.name} closed the document"
    deadlines.meet(conn, now, DOCUMENT, incident.subject, by.actor, said, waivers(runbook, now))


def reopened(
    conn: Connection, now: datetime, runbook: Runbook, incident: Incident, by: Author, *, told: bool
) -> None:
    """It is live again: the document waits, updates and triage do not."""
    deadlines.void(conn, now, incident.subject, by.actor, "the incident was reopened", DOCUMENT)
    if incident.severity is None:
        opened(conn, now, _of(runbook), incident)
    else:
        triaged(conn, now, runbook, incident, by, told=told)


def merged(conn: Connection, now: datetime, incident: Incident, by: Author) -> None:
    """It is part of another incident, which has deadlines of its own."""
    deadlines.void(conn, now, incident.subject, by.actor, f"merged into incident {incident.merged_into}")


def follow_up_changed(conn: Connection, now: datetime, runbook: Runbook, one: FollowUp, by: Author) -> None:
    """The follow-up's date is its deadline; done, it is met."""
    subject = follow_up_subject(one.id)
    running = deadlines.running(conn, subject, FOLLOW_UPS)
    if one.done_at is not None:
        said = f"{one.done_by} completed it"
        deadlines.meet(conn, now, FOLLOW_UPS, subject, by.actor, said, waivers(runbook, now))
        return
    if any(known.due_at == one.due_on for known in running):
        return
    deadlines.void(conn, now, subject, by.actor, "its date was changed", FOLLOW_UPS)
    if one.due_on is not None and one.due_on > now:
        title = f"follow-up {one.id}: {one.title}"
        deadlines.start(conn, now, FOLLOW_UPS, subject, title, now, one.due_on)


def follow_up_subject(number: int) -> str:
    """The journal's name for a follow-up."""
    return f"follow-up:{number}"


def _start(
    conn: Connection, now: datetime, clause: str, incident: Incident, title: str, limit: timedelta
) -> None:
    said = f"incident {incident.id}: {title}"
    deadlines.start(conn, now, clause, incident.subject, said, now, now + limit)


def _of(runbook: Runbook) -> Incidents:
    assert runbook.incidents is not None  # nobody has an incident without the section
    return runbook.incidents
