"""What a receiver must know of an incident to speak of it again: where its message stands, for Slack.

Always true here (tests/notify/test_memory.py, test_slack_delivery.py): it is written in the transaction that
settles the attempt which learned it, so a restart loses nothing that was settled; what is over is forgotten
``KEEP_OVER`` after it ended, and what never ended ``KEEP_SILENT`` after the last word about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from watchkeeper.store.canonical import rfc3339
from watchkeeper.store.models import section_state

SECTION = "notify"
KEEP_OVER = timedelta(days=7)
KEEP_SILENT = timedelta(days=90)
_PREFIX = "incident/"


def load(conn: Connection, receiver: str, dedup_key: str) -> dict[str, Any] | None:
    """What ``receiver`` keeps of the incident; None when that is nothing."""
    query = select(section_state.c.document).where(
        section_state.c.section == SECTION, section_state.c.name == _name(receiver, dedup_key)
    )
    document = conn.execute(query).scalar()
    return None if document is None else dict(document["kept"])


def save(
    conn: Connection, now: datetime, receiver: str, dedup_key: str, kept: Mapping[str, Any], *, over: bool
) -> None:
    """Keep it, in the caller's transaction. ``over``: the incident has ended."""
    name = _name(receiver, dedup_key)
    _forget(conn, name)
    document = {"kept": dict(kept), "at": rfc3339(now), "over": over}
    conn.execute(insert(section_state).values(section=SECTION, name=name, document=document))


def outdated(conn: Connection, now: datetime) -> list[str]:
    """The names of what need not be kept any longer, for :func:`prune`."""
    query = select(section_state.c.name, section_state.c.document).where(
        section_state.c.section == SECTION, section_state.c.name.startswith(_PREFIX, autoescape=True)
    )
    return [row.name for row in conn.execute(query) if _is_outdated(row.document, now)]


def prune(conn: Connection, names: list[str], now: datetime) -> None:
    """Forget those of ``names`` that are still outdated: an incident may have begun again meanwhile."""
    still = set(outdated(conn, now))
    for name in names:
        if name in still:
            _forget(conn, name)


def _is_outdated(document: Mapping[str, Any], now: datetime) -> bool:
    keep = KEEP_OVER if document["over"] else KEEP_SILENT
    return datetime.fromisoformat(document["at"]) < now - keep


def _name(receiver: str, dedup_key: str) -> str:
    return f"{_PREFIX}{receiver}/{dedup_key}"


def _forget(conn: Connection, name: str) -> None:
    conn.execute(
        delete(section_state).where(section_state.c.section == SECTION, section_state.c.name == name)
    )
