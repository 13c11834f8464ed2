"""What people do with an incident. One function for each, in the caller's transaction.

Always true here: the incident, its journal entry, its deadlines and what receivers are told of it are written
together or not at all; ``revision`` is the incident's as the person saw it, and a change that somebody else
made after it is a :class:`ConflictError` that names them (tests/incidents/test_service.py).

Every function takes the connection, ``now``, the runbook, the incident's number and who does it, and raises
an :class:`IncidentError` whose message is for people. Opening, joining, merging and splitting are in
``gathering``, updates in ``updates``, the document, ratings and follow-ups in ``documenting``; all are to be
had from here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from watchkeeper.incidents import clocks, records, telling
from watchkeeper.incidents.documenting import (
    add_follow_up,
    complete_follow_up,
    edit_follow_up,
    pick_event,
    rate_alert,
    unpick_event,
    write_section,
)
from watchkeeper.incidents.gathering import merge, open_by_hand, split
from watchkeeper.incidents.lifecycle import close_gaps, missing_of, resolve_gaps
from watchkeeper.incidents.models import (
    Author,
    ConflictError,
    Incident,
    IncidentError,
    NoSuchIncidentError,
    RefusedError,
    Role,
    State,
    Status,
)
from watchkeeper.incidents.policy import section
from watchkeeper.incidents.updates import audiences, post_update, preview
from watchkeeper.notify.models import Kind
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import deadlines

__all__ = [
    "AcknowledgeAlerts",
    "ConflictError",
    "IncidentError",
    "NoSuchIncidentError",
    "RefusedError",
    "acknowledge",
    "add_follow_up",
    "assign",
    "audiences",
    "close",
    "complete_follow_up",
    "describe",
    "edit_follow_up",
    "merge",
    "mitigate",
    "open_by_hand",
    "pick_event",
    "post_update",
    "preview",
    "rate_alert",
    "reopen",
    "resolve",
    "set_severity",
    "split",
    "unpick_event",
    "waive_deadline",
    "write_section",
]

AcknowledgeAlerts = Callable[[Connection, datetime, Sequence[str], str, str, str], object]
"""Takes alerts by fingerprint: connection, now, fingerprints, the person's name, their note, their actor.
:mod:`watchkeeper.app.responding` wires ``monitoring.acknowledgements`` to it."""


def acknowledge(
    conn: Connection,
    now: datetime,
    runbook: Runbook,
    number: int,
    by: Author,
    acknowledge_alerts: AcknowledgeAlerts,
    note: str = "",
) -> Incident:
    """``by`` has it: its firing alerts are acknowledged, and ``by`` leads it if nobody does yet."""
    incident = _live(conn, number)
    firing = [one for one in records.joined(conn, number) if one.resolved_at is None]
    taken = [one.fingerprint for one in firing if one.acknowledged_at is None]
    if taken:
        acknowledge_alerts(conn, now, taken, by.name, note, by.actor)
    if incident.acknowledged_at is not None:
        return incident
    leads = incident.commander or by.name
    said = f"{by.name} has it" + (f": {note}" if note else "")
    incident = records.change(
        conn,
        now,
        incident,
        by,
        "acknowledged",
        said,
        facts={"note": note, "commander": leads},
        acknowledged_at=now,
        acknowledged_by=by.name,
        commander=leads,
    )
    telling.tell_channel(conn, now, runbook, incident, Kind.ACKNOWLEDGE, said)
    return incident


def set_severity(
    conn: Connection,
    now: datetime,
    runbook: Runbook,
    number: int,
    by: Author,
    severity: str,
    *,
    revision: int | None = None,
    note: str = "",
) -> Incident:
    """Triage, or a severity that turned out otherwise. Its deadlines follow it."""
    incidents = section(runbook)
    known = [level.id for level in incidents.severities]
    if severity not in known:
        raise IncidentError(f"there is no severity {severity!r} in the runbook; it has {', '.join(known)}")
    incident = _open(conn, number)
    records.check_revision(conn, incident, revision)
    if incident.severity == severity:
        return incident
    before, first = incident.severity, incident.triaged_at is None
    said = f"{by.name} set {severity}" + (f" instead of {before}" if before else "")
    said += f": {note}" if note else ""
    judged = first and incidents.deadlines.triage is None  # else the deadline has the verdict
    verdict = "waived" if clocks.TRIAGE in clocks.waivers(runbook, now) else "met"
    incident = records.change(
        conn,
        now,
        incident,
        by,
        "severity",
        said,
        revision=revision,
        facts={"severity": severity, "before": before, "note": note},
        evidence=[(clocks.TRIAGE, verdict)] if judged else [],
        severity=severity,
        triaged_at=incident.triaged_at or now,
    )
    told = telling.stakeholders_told(conn, number)
    clocks.triaged(conn, now, runbook, incident, by, told=told)
    telling.tell_channel(conn, now, runbook, incident, Kind.TRIGGER, said)
    telling.end_reminders(conn, now, incident, clocks.TRIAGE)
    return incident


def assign(
    conn: Connection,
    now: datetime,
    runbook: Runbook,
    number: int,
    by: Author,
    role: Role,
    person: str | None,
    *,
    revision: int | None = None,
) -> Incident:
    """``person`` has the role from now on; None: nobody."""
    incident = _open(conn, number)
    records.check_revision(conn, incident, revision)
    name = (person or "").strip() or None
    before = incident.role(role)
    if name == before:
        return incident
    said = f"{name} is {role.value}" if name else f"nobody is {role.value} any more"
    said += f" instead of {before}" if before and name else ""
    facts = {"role": role.value, "person": name, "before": before}
    values: dict[str, Any] = {role.value: name}
    return records.change(conn, now, incident, by, "role", said, revision=revision, facts=facts, **values)


def describe(
    conn: Connection,
    now: datetime,
    runbook: Runbook,
    number: int,
    by: Author,
    *,
    revision: int | None = None,
    title: str | None = None,
    scope: str | None = None,
    impact: str | None = None,
    public: bool | None = None,
    components: Sequence[str] | None = None,
) -> Incident:
    """Say what it is about; what is None stays as it is. The entry has what stood there before."""
    incident = _open(conn, number)
    records.check_revision(conn, incident, revision)
    if title is not None and not title.strip():
        raise IncidentError("an incident needs a title; nothing was changed")
    given = {"title": title, "scope": scope, "impact": impact}
    changed: dict[str, Any] = {
        name: text.strip()
        for name, text in given.items()
        if text is not None and text.strip() != getattr(incident, name)
    }
    if public is not None and public != incident.public:
        changed["public"] = int(public)
    if components is not None and tuple(components) != incident.components:
        changed["components"] = list(components)
    if not changed:
        return incident
    before = {name: getattr(incident, name) for name in changed}
    said = f"{by.name} described its {', '.join(changed)}"
    facts = {"after": changed, "before": before}
    return records.change(
        conn, now, incident, by, "described", said, revision=revision, facts=facts, **changed
    )


def mitigate(
    conn: Connection,
    now: datetime,
    runbook: Runbook,
    number: int,
    by: Author,
    note: str = "",
    *,
    revision: int | None = None,
) -> Incident:
    """Customers are not hurt any more, though the cause may be there."""
    incident = _live(conn, number)
    records.check_revision(conn, incident, revision)
    if incident.state is State.MITIGATED:
        return incident
    said = f"{by.name}: mitigated" + (f", {note}" if note else "")
    incident = records.change(
        conn,
        now,
        incident,
        by,
        "mitigated",
        said,
        revision=revision,
        facts={"note": note},
        state=State.MITIGATED.value,
        status=Status.MONITORING.value,
        mitigated_at=now,
    )
    telling.tell_channel(conn, now, runbook, incident, Kind.TRIGGER, said)
    return incident


def resolve(
    conn: Connection,
    now: datetime,
    runbook: Runbook,
    number: int,
    by: Author,
    *,
    override: str | None = None,
    note: str = "",
    revision: int | None = None,
) -> Incident:
    """It is over. Raises :class:`RefusedError` with what is not at baseline, unless ``override`` says why
    that does not matter; then the clause is waived, with the name and the reason."""
    incident = _live(conn, number)
    records.check_revision(conn, incident, revision)
    gaps = resolve_gaps(records.joined(conn, number))
    if gaps and not (override or "").strip():
        what = "; ".join(f"{gap.what}: {gap.how}" for gap in gaps[:10])
        raise RefusedError(
            f"incident {number} is not resolved, its signals are not back at their baseline ({what}). "
            "Wait for them, or override with a reason.",
            gaps,
        )
    if gaps and not by.actor.startswith("person:"):
        raise RefusedError("only a named person may resolve before the signals are at their baseline", gaps)
    reason = (override or "").strip() if gaps else ""
    waived = bool(reason) or clocks.RESOLVE in clocks.waivers(runbook, now)
    said = f"{by.name}: resolved" + (
        f" before its signals were at baseline, because {reason}" if reason else ""
    )
    said += f", {note}" if note else ""
    incident = records.change(
        conn,
        now,
        incident,
        by,
        "resolved",
        said,
        revision=revision,
        facts={"note": note, "override": reason, "not_at_baseline": [gap.what for gap in gaps]},
        evidence=[(clocks.RESOLVE, "waived" if waived else "met")],
        state=State.RESOLVED.value,
        status=Status.RESOLVED.value,
        mitigated_at=incident.mitigated_at or now,
        resolved_at=now,
        resolved_by=by.name,
    )
    clocks.resolved(conn, now, runbook, incident, by)
    telling.tell_channel(conn, now, runbook, incident, Kind.RESOLVE, said)
    telling.end_reminders(conn, now, incident)
    return incident


def close(
    conn: Connection,
    now: datetime,
    runbook: Runbook,
    number: int,
    by: Author,
    *,
    revision: int | None = None,
) -> Incident:
    """The document is complete. Raises :class:`RefusedError` with what it lacks."""
    incidents = section(runbook)
    incident = records.load(conn, number)
    if incident.state in (State.CLOSED, State.MERGED):
        raise IncidentError(f"incident {number} is {incident.state.value} already; nothing was changed")
    records.check_revision(conn, incident, revision)
    follow_ups = records.follow_ups_of(conn, number)
    gaps = close_gaps(incident, follow_ups, incidents)
    if gaps:
        what = "; ".join(f"{gap.what}: {gap.how}" for gap in gaps)
        raise RefusedError(f"incident {number} is not closed, its document is not complete ({what})", gaps)
    assert not any(missing_of(one, incidents) for one in follow_ups)
    waived = clocks.FOLLOW_UPS in clocks.waivers(runbook, now)
    incident = records.change(
        conn,
        now,
        incident,
        by,
        "closed",
        f"{by.name} closed it, with {len(follow_ups)} follow-up(s)",
        revision=revision,
        facts={"follow_ups": [one.id for one in follow_ups]},
        evidence=[(clocks.FOLLOW_UPS, "waived" if waived else "met")],
        state=State.CLOSED.value,
        closed_at=now,
        closed_by=by.name,
    )
    clocks.closed(conn, now, runbook, incident, by)
    return incident


def reopen(
    conn: Connection,
    now: datetime,
    runbook: Runbook,
    number: int,
    by: Author,
    reason: str,
    *,
    revision: int | None = None,
) -> Incident:
    """It was not over. ``reason`` says what shows that."""
    incident = records.load(conn, number)
    if incident.state not in (State.RESOLVED, State.CLOSED):
        raise IncidentError(
            f"incident {number} is {incident.state.value}; only one that was resolved reopens"
        )
    if not reason.strip():
        raise IncidentError("say why it is reopened; nothing was changed")
    said = f"{by.name} reopened it: {reason.strip()}"
    incident = records.change(
        conn,
        now,
        incident,
        by,
        "reopened",
        said,
        revision=revision,
        facts={"reason": reason.strip()},
        state=State.OPEN.value,
        status=Status.INVESTIGATING.value,
        mitigated_at=None,
        resolved_at=None,
        resolved_by=None,
        closed_at=None,
        closed_by=None,
    )
    told = telling.stakeholders_told(conn, number)
    clocks.reopened(conn, now, runbook, incident, by, told=told)
    telling.tell_channel(conn, now, runbook, incident, Kind.TRIGGER, said)
    return incident


def waive_deadline(
    conn: Connection, now: datetime, runbook: Runbook, number: int, by: Author, deadline_id: int, reason: str
) -> deadlines.Deadline:
    """A named person lets one deadline of the incident go, with a reason; the verdict is ``waived``."""
    incident = records.load(conn, number)
    if not by.actor.startswith("person:"):
        raise IncidentError("only a named person may waive a deadline; nothing was changed")
    try:
        if deadlines.load(conn, deadline_id).subject != incident.subject:
            raise IncidentError(f"deadline {deadline_id} is not of incident {number}; nothing was changed")
        said = f"{by.name}: {reason.strip()}" if reason.strip() else ""
        done = deadlines.waive(conn, now, deadline_id, by.actor, said)
    except deadlines.DeadlineError as error:
        raise IncidentError(str(error)) from None
    telling.end_reminders(conn, now, incident, done.clause)
    if done.clause == clocks.UPDATE:
        clocks.keep_updating(conn, now, section(runbook), incident, by)
    return done


def _open(conn: Connection, number: int) -> Incident:
    incident = records.load(conn, number, lock=True)
    if incident.state in (State.CLOSED, State.MERGED):
        what = f"part of incident {incident.merged_into}" if incident.merged_into else "closed"
        raise IncidentError(f"incident {number} is {what}; nothing was changed")
    return incident


def _live(conn: Connection, number: int) -> Incident:
    incident = _open(conn, number)
    if not incident.live:
        raise IncidentError(f"incident {number} is {incident.state.value} already; nothing was changed")
    return incident
