"""The openings and closings of maintenance windows in the journal.

Always true: each opening has one entry when it begins and one when it is over, whatever restarts lie between
them, because which windows the journal knows to be open is kept in the transaction that appends the entry. A
window that was open only while nobody evaluated hid nothing, and has neither
(tests/monitoring/test_maintenance.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from watchkeeper.monitoring.maintenance import PREFIX, Opening, open_windows
from watchkeeper.runbook.models.maintenance import MaintenanceWindow
from watchkeeper.store import journal
from watchkeeper.store.canonical import rfc3339
from watchkeeper.store.clock import from_us, to_us
from watchkeeper.store.models import section_state as table

SECTION = "maintenance"
ACTOR = "component:monitoring"
OPENED, CLOSED = "maintenance.opened", "maintenance.closed"


def settle(conn: Connection, now: datetime, windows: Sequence[MaintenanceWindow]) -> None:
    """Journal which of ``windows`` opened and closed up to ``now``, in the caller's transaction."""
    query = select(table.c.name, table.c.document).where(table.c.section == SECTION)
    known: dict[str, Any] = {row.name: row.document for row in conn.execute(query)}
    opened = {opening.window.id: opening for opening in open_windows(windows, now)}
    for name, document in known.items():
        opening = opened.get(name)
        if opening is not None and document["from_us"] == to_us(opening.start):
            if document != (fresh := _document(opening)):
                conn.execute(update(table).where(_row(name)).values(document=fresh))
            del opened[name]
        elif conn.execute(delete(table).where(_row(name))).rowcount:
            _closed(conn, now, name, document)
    for name, opening in opened.items():
        conn.execute(insert(table).values(section=SECTION, name=name, document=_document(opening)))
        until = opening.until
        facts = {
            "summary": f"the maintenance window {opening.window.title} is open until {until}",
            "from": rfc3339(opening.start),
            "until": rfc3339(opening.end),
            "match": list(opening.window.match),
            "reason": opening.window.reason,
        }
        journal.append(conn, now, OPENED, ACTOR, PREFIX + name, facts)


def _closed(conn: Connection, now: datetime, name: str, document: Any) -> None:
    until = from_us(document["until_us"])
    early = " early, because the runbook changed" if now < until else ""
    facts = {
        "summary": f"the maintenance window {document['title']} is over{early}; what still fires is told",
        "from": rfc3339(from_us(document["from_us"])),
        "until": rfc3339(min(now, until)),
    }
    journal.append(conn, now, CLOSED, ACTOR, PREFIX + name, facts)


def _document(opening: Opening) -> dict[str, Any]:
    return {
        "title": opening.window.title,
        "from_us": to_us(opening.start),
        "until_us": to_us(opening.end),
    }


def _row(name: str) -> Any:
    return (table.c.section == SECTION) & (table.c.name == name)
