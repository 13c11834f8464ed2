"""Updates: one text, in the words of each audience, sent to its stakeholders and kept.

Always true here: what people wrote is put into the runbook's templates as text, never read as a template or
markup; an update, the words each audience was told, the outbox rows and the deadlines that it meets are one
transaction (tests/incidents/test_updates.py).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import Connection, insert

from watchkeeper.incidents import clocks, records, telling
from watchkeeper.incidents.models import (
    Author,
    Incident,
    IncidentError,
    Message,
    Recipient,
    State,
    Status,
    Told,
    Update,
)
from watchkeeper.incidents.policy import section
from watchkeeper.notify.models import Kind
from watchkeeper.runbook.models.incidents import Audience, Stakeholder
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store.models import incident_updates

ENGINEERS = "engineers"
_HOLE = re.compile(r"\{\{\s*([a-z_]+)\s*\}\}(\.?)")
LONGEST = 4000


def audiences(runbook: Runbook) -> tuple[tuple[str, str], ...]:
    """Id and title of everybody who can be spoken to, engineers first."""
    known = tuple((one.id, one.title) for one in section(runbook).audiences)
    return known if ENGINEERS in dict(known) else ((ENGINEERS, "Engineers"), *known)


def words(template: str, values: Mapping[str, str]) -> str:
    """``template`` with its holes filled, once; a hole that nothing fills reads as ``unknown``.

    A sentence that ends with its own mark gets no second one.
    """

    def fill(hole: re.Match[str]) -> str:
        text = values.get(hole.group(1), "") or "unknown"
        return text if text.endswith((".", "!", "?")) else text + hole.group(2)

    return _HOLE.sub(fill, template)


def preview(
    runbook: Runbook,
    incident: Incident,
    now: datetime,
    *,
    status: Status,
    impact: str,
    eta: str = "",
    note: str = "",
    next_update_at: datetime | None = None,
) -> tuple[Message, ...]:
    """What each audience would be told, and where."""
    incidents = section(runbook)
    values = {
        "incident": str(incident.id),
        "title": incident.title,
        "severity": incident.severity or "severity not set",
        "status": status.value,
        "impact": impact.strip(),
        "eta": eta.strip(),
        "note": note.strip(),
        "next_update": _moment(next_update_at or _next_update(runbook, incident, status, now)),
    }
    found = [_message(runbook, incident, audience, values) for audience in incidents.audiences]
    if all(one.audience != ENGINEERS for one in found):
        text = words(
            "{{ status }}. Impact: {{ impact }}. ETA: {{ eta }}. Next update: {{ next_update }}.", values
        )
        found.insert(0, Message(ENGINEERS, "Engineers", "\n".join([text, note.strip()]).strip(), ()))
    first = next(one for one in found if one.audience == ENGINEERS)
    into = tuple(dict.fromkeys((*telling.channel(runbook), *first.recipients)))
    return tuple(replace(one, recipients=into) if one is first else one for one in found)


def post_update(
    conn: Connection,
    now: datetime,
    runbook: Runbook,
    number: int,
    by: Author,
    *,
    status: Status,
    impact: str,
    eta: str = "",
    note: str = "",
    next_update_at: datetime | None = None,
    to: Collection[str] | None = None,
    said: Mapping[str, str] | None = None,
    revision: int | None = None,
) -> Update:
    """Say how it stands. ``to``: only these audiences (None: all); ``said``: other words for some of them.

    The incident takes status, impact and ETA from it. A resolved incident may still be spoken of.
    """
    incident = records.load(conn, number, lock=True)
    if incident.state in (State.CLOSED, State.MERGED):
        raise IncidentError(f"incident {number} is {incident.state.value}; reopen it to post an update")
    records.check_revision(conn, incident, revision)
    _check(incident, now, status, (impact, eta, note, *(said or {}).values()), next_update_at)
    messages = preview(
        runbook,
        incident,
        now,
        status=status,
        impact=impact,
        eta=eta,
        note=note,
        next_update_at=next_update_at,
    )
    known = {one.audience for one in messages}
    strangers = sorted({*(to or ()), *(said or {})} - known)
    if strangers:
        raise IncidentError(
            f"there is no audience {strangers[0]!r}; the runbook has {', '.join(sorted(known))}"
        )
    chosen = [one for one in messages if to is None or one.audience in to]
    chosen = [replace(one, text=(said or {}).get(one.audience, one.text).strip()) for one in chosen]
    upcoming = next_update_at or _next_update(runbook, incident, status, now)
    incident = records.change(
        conn,
        now,
        incident,
        by,
        "updated",
        f"{by.name}: {status.value}" + (f". {impact.strip()}" if impact.strip() else ""),
        revision=revision,
        facts={
            "status": status.value,
            "impact": impact.strip(),
            "eta": eta.strip(),
            "note": note.strip(),
            "next_update_at": upcoming,
            "said": {one.audience: one.text for one in chosen},
        },
        status=status.value,
        impact=impact.strip() or incident.impact,
        eta=eta.strip(),
    )
    told = _tell(conn, now, incident, chosen)
    values = {
        "incident_id": number,
        "at": now,
        "by": by.name,
        "status": status.value,
        "severity": incident.severity,
        "impact": impact.strip(),
        "eta": eta.strip(),
        "note": note.strip(),
        "next_update_at": upcoming,
        "said": {one.audience: one.text for one in chosen},
        "told": [[one.audience, one.whom, one.receiver, one.to, one.outbox_id] for one in told],
    }
    conn.execute(insert(incident_updates).values(**records.clean(values)))
    heard = any(one.whom for one in told)
    clocks.updated(conn, now, runbook, incident, by, told=heard)
    for clause in (clocks.UPDATE, clocks.COMMUNICATE) if heard else (clocks.UPDATE,):
        telling.end_reminders(conn, now, incident, clause)
    return records.updates(conn, number)[0]


def _tell(conn: Connection, now: datetime, incident: Incident, messages: list[Message]) -> list[Told]:
    """Everybody once, in the words of the first audience that means them."""
    told: list[Told] = []
    reached: set[tuple[str, str | None]] = set()
    kind = Kind.RESOLVE if incident.status is Status.RESOLVED else Kind.TRIGGER
    for message in messages:
        said = telling.notification(now, incident, kind, message.text, audience=message.audience)
        for one in message.recipients:
            if (one.receiver, one.to) in reached:
                continue
            reached.add((one.receiver, one.to))
            (row,) = telling.tell(conn, now, [one], said)
            told.append(Told(message.audience, one.whom, one.receiver, one.to, row))
    return told


def _check(
    incident: Incident,
    now: datetime,
    status: Status,
    texts: tuple[str, ...],
    next_update_at: datetime | None,
) -> None:
    if any(len(text) > LONGEST for text in texts):
        raise IncidentError(f"a text of an update is at most {LONGEST} characters; nothing was sent")
    if next_update_at is not None and next_update_at <= now:
        raise IncidentError("the next update is to come later than now; nothing was sent")
    if status is Status.RESOLVED and incident.live:
        raise IncidentError("resolve the incident first; until then nobody is told that it is over")


def _message(runbook: Runbook, incident: Incident, audience: Audience, values: Mapping[str, str]) -> Message:
    known = {one.id: one for one in section(runbook).stakeholders}
    recipients: list[Recipient] = []
    unreachable = []
    for name in audience.stakeholders:
        who = known[name]
        if who.severities and incident.severity not in who.severities:
            continue
        found = stakeholder(runbook, who)
        recipients += found
        unreachable += [] if found else [who.title]
    text = words(audience.template, values)
    return Message(audience.id, audience.title, text, tuple(dict.fromkeys(recipients)), tuple(unreachable))


def stakeholder(runbook: Runbook, who: Stakeholder) -> tuple[Recipient, ...]:
    """Every way to a stakeholder."""
    own = [Recipient(who.id, name) for name in who.receivers]
    people = [replace(way, whom=who.id) for name in who.contacts for way in telling.person(runbook, name)]
    return tuple(dict.fromkeys((*own, *people)))


def _next_update(runbook: Runbook, incident: Incident, status: Status, now: datetime) -> datetime | None:
    incidents = section(runbook)
    if status is Status.RESOLVED or not clocks.wants_updates(incidents, incident.severity):
        return None
    return now + incidents.deadlines.update.every


def _moment(moment: datetime | None) -> str:
    return "when there is news" if moment is None else f"{moment.astimezone(UTC):%H:%M} UTC"
