"""Sign-ins that failed, counted in the store and told in the journal.

Always true here: however many fail, the journal gets few entries: the first of a streak, a block when it
begins and whenever its count has doubled; once more than 50 streaks began within 15 min one entry for all of
them, and then only blocks of names that somebody has; the table keeps at most 20,000 streaks, the longest
ones (tests/access/test_failures.py).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, select, update

from watchkeeper.access import throttle
from watchkeeper.access.models import COMPONENT, printable
from watchkeeper.access.throttle import Failures
from watchkeeper.store import journal
from watchkeeper.store.models import sign_in_failures as table

STREAKS_TOLD = 50
MOST_STREAKS = 20_000
UNKNOWN = "user:?"
"""The journal's subject for every name that nobody has: what was typed there may be a password."""


def waiting(conn: Connection, now: datetime, username: str, known: bool, address: str) -> timedelta:
    """How long until a sign-in with that name from that address is looked at; zero when it is now."""
    keys = (throttle.name_key(username, known), throttle.address_key(address))
    return max(throttle.wait(_load(conn, key), now) for key in keys)


def record(conn: Connection, now: datetime, username: str, known: bool, address: str) -> None:
    """Count a failure for the name and for the address, and tell the journal what is worth telling."""
    begun = _begun(conn, now)
    by_name = _count(conn, now, throttle.name_key(username, known), throttle.FREE_FOR_NAME)
    by_address = _count(conn, now, throttle.address_key(address), throttle.FREE_FOR_ADDRESS)
    flood = begun + (by_name.failures == 1) + (by_address.failures == 1) > STREAKS_TOLD
    subject, whom = (f"user:{username}", username) if known else (UNKNOWN, "a name that nobody has")
    facts = {"address": printable(address, throttle.LONGEST_KEY)}
    if flood and begun <= STREAKS_TOLD:
        say = f"more than {STREAKS_TOLD} streaks of failing sign-ins began within 15 min; not told one by one"
        journal.append(conn, now, "access.sign_in_flood", COMPONENT, "sign-in", {"summary": say})
    elif not flood and by_name.failures == 1:
        say = f"a sign-in as {whom} failed"
        journal.append(conn, now, "access.sign_in_failed", COMPONENT, subject, {"summary": say, **facts})
    if (known or not flood) and throttle.is_told(by_name.failures, throttle.FREE_FOR_NAME):
        _blocked(conn, by_name, subject, f"for {whom}", facts)
    if not flood and throttle.is_told(by_address.failures, throttle.FREE_FOR_ADDRESS):
        _blocked(conn, by_address, throttle.address_key(address), f"from {facts['address']}", facts)


def forget(conn: Connection, username: str) -> None:
    """End the streak of a name: its owner signed in. The address keeps its own, or else a guesser with an
    account would wipe it out."""
    conn.execute(delete(table).where(table.c.key == throttle.name_key(username, known=True)))


def _blocked(conn: Connection, streak: Failures, subject: str, where: str, facts: dict[str, str]) -> None:
    assert streak.blocked_until is not None
    seconds = round((streak.blocked_until - streak.last_at).total_seconds())
    say = f"{streak.failures} sign-ins in a row failed {where}; the next is looked at after {seconds} s"
    document = {"summary": say, "failures": streak.failures, "wait_seconds": seconds, **facts}
    journal.append(conn, streak.last_at, "access.sign_in_blocked", COMPONENT, subject, document)


def _load(conn: Connection, key: str) -> Failures | None:
    row = conn.execute(select(table).where(table.c.key == key)).first()
    return Failures(row.failures, row.first_at, row.last_at, row.blocked_until) if row else None


def _count(conn: Connection, now: datetime, key: str, free: int) -> Failures:
    after = throttle.failed(_load(conn, key), now, free)
    values = {
        "failures": after.failures,
        "first_at": after.first_at,
        "last_at": after.last_at,
        "blocked_until": after.blocked_until,
    }
    if not conn.execute(update(table).where(table.c.key == key).values(**values)).rowcount:
        _make_room(conn)
        conn.execute(insert(table).values(key=key, **values))
    return after


def _begun(conn: Connection, now: datetime) -> int:
    """How many streaks began within the last 15 min."""
    query = select(func.count()).select_from(table).where(table.c.first_at > now - throttle.WINDOW)
    return int(conn.execute(query).scalar_one())


def _make_room(conn: Connection) -> None:
    """Drop a tenth where the table is full: the shortest streaks, so that a flood of names saves no name."""
    if conn.execute(select(func.count()).select_from(table)).scalar_one() < MOST_STREAKS:
        return
    shortest = select(table.c.key).order_by(table.c.failures, table.c.last_at).limit(MOST_STREAKS // 10)
    conn.execute(delete(table).where(table.c.key.in_(shortest)))
