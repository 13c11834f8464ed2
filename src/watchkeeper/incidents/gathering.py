"""Which alerts an incident is made of: opened, joined, merged and split. In the caller's transaction.

Always true here: an episode of an alert belongs to at most one incident; an incident that was merged keeps
its number and its journal, and says where it went (tests/incidents/test_gathering.py).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, update

from watchkeeper.incidents import clocks, records, telling
from watchkeeper.incidents.models import (
    Author,
    Incident,
    IncidentError,
    State,
    Status,
)
from watchkeeper.incidents.policy import section
from watchkeeper.notify.models import Kind
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import journal
from watchkeeper.store.models import follow_ups, incident_alerts, incidents


def open_by_hand(
    conn: Connection,
    now: datetime,
    runbook: Runbook,
    by: Author,
    title: str,
    *,
    severity: str | None = None,
    service: str | None = None,
    env: str | None = None,
    region: str | None = None,
    impact: str = "",
    scope: str = "",
) -> Incident:
    """Somebody noticed it before a signal did. They have it, and lead it."""
    known = [level.id for level in section(runbook).severities]
    if severity is not None and severity not in known:
        raise IncidentError(f"there is no severity {severity!r} in the runbook; it has {', '.join(known)}")
    if not title.strip():
        raise IncidentError("an incident needs a title; nothing was opened")
    values = {
        "title": title.strip(),
        "service": service,
        "env": env,
        "region": region,
        "impact": impact.strip(),
        "scope": scope.strip(),
        "severity": severity,
        "triaged_at": now if severity else None,
        "acknowledged_at": now,
        "acknowledged_by": by.name,
        "commander": by.name,
        "detected_at": now,
    }
    evidence = [(clocks.TRIAGE, "met")] if severity else []
    incident = open_incident(conn, now, by, f"{by.name} opened it: {title.strip()}", values, evidence)
    clocks.opened(conn, now, section(runbook), incident)
    if severity:
        clocks.triaged(conn, now, runbook, incident, by, told=False)
    telling.tell_channel(conn, now, runbook, incident, Kind.TRIGGER, f"opened by {by.name}")
    return incident


def open_incident(
    conn: Connection,
    now: datetime,
    by: Author,
    summary: str,
    values: dict[str, Any],
    evidence: Collection[tuple[str, str]] = (),
) -> Incident:
    """A new row and its entry."""
    blank: dict[str, Any] = {
        "state": State.OPEN.value,
        "severity": None,
        "scope": "",
        "impact": "",
        "status": Status.INVESTIGATING.value,
        "eta": "",
        "public": 0,
        "components": [],
        "opened_at": now,
        "opened_by": by.name,
        "document": {"sections": {}, "key_events": [], "left_out": []},
        "threads": {},
        "revision": 1,
    }
    key = conn.execute(insert(incidents).values(**{**blank, **values})).inserted_primary_key
    assert key is not None
    incident = records.load(conn, int(key[0]))
    names = ("title", "service", "env", "region", "severity", "detected_at")
    facts = {"summary": summary, "revision": 1, **{name: getattr(incident, name) for name in names}}
    journal.append(conn, now, "incident.opened", by.actor, incident.subject, facts, tuple(evidence))
    return incident


def merge(
    conn: Connection,
    now: datetime,
    runbook: Runbook,
    number: int,
    by: Author,
    into: int,
    *,
    revision: int | None = None,
) -> Incident:
    """Incident ``number`` is part of ``into``: its alerts and follow-ups go there. The incident ``into``."""
    if number == into:
        raise IncidentError("an incident is not merged into itself; nothing was changed")
    first, second = (records.load(conn, one, lock=True) for one in sorted((number, into)))
    source, target = (first, second) if first.id == number else (second, first)
    records.check_revision(conn, source, revision)
    for one in (source, target):
        if one.state in (State.CLOSED, State.MERGED):
            raise IncidentError(f"incident {one.id} is {one.state.value}; nothing was merged")
    if source.live and not target.live:
        raise IncidentError(f"incident {into} is resolved and {number} is not; reopen {into} first")
    alerts = records.joined(conn, number)
    conn.execute(
        update(incident_alerts)
        .where(incident_alerts.c.incident_id == number)
        .values(incident_id=into, because=f"it came with incident {number}, merged by {by.name}")
    )
    conn.execute(update(follow_ups).where(follow_ups.c.incident_id == number).values(incident_id=into))
    source = records.change(
        conn,
        now,
        source,
        by,
        "merged",
        f"{by.name} merged it into incident {into}",
        facts={"into": into},
        state=State.MERGED.value,
        merged_into=into,
    )
    clocks.merged(conn, now, source, by)
    telling.tell_channel(
        conn, now, runbook, source, Kind.RESOLVE, f"merged into incident {into} by {by.name}"
    )
    telling.end_reminders(conn, now, source)
    return records.change(
        conn,
        now,
        target,
        by,
        "joined",
        f"{by.name} merged incident {number} into it, with {len(alerts)} alert(s)",
        facts={"from": number, "alerts": [one.fingerprint for one in alerts]},
        detected_at=min(target.detected_at, source.detected_at),
    )


def split(
    conn: Connection,
    now: datetime,
    runbook: Runbook,
    number: int,
    by: Author,
    alerts: Collection[tuple[str, str]],
    title: str,
    *,
    revision: int | None = None,
) -> Incident:
    """The alerts (fingerprint and episode) of incident ``number`` become one of their own: that one."""
    source = records.load(conn, number, lock=True)
    records.check_revision(conn, source, revision)
    if source.state in (State.CLOSED, State.MERGED):
        raise IncidentError(f"incident {number} is {source.state.value}; nothing was split")
    every = records.joined(conn, number)
    chosen = [one for one in every if (one.fingerprint, one.episode) in set(alerts)]
    if not chosen or len(chosen) != len(set(alerts)):
        raise IncidentError(f"name alerts of incident {number}; nothing was split")
    if len(chosen) == len(every):
        raise IncidentError(f"that is all of incident {number}; leave it one alert, or rename it")
    if not title.strip():
        raise IncidentError("the new incident needs a title; nothing was split")
    labels = chosen[0].labels
    values = {
        "title": title.strip(),
        "service": labels.get("service", source.service),
        "env": labels.get("env", source.env),
        "region": labels.get("region", source.region),
        "commander": by.name,
        "acknowledged_at": now,
        "acknowledged_by": by.name,
        "detected_at": min(one.active_at or one.joined_at for one in chosen),
    }
    new = open_incident(conn, now, by, f"{by.name} split it from incident {number}: {title.strip()}", values)
    for one in chosen:
        mine = (
            (incident_alerts.c.incident_id == number)
            & (incident_alerts.c.fingerprint == one.fingerprint)
            & (incident_alerts.c.episode == one.episode)
        )
        because = f"{by.name} split it from incident {number}"
        conn.execute(update(incident_alerts).where(mine).values(incident_id=new.id, because=because))
    names = ", ".join(one.alertname for one in chosen)
    records.change(
        conn,
        now,
        source,
        by,
        "split",
        f"{by.name} split {names} into incident {new.id}",
        facts={"into": new.id, "alerts": [one.fingerprint for one in chosen]},
    )
    clocks.opened(conn, now, section(runbook), new)
    telling.tell_channel(conn, now, runbook, new, Kind.TRIGGER, f"split from incident {number} by {by.name}")
    return new
