"""Proving that a way reaches somebody: a code is sent through it, and whoever got the code enters it.

Always true here: a code is kept as a hash, counts for ``CODE_LASTS`` and until ``ATTEMPTS`` wrong ones, and
is in no journal entry; a way is named by its address, so that another address is not verified; one that
nobody has verified is used all the same (tests/oncall/test_verification.py).

The message that carries the code waits in the outbox as it is: the store is readable to its owner alone.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from watchkeeper.notify.models import Kind, Notification
from watchkeeper.oncall.overrides import OnCallError
from watchkeeper.runbook.errors import nearest
from watchkeeper.runbook.models.people import Contact
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.ways import Way, ways
from watchkeeper.store import journal, outbox
from watchkeeper.store.canonical import storable
from watchkeeper.store.clock import to_us
from watchkeeper.store.models import contact_ways as table

CODE_LASTS = timedelta(minutes=15)
ATTEMPTS = 5
"""So many wrong codes, and those that were sent count no more."""
ASKED, VERIFIED, FAILED = "oncall.way_asked", "oncall.way_verified", "oncall.way_not_verified"
Verified = Mapping[tuple[str, str], datetime]
"""When a way (a contact's id and the way's name) was verified last; those that never were are not in it."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a code has verified: the names of the ways, none for a wrong one; ``left`` more may be tried."""

    ways: tuple[str, ...]
    left: int = ATTEMPTS


def find_contact(runbook: Runbook, contact_id: str) -> Contact:
    """The contact of that id. Raises :class:`OnCallError`."""
    found = runbook.contact(contact_id)
    if found is None:
        valid = [contact.id for contact in runbook.contacts]
        raise OnCallError(f"there is no contact `{contact_id}`: {nearest(contact_id, valid)}")
    return found


def ask(conn: Connection, now: datetime, runbook: Runbook, contact_id: str, actor: str) -> tuple[Way, ...]:
    """Send a code through every way to a contact, each another; codes sent before count no more.

    Part of the caller's transaction. Raises :class:`OnCallError` for somebody whom no way leads to.
    """
    contact = find_contact(runbook, contact_id)
    found = ways(runbook, contact)
    if not found:
        raise OnCallError(
            f"no receiver of the runbook leads to {contact.name}; give them receivers: [...], or an email "
            "and a receiver of the kind email. Nothing was sent."
        )
    for way, code in zip(found, _codes(), strict=False):
        values = {"code_hash": _hashed(code), "asked_at": now, "attempts": 0}
        mine = (table.c.contact == contact.id) & (table.c.way == way.name)
        if not conn.execute(update(table).where(mine).values(**values)).rowcount:
            conn.execute(insert(table).values(contact=contact.id, way=way.name, **values))
        _send(conn, now, way, _message(contact, way, now, code))
    names = [way.name for way in found]
    summary = f"{contact.name} is asked to confirm {', '.join(names)}"
    _record(conn, now, ASKED, actor, contact, summary, names)
    return found


def confirm(
    conn: Connection, now: datetime, runbook: Runbook, contact_id: str, code: str, actor: str
) -> Confirmation:
    """Take ``code``. A wrong one is counted, in the caller's transaction, which must not be undone for it.

    Raises :class:`OnCallError` where no code can be right: none was sent, or those that were count no more.
    """
    contact, given = find_contact(runbook, contact_id), re.sub(r"\s", "", code)
    if not re.fullmatch(r"[0-9]{6}", given):
        raise OnCallError("a code has six digits; nothing was changed")
    waiting = [row for row in _rows(conn, contact) if _counts(row, now)]
    if not waiting:
        raise OnCallError(
            f"no code for {contact.name} counts any more: they last {CODE_LASTS // timedelta(minutes=1)} "
            f"minutes and {ATTEMPTS} attempts; send others with `watchkeeper oncall verify {contact.id}`"
        )
    right = [row for row in waiting if _fits(given, row.code_hash)]
    for row in right:
        mine = (table.c.contact == contact.id) & (table.c.way == row.way)
        done = {"code_hash": None, "verified_at": now, "verified_by": storable(actor)}
        conn.execute(update(table).where(mine).values(**done))
        _close(conn, now, runbook, contact, row)
    names = [row.way for row in right]
    if names:
        _record(conn, now, VERIFIED, actor, contact, f"{', '.join(names)} reaches {contact.name}", names)
        return Confirmation(tuple(names))
    conn.execute(
        update(table)
        .where(table.c.contact == contact.id, table.c.way.in_([row.way for row in waiting]))
        .values(attempts=table.c.attempts + 1)
    )
    summary = f"a code that is not one of those sent to {contact.name} was entered"
    _record(conn, now, FAILED, actor, contact, summary, [row.way for row in waiting])
    return Confirmation((), left=ATTEMPTS - 1 - min(row.attempts for row in waiting))


def verified(conn: Connection) -> Verified:
    """Every way that was verified, and when it was last."""
    query = select(table).where(table.c.verified_at.is_not(None))
    return {(row.contact, row.way): row.verified_at for row in conn.execute(query)}


def _rows(conn: Connection, contact: Contact) -> list[Row[Any]]:
    query = select(table).where(table.c.contact == contact.id, table.c.code_hash.is_not(None))
    return list(conn.execute(query.order_by(table.c.way)))


def _counts(row: Row[Any], now: datetime) -> bool:
    return bool(row.attempts < ATTEMPTS and abs(now - row.asked_at) < CODE_LASTS)


def _codes() -> Iterator[str]:
    """Six digits each, none twice: a code says which way it came."""
    seen: set[str] = set()
    while True:
        code = f"{secrets.randbelow(10**6):06d}"
        if code not in seen:
            seen.add(code)
            yield code


def _hashed(code: str, salt: bytes | None = None) -> str:
    salt = salt or secrets.token_bytes(16)
    return f"{salt.hex()}:{hashlib.scrypt(code.encode(), salt=salt, n=2**14, r=8, p=1).hex()}"


def _fits(code: str, kept: str) -> bool:
    salt, _, _ = kept.partition(":")
    return hmac.compare_digest(_hashed(code, bytes.fromhex(salt)), kept)


def _message(contact: Contact, way: Way, asked_at: datetime, code: str | None) -> Notification:
    """The test message, or without a code its end."""
    minutes = CODE_LASTS // timedelta(minutes=1)
    name = hashlib.sha256(f"{contact.id}/{way.name}".encode()).hexdigest()[:16]
    key = f"watchkeeper/verify/{name}/{to_us(asked_at):x}"
    note = (
        f"the code is {code}; within {minutes} minutes: watchkeeper oncall verify {contact.id} --code {code}"
    )
    return Notification(
        kind=Kind.RESOLVE if code is None else Kind.TRIGGER,
        dedup_key=key,
        order_key=key,
        subject=f"contact:{contact.id}",
        alertname="WatchkeeperVerification",
        severity="test",
        summary=f"a test message, to verify that pages reach {contact.name} this way",
        starts_at=asked_at,
        note="" if code is None else note,
        to=way.to,
    )


def _send(conn: Connection, now: datetime, way: Way, message: Notification) -> None:
    outbox.enqueue(
        conn,
        now,
        way.receiver,
        message.order_key,
        message.dedup_key,
        message.to_json(),
        give_up_at=now + CODE_LASTS if message.kind is Kind.TRIGGER else None,
    )


def _close(conn: Connection, now: datetime, runbook: Runbook, contact: Contact, row: Row[Any]) -> None:
    """End the incident that the test message has opened at a pager."""
    for way in ways(runbook, contact):
        receiver = runbook.notifications.receiver(way.receiver)
        if way.name == row.way and receiver is not None and receiver.kind == "pagerduty":
            _send(conn, now, way, _message(contact, way, row.asked_at, None))


def _record(
    conn: Connection,
    now: datetime,
    kind: str,
    actor: str,
    contact: Contact,
    summary: str,
    names: Iterable[str],
) -> None:
    facts = {"summary": summary, "contact": contact.id, "ways": list(names)}
    journal.append(conn, now, kind, actor, f"contact:{contact.id}", facts)
