"""What alerts do to incidents: open, join, reopen them, and come back to their baseline. In the caller's
transaction.

Always true here: an episode of an alert that belongs to an incident is not taken in a second time, so that
what is heard twice changes nothing (tests/app/test_responding.py, test_responding_crashes.py).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, insert, or_, select, update

from watchkeeper.incidents import clocks, lifecycle, records, telling
from watchkeeper.incidents.gathering import TITLE, open_incident
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


def unjoined_pages(conn: Connection) -> list[Firing]:
    """The audible pages that fire and belong to no incident, in order of time."""
    return _unjoined(conn, alerts.c.severity == PAGE)


def unjoined_warnings(conn: Connection) -> list[Firing]:
    """The other audible alerts that belong to none, and that a live incident may have a place for."""
    rows = conn.execute(select(incidents.c.id, incidents.c.service, incidents.c.env).where(_LIVE)).all()
    if not rows:
        return []
    places = {(row.service, row.env) for row in rows}
    members = select(incident_alerts.c.fingerprint, incident_alerts.c.group_key).join(
        incidents, incidents.c.id == incident_alerts.c.incident_id
    )
    known = {name for row in conn.execute(members.where(_LIVE)) for name in row if name}
    return [
        one
        for one in _unjoined(conn, alerts.c.severity != PAGE)
        if {(one.labels.get("service"), env) for env in (one.labels.get("env"), None)} & places
        or one.fingerprint in known
        or one.group_key in known
    ]


def _unjoined(conn: Connection, which: ColumnElement[bool]) -> list[Firing]:
    mine = and_(
        incident_alerts.c.fingerprint == alerts.c.fingerprint, incident_alerts.c.episode == alerts.c.episode
    )
    audible = (alerts.c.state == "firing", alerts.c.inhibited_by.is_(None), alerts.c.episode.is_not(None))
    rows = conn.execute(select(alerts).where(which, *audible, ~exists().where(mine)))
    return sorted((firing_of(row) for row in rows), key=lambda one: (one.fired_at, one.fingerprint))


_LIVE = incidents.c.state.in_([state.value for state in LIVE])


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
    return decide(alert, known(conn, alert, alert.fired_at - window), window)


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


def known(conn: Connection, alert: Firing, since: datetime) -> list[Known]:
    """The incidents that ``alert`` may belong to: live, or resolved after ``since``. Of what they are made of
    only what decides is read, so that ten thousand alerts cost ten thousand times as much as one."""
    member = incident_alerts.c
    again = set(_numbers(conn, member.fingerprint == alert.fingerprint))
    shared = set() if alert.group_key is None else set(_numbers(conn, member.group_key == alert.group_key))
    service, env = alert.labels.get("service"), alert.labels.get("env")
    same_env = or_(incidents.c.env.is_(None), incidents.c.env == env)
    nameless = and_(incidents.c.service.is_(None), same_env)
    place = nameless if service is None else and_(incidents.c.service == service, same_env)
    recent = and_(incidents.c.state == State.RESOLVED.value, incidents.c.resolved_at >= since)
    candidates = or_(
        and_(_LIVE, or_(place, incidents.c.id.in_(again | shared))), recent & incidents.c.id.in_(again)
    )
    rows = conn.execute(select(incidents).where(candidates).order_by(incidents.c.id)).all()
    names: set[int] = set()
    if service is None:
        for row in rows:
            named = and_(member.incident_id == row.id, member.alertname == alert.alertname)
            names |= set(_numbers(conn, named))
    return [
        Known(
            row.id,
            State(row.state),
            row.service,
            row.env,
            row.opened_at,
            row.resolved_at,
            frozenset((alert.fingerprint,) if row.id in again else ()),
            frozenset((alert.alertname,) if row.id in names else ()),
            frozenset((alert.group_key,) if row.id in shared and alert.group_key else ()),
        )
        for row in rows
    ]


def _numbers(conn: Connection, which: ColumnElement[bool]) -> list[int]:
    """The incidents with such a member; of very many like it, those of the newest few."""
    query = select(incident_alerts.c.incident_id).where(which)
    return list(conn.execute(query.order_by(incident_alerts.c.incident_id.desc()).limit(20)).scalars())


def _open(conn: Connection, now: datetime, runbook: Runbook, alert: Firing) -> Incident:
    labels = alert.labels
    acked = _acknowledgement(conn, alert)
    values = {
        "title": (alert.summary or alert.alertname)[:TITLE],
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
            group_key=alert.group_key,
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
