"""What alerts do to incidents: open, join, reopen them, and come back to their baseline. In the caller's
transaction.

Always true here: an episode of an alert that belongs to an incident is not taken in a second time, so that
what is heard twice changes nothing (tests/app/test_responding.py, test_responding_crashes.py).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, exists, insert, or_, select, text, update

from watchkeeper.incidents import clocks, lifecycle, records, telling
from watchkeeper.incidents.gathering import open_incident
from watchkeeper.incidents.joining import PAGE, Decision, Firing, Joins, Known, Opens, Reopens, decide
from watchkeeper.incidents.models import LIVE, SYSTEM, Author, Incident, State, Status
from watchkeeper.incidents.policy import section
from watchkeeper.notify.models import Kind
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import journal
from watchkeeper.store.journal import Entry
from watchkeeper.store.models import alerts, incident_alerts, incidents

FIRED, RESOLVED, ACKNOWLEDGED = "alert.firing", "alert.resolved", "alert.acknowledged"
FOLLOWED = (FIRED, RESOLVED, ACKNOWLEDGED)
"""The entries of the journal that may mean something for an incident."""


def unjoined(conn: Connection) -> list[Firing]:
    """The audible alerts that fire and belong to no incident: pages first, then in order of time."""
    mine = and_(
        incident_alerts.c.fingerprint == alerts.c.fingerprint, incident_alerts.c.episode == alerts.c.episode
    )
    query = select(alerts).where(
        alerts.c.state == "firing",
        alerts.c.inhibited_by.is_(None),
        alerts.c.episode.is_not(None),
        ~exists().where(mine),
    )
    found = [firing_of(row) for row in conn.execute(query)]
    return sorted(found, key=lambda one: (one.severity != PAGE, one.fired_at, one.fingerprint))


def firing_of(row: Any) -> Firing:
    """A row of the table ``alerts``."""
    return Firing(
        row.fingerprint,
        row.episode,
        row.alertname,
        row.severity,
        row.labels,
        row.annotations.get("summary", row.alertname),
        row.clause,
        row.active_at,
        row.fired_at or row.active_at or row.last_seen_at,
        row.inhibited_by,
        row.group_key,
    )


def lock(conn: Connection) -> None:
    """Keep other processes from taking alerts in until the transaction ends; SQLite has one writer anyway."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("LOCK TABLE incident_alerts IN EXCLUSIVE MODE"))


def firing_in(conn: Connection, entry: Entry) -> Firing:
    """The alert of an entry ``alert.firing``, as it was then; with the notification that told of it."""
    facts = entry.facts
    active_at = facts.get("active_at")
    fingerprint, episode = entry.subject.removeprefix("alert:"), str(facts.get("episode", ""))
    mine = (alerts.c.fingerprint == fingerprint) & (alerts.c.episode == episode)
    return Firing(
        fingerprint,
        episode,
        str(facts.get("alertname", "")),
        str(facts.get("severity", "")),
        facts.get("labels", {}),
        str(facts.get("summary", "")),
        next((clause for clause, _ in entry.evidence), None),
        datetime.fromisoformat(active_at) if isinstance(active_at, str) else None,
        entry.at,
        facts.get("inhibited_by"),
        conn.execute(select(alerts.c.group_key).where(mine)).scalar(),
    )


def decision(conn: Connection, runbook: Runbook, alert: Firing) -> Decision | None:
    """What becomes of ``alert``; None for one that belongs to an incident already."""
    if not alert.episode or _joined(conn, alert.fingerprint, alert.episode) is not None:
        return None
    window = section(runbook).join_window
    return decide(alert, known(conn, alert.fired_at - window), window)


def take_in(conn: Connection, now: datetime, runbook: Runbook, alert: Firing) -> Incident | None:
    """The incident that ``alert`` opens, joins or reopens; None where it belongs to none."""
    match decision(conn, runbook, alert):
        case Opens():
            return _open(conn, now, runbook, alert)
        case Joins(number, because):
            return _join(conn, now, runbook, alert, number, because)
        case Reopens(number, because):
            incident = _reopen(conn, now, runbook, number, f"{alert.alertname}: {because}")
            return _join(conn, now, runbook, alert, incident.id, because)
    return None


def known(conn: Connection, since: datetime) -> list[Known]:
    """The incidents that are live, or were resolved after ``since``."""
    recent = and_(incidents.c.state == State.RESOLVED.value, incidents.c.resolved_at >= since)
    live = incidents.c.state.in_([state.value for state in LIVE])
    rows = conn.execute(select(incidents).where(or_(live, recent)).order_by(incidents.c.id)).all()
    members: dict[int, list[Any]] = {row.id: [] for row in rows}
    query = select(incident_alerts, alerts.c.group_key).select_from(
        incident_alerts.outerjoin(
            alerts,
            and_(
                alerts.c.fingerprint == incident_alerts.c.fingerprint,
                alerts.c.episode == incident_alerts.c.episode,
            ),
        )
    )
    numbers = sorted(members)
    for start in range(0, len(numbers), 500):
        mine = incident_alerts.c.incident_id.in_(numbers[start : start + 500])
        for row in conn.execute(query.where(mine)):
            members[row.incident_id].append(row)
    return [
        Known(
            row.id,
            State(row.state),
            row.service,
            row.env,
            row.opened_at,
            row.resolved_at,
            frozenset(one.fingerprint for one in members[row.id]),
            frozenset(one.alertname for one in members[row.id]),
            frozenset(one.group_key for one in members[row.id] if one.group_key),
        )
        for row in rows
    ]


def _open(conn: Connection, now: datetime, runbook: Runbook, alert: Firing) -> Incident:
    labels = alert.labels
    acked = _acknowledgement(conn, alert)
    values = {
        "title": alert.summary or alert.alertname,
        "service": labels.get("service"),
        "env": labels.get("env"),
        "region": labels.get("region"),
        "detected_at": min(alert.active_at or alert.fired_at, now),
        "acknowledged_at": acked[0],
        "acknowledged_by": acked[1],
        "commander": acked[1],
    }
    incident = open_incident(conn, now, SYSTEM, f"opened by {alert.alertname}: {values['title']}", values)
    _insert(conn, now, incident, alert, "it opened the incident")
    clocks.opened(conn, now, section(runbook), incident)
    telling.tell_channel(conn, now, runbook, incident, Kind.TRIGGER, f"opened by {alert.alertname}")
    return incident


def _acknowledgement(conn: Connection, alert: Firing) -> tuple[datetime | None, str | None]:
    """Who has the alert already: it may have been acknowledged while nobody looked."""
    mine = (alerts.c.fingerprint == alert.fingerprint) & (alerts.c.episode == alert.episode)
    row = conn.execute(select(alerts.c.acked_at, alerts.c.acked_by).where(mine)).first()
    return (None, None) if row is None else (row.acked_at, row.acked_by)


def _join(
    conn: Connection, now: datetime, runbook: Runbook, alert: Firing, number: int, because: str
) -> Incident:
    incident = records.load(conn, number, lock=True)
    _insert(conn, now, incident, alert, because)
    began = alert.active_at or alert.fired_at
    earlier: dict[str, Any] = (
        {"detected_at": began} if alert.severity == PAGE and began < incident.detected_at else {}
    )
    facts = {
        "fingerprint": alert.fingerprint,
        "episode": alert.episode,
        "alertname": alert.alertname,
        "severity": alert.severity,
        "because": because,
    }
    said = f"{alert.alertname} joined: {because}"
    return records.change(conn, now, incident, SYSTEM, "joined", said, facts=facts, **earlier)


def _insert(conn: Connection, now: datetime, incident: Incident, alert: Firing, because: str) -> None:
    conn.execute(
        insert(incident_alerts).values(
            incident_id=incident.id,
            fingerprint=alert.fingerprint,
            episode=alert.episode,
            alertname=alert.alertname,
            severity=alert.severity,
            summary=alert.summary,
            labels=dict(alert.labels),
            clause=alert.clause,
            active_at=alert.active_at,
            fired_at=alert.fired_at,
            joined_at=now,
            because=because,
            ended="",
            at_baseline=0,
        )
    )


def _reopen(conn: Connection, now: datetime, runbook: Runbook, number: int, why: str) -> Incident:
    incident = records.change(
        conn,
        now,
        records.load(conn, number, lock=True),
        SYSTEM,
        "reopened",
        f"reopened: {why}",
        facts={"reason": why},
        state=State.OPEN.value,
        status=Status.INVESTIGATING.value,
        mitigated_at=None,
        resolved_at=None,
        resolved_by=None,
    )
    told = telling.stakeholders_told(conn, number)
    clocks.reopened(conn, now, runbook, incident, SYSTEM, told=told)
    telling.tell_channel(conn, now, runbook, incident, Kind.TRIGGER, f"reopened: {why}")
    return incident


def hear(conn: Connection, now: datetime, runbook: Runbook, entry: Entry) -> bool:
    """What one entry of the journal means for incidents; whether it meant anything."""
    if entry.kind == FIRED:
        return take_in(conn, now, runbook, firing_in(conn, entry)) is not None
    if entry.kind == RESOLVED:
        return _resolved(conn, now, runbook, entry)
    return entry.kind == ACKNOWLEDGED and _acknowledged(conn, now, runbook, entry)


def concerns(conn: Connection, runbook: Runbook, entry: Entry) -> bool:
    """Whether :func:`hear` would write anything; for readers, so that most entries take no write lock."""
    fingerprint, episode = entry.subject.removeprefix("alert:"), str(entry.facts.get("episode", ""))
    if entry.kind == FIRED:
        return decision(conn, runbook, firing_in(conn, entry)) is not None
    return _joined(conn, fingerprint, episode) is not None


def _resolved(conn: Connection, now: datetime, runbook: Runbook, entry: Entry) -> bool:
    row = _joined(conn, entry.subject.removeprefix("alert:"), str(entry.facts.get("episode", "")))
    if row is None or row.resolved_at is not None:
        return False
    mine = and_(
        incident_alerts.c.incident_id == row.incident_id,
        incident_alerts.c.fingerprint == row.fingerprint,
        incident_alerts.c.episode == row.episode,
    )
    values = {
        "resolved_at": entry.at,
        "ended": str(entry.facts.get("because", "")),
        "at_baseline": int(bool(entry.facts.get("measured_well"))),
    }
    conn.execute(update(incident_alerts).where(mine).values(**values))
    incident = records.load(conn, row.incident_id)
    if incident.live and not lifecycle.resolve_gaps(records.joined(conn, incident.id)):
        said = "every signal is back at its baseline: resolve it"
        journal.append(conn, now, "incident.at_baseline", SYSTEM.actor, incident.subject, {"summary": said})
        telling.tell_channel(conn, now, runbook, incident, Kind.TRIGGER, said)
    return True


def _acknowledged(conn: Connection, now: datetime, runbook: Runbook, entry: Entry) -> bool:
    row = _joined(conn, entry.subject.removeprefix("alert:"), str(entry.facts.get("episode", "")))
    if row is None:
        return False
    incident = records.load(conn, row.incident_id, lock=True)
    if not incident.live or incident.acknowledged_at is not None:
        return False
    name = entry.actor.partition(":")[2] or entry.actor
    said = f"{name} has it, by acknowledging {row.alertname}"
    leads = incident.commander or name
    incident = records.change(
        conn,
        now,
        incident,
        Author(name, entry.actor),
        "acknowledged",
        said,
        facts={"alertname": row.alertname, "commander": leads},
        acknowledged_at=entry.at,
        acknowledged_by=name,
        commander=leads,
    )
    telling.tell_channel(conn, now, runbook, incident, Kind.ACKNOWLEDGE, said)
    return True


def _joined(conn: Connection, fingerprint: str, episode: str) -> Any:
    """The row of an alert's episode, in whatever incident; the newest, where people split and merged."""
    mine = (incident_alerts.c.fingerprint == fingerprint) & (incident_alerts.c.episode == episode)
    query = select(incident_alerts).where(mine).order_by(incident_alerts.c.incident_id.desc())
    return conn.execute(query.limit(1)).first()
