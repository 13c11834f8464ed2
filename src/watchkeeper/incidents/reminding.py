"""Who hears of a deadline that runs out, and of one that was missed. In the caller's transaction.

Always true here: a warning goes to whoever leads the incident, else to whoever is on call; a missed deadline
is escalated once, to them, to whoever is next and to the channel, and the next update's begins; where no way
leads to any of them that is in the journal and in the log (tests/incidents/test_reminding.py).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from watchkeeper.incidents import clocks, records, telling
from watchkeeper.incidents.models import SYSTEM, FollowUp, Incident, NoSuchIncidentError, Recipient
from watchkeeper.incidents.policy import section
from watchkeeper.notify.models import Kind, Notification, dedup_key
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import journal
from watchkeeper.store.clock import to_ms
from watchkeeper.store.deadlines import Deadline, Event

log = logging.getLogger(__name__)
_WAKES = (clocks.TRIAGE, clocks.UPDATE, clocks.COMMUNICATE)


@dataclass(frozen=True, slots=True)
class People:
    """Contacts by id: who has the watch now, and who takes over next."""

    on_call: tuple[str, ...] = ()
    next: tuple[str, ...] = ()


def hear(
    conn: Connection, now: datetime, runbook: Runbook, deadline: Deadline, event: Event, people: People
) -> None:
    """What ``event`` means for those who can still do something. Other subjects' mean nothing."""
    kind, _, name = deadline.subject.partition(":")
    if event is Event.MOVED or not name.isdigit():
        return
    if kind == "incident":
        try:
            incident = records.load(conn, int(name))
        except NoSuchIncidentError:  # the store was cut down by hand; the verdict stands all the same
            return
        _of_incident(conn, now, runbook, incident, deadline, event, people)
    elif kind == "follow-up":
        _of_follow_up(conn, now, runbook, int(name), deadline, event)


def _of_incident(
    conn: Connection,
    now: datetime,
    runbook: Runbook,
    incident: Incident,
    deadline: Deadline,
    event: Event,
    people: People,
) -> None:
    leads = telling.person(runbook, incident.commander) if incident.commander else ()
    watch = _ways(runbook, people.on_call)
    severity = _severity(runbook, incident, deadline, event)
    if event is Event.WARNED:
        left = _words((deadline.due_at - now).total_seconds())
        said = f"{deadline.title}: {left} left"
        _remind(conn, now, runbook, incident, deadline, leads or watch, said, severity)
    elif event is Event.MISSED:
        said = f"{deadline.title}: MISSED"
        told = (*leads, *watch, *_ways(runbook, people.next), *telling.channel(runbook))
        _remind(conn, now, runbook, incident, deadline, tuple(dict.fromkeys(told)), said, severity)
    if deadline.clause == clocks.UPDATE and event in (Event.MISSED, Event.WAIVED):
        clocks.keep_updating(conn, now, section(runbook), incident, SYSTEM)


def _remind(
    conn: Connection,
    now: datetime,
    runbook: Runbook,
    incident: Incident,
    deadline: Deadline,
    wanted: tuple[Recipient, ...],
    said: str,
    severity: str,
) -> None:
    recipients = _each_once(wanted or telling.channel(runbook))
    if not recipients:
        log.error("INCIDENT %s: %s; no receiver of the runbook leads to anybody", incident.id, said)
    telling.remind(conn, now, incident, deadline.clause, recipients, said, severity)
    whom = ", ".join(dict.fromkeys(one.whom or one.receiver for one in recipients)) or "NOBODY can be reached"
    facts = {
        "summary": f"{said}; told: {whom}",
        "deadline": deadline.id,
        "ways": [[one.whom, one.receiver, one.to] for one in recipients],
    }
    kind = "incident.reminded" if severity != "page" else "incident.escalated"
    journal.append(conn, now, kind, SYSTEM.actor, incident.subject, facts)


def _severity(runbook: Runbook, incident: Incident, deadline: Deadline, event: Event) -> str:
    """``page`` for what somebody is woken for: a missed clock of an incident whose severity pages."""
    levels = {level.id: level.pages for level in section(runbook).severities}
    wakes = incident.live and deadline.clause in _WAKES and levels.get(incident.severity or "", True)
    return "page" if event is Event.MISSED and wakes else "warn"


def _of_follow_up(
    conn: Connection, now: datetime, runbook: Runbook, number: int, deadline: Deadline, event: Event
) -> None:
    known = [one for one in records.follow_ups_of(conn, undone=True) if one.id == number]
    if event is Event.WAIVED or not known:
        return
    one = known[0]
    when = "overdue" if event is Event.MISSED else f"due {deadline.due_at:%Y-%m-%d}"
    recipients = _each_once(telling.person(runbook, one.owner or "") or telling.channel(runbook))
    telling.tell(conn, now, recipients, _follow_up_said(one, deadline, f"{deadline.title} is {when}"))
    facts = {
        "summary": f"{one.owner or 'nobody'} is reminded: {one.title} is {when}",
        "ways": [[way.whom, way.receiver, way.to] for way in recipients],
    }
    if not recipients:
        log.error("%s is %s; no receiver of the runbook leads to its owner", deadline.title, when)
    journal.append(conn, now, "follow_up.reminded", SYSTEM.actor, deadline.subject, facts)


def _follow_up_said(one: FollowUp, deadline: Deadline, summary: str) -> Notification:
    key = dedup_key(deadline.subject, f"{to_ms(one.created_at):x}")
    return Notification(
        kind=Kind.TRIGGER,
        dedup_key=key,
        order_key=key,
        subject=deadline.subject,
        alertname="FollowUp",
        severity="warn",
        summary=summary,
        starts_at=one.created_at,
        clause=deadline.clause,
        labels={"incident": str(one.incident_id), "owner": one.owner or "nobody"},
    )


def _ways(runbook: Runbook, contacts: Iterable[str]) -> tuple[Recipient, ...]:
    return tuple(way for name in contacts for way in telling.person(runbook, name))


def _each_once(recipients: Iterable[Recipient]) -> tuple[Recipient, ...]:
    found: dict[tuple[str, str | None], Recipient] = {}
    for one in recipients:
        found.setdefault((one.receiver, one.to), one)
    return tuple(found.values())


def _words(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 120 else f"{round(minutes / 60)} h"
