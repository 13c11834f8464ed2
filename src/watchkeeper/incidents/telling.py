"""What receivers are told of an incident, through the outbox, in the transaction that changed it.

Always true here: everything said of one incident at one address has one key, so that Slack keeps it in one
thread and a mailbox in one conversation; reminders have keys of their own and end when what they ask for is
done (tests/incidents/test_telling.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, func, select

from watchkeeper.incidents import records
from watchkeeper.incidents.models import Incident, Recipient
from watchkeeper.notify.enqueue import enqueue_notification
from watchkeeper.notify.models import Kind, Notification, dedup_key, personal_key
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.ways import ways
from watchkeeper.store.clock import to_ms
from watchkeeper.store.models import outbox

ALERTNAME = "Incident"


def key_of(incident: Incident) -> str:
    """The receivers' key of the incident."""
    return dedup_key(f"incident/{incident.id}", f"{to_ms(incident.opened_at):x}")


def reminder_key(incident: Incident, clause: str) -> str:
    """The receivers' key of what is said of one of its deadlines."""
    return dedup_key(f"incident/{incident.id}/{clause}", f"{to_ms(incident.opened_at):x}")


def channel(runbook: Runbook) -> tuple[Recipient, ...]:
    """Where engineers read of an incident: the Slack receivers of the update's channel, else all of Slack."""
    slacks = [one for one in runbook.notifications.receivers if one.slack is not None]
    wanted = runbook.incidents.deadlines.update.channel.lstrip("#") if runbook.incidents else ""
    named = [one for one in slacks if one.slack and (one.slack.channel or "").lstrip("#") == wanted]
    return tuple(Recipient("", one.id) for one in named or slacks)


def person(runbook: Runbook, name: str) -> tuple[Recipient, ...]:
    """Every way to a contact of that id or name; none where the runbook has no such contact."""
    meant = name.casefold()
    for contact in runbook.contacts:
        if meant in (contact.id.casefold(), contact.name.casefold()):
            return tuple(Recipient(contact.id, way.receiver, way.to) for way in ways(runbook, contact))
    return ()


def tell_channel(
    conn: Connection, now: datetime, runbook: Runbook, incident: Incident, kind: Kind, note: str
) -> list[int]:
    """The channel hears how the incident stands now, and ``note`` as what changed; the outbox rows' ids."""
    return tell(conn, now, channel(runbook), notification(now, incident, kind, note))


def notification(
    now: datetime, incident: Incident, kind: Kind, note: str, *, audience: str = "engineers"
) -> Notification:
    """The incident as it stands, as a notification."""
    labels = {
        "incident": str(incident.id),
        "severity": incident.severity or "not set",
        "status": incident.status.value,
        "service": incident.service,
        "env": incident.env,
        "region": incident.region,
        "commander": incident.commander,
    }
    key = key_of(incident)
    return Notification(
        kind=kind,
        dedup_key=key,
        order_key=key,
        subject=incident.subject,
        alertname=ALERTNAME,
        severity=incident.severity or "incident",
        summary=f"Incident {incident.id}: {incident.title}",
        starts_at=incident.opened_at,
        ends_at=now if kind is Kind.RESOLVE else None,
        labels={name: value for name, value in labels.items() if value},
        annotations={"audience": audience},
        note=note,
        status=incident.status.value,
    )


def tell(conn: Connection, now: datetime, recipients: Iterable[Recipient], said: Notification) -> list[int]:
    """Put ``said`` in the outbox for each of ``recipients``, at their address; the rows' ids, in order."""
    found = []
    for one in recipients:
        mine = said
        if one.to is not None:
            key = personal_key(said.dedup_key, one.receiver, one.to)
            mine = replace(said, dedup_key=key, order_key=key, to=one.to)
        found += enqueue_notification(conn, now, [one.receiver], mine)
    return found


def remind(
    conn: Connection,
    now: datetime,
    incident: Incident,
    clause: str,
    recipients: Sequence[Recipient],
    summary: str,
    severity: str,
) -> None:
    """Somebody is asked for something; ``severity`` is ``page`` where they are to be woken for it."""
    base = notification(now, incident, Kind.TRIGGER, summary)
    key = reminder_key(incident, clause)
    said = replace(
        base,
        dedup_key=key,
        order_key=key,
        alertname="IncidentDeadline",
        severity=severity,
        clause=clause,
        summary=summary,
        note="",
        status=None,
    )
    tell(conn, now, recipients, said)


def end_reminders(conn: Connection, now: datetime, incident: Incident, clause: str | None = None) -> None:
    """What was asked for is done: whoever was told so hears that it is over."""
    for name in [clause] if clause else _REMINDED:
        _end(conn, now, reminder_key(incident, name))


_REMINDED = ("incidents.triage", "incidents.update", "incidents.communicate")


def _end(conn: Connection, now: datetime, key: str) -> None:
    mine = (outbox.c.dedup_key == key) | outbox.c.dedup_key.startswith(f"{key}/to/", autoescape=True)
    newest = select(func.max(outbox.c.id)).where(mine).group_by(outbox.c.receiver, outbox.c.dedup_key)
    for row in conn.execute(select(outbox).where(outbox.c.id.in_(newest)).order_by(outbox.c.id)).all():
        said = Notification.from_json(row.payload)
        if said.kind is not Kind.RESOLVE:
            over = replace(said, kind=Kind.RESOLVE, ends_at=now, note="done")
            enqueue_notification(conn, now, [row.receiver], over)


def stakeholders_told(conn: Connection, number: int) -> bool:
    """Whether an update of the incident went to a stakeholder."""
    return any(one.whom for update in records.updates(conn, number) for one in update.told)
