"""One-time links: the first admin's way in, and that of whoever has no password yet or forgot it.

Always true here: a link lets in once, also when two processes try at the same moment; a newer link for the
same person replaces the unused one; the first admin's link lets nobody in once there is an admin
(tests/access/test_links.py).

Opening a link must not use it, because mail programs open links to look at them: show a page at ``peek``,
and ``use`` when its button is pressed. Use it in the transaction that opens the session (and, for the first
admin, makes the account): where that fails, the link is as good as before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from watchkeeper.access import opaque
from watchkeeper.access.models import COMPONENT, AccessError, Role
from watchkeeper.store import journal
from watchkeeper.store.canonical import rfc3339
from watchkeeper.store.clock import Clock
from watchkeeper.store.database import Store
from watchkeeper.store.models import sign_in_links as table
from watchkeeper.store.models import users

LIFETIME = timedelta(minutes=30)
FIRST_LIFETIME = timedelta(hours=24)
LONGEST = timedelta(days=7)
FIRST = "link:first-admin"
"""The journal's subject for a link that is for no account yet."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link that can be used. ``user_id`` is ``None`` for the first admin's, whose account is yet to be made
    with ``role``; else ``role`` is the user's own."""

    user_id: int | None
    username: str | None
    role: Role
    created_at: datetime
    created_by: str
    expires_at: datetime


def create(
    conn: Connection,
    now: datetime,
    *,
    user: int | None,
    role: Role,
    by: str,
    lifetime: timedelta = LIFETIME,
) -> str:
    """Make a link for the account with id ``user`` (``None``: the first admin); its token, shown once.

    Raises :class:`AccessError` for an account that is disabled or gone, and for a lifetime over 7 days.
    """
    if not timedelta(0) < lifetime <= LONGEST:
        raise AccessError(f"a link is good for at most {LONGEST.days} days")
    subject, whom = FIRST, "whoever becomes the first admin"
    if user is not None:
        account = conn.execute(select(users).where(users.c.id == user)).first()
        if account is None:
            raise AccessError(f"there is no user with the id {user}")
        if account.disabled_at is not None:
            raise AccessError(f"{account.username} is disabled; enable the account first")
        subject, whom = f"user:{account.username}", account.username
    replaced = withdraw(conn, user)
    token = opaque.new()
    expires_at = now + lifetime
    conn.execute(
        insert(table).values(
            token_hash=opaque.digest(token),
            user_id=user,
            role=Role(role).value,
            created_at=now,
            created_by=by,
            expires_at=expires_at,
        )
    )
    facts = {
        "summary": f"a one-time link was made for {whom}",
        "expires_at": rfc3339(expires_at),
        "replaced": replaced,
    }
    journal.append(conn, now, "access.link_made", by, subject, facts)
    return token


def peek(conn: Connection, now: datetime, token: str) -> Link | None:
    """What the link is for, without using it; ``None`` where it would not let anybody in."""
    hashed = opaque.digest(token)
    if hashed is None:
        return None
    query = (
        select(table, users.c.username, users.c.role.label("own_role"), users.c.disabled_at)
        .outerjoin(users, users.c.id == table.c.user_id)
        .where(table.c.token_hash == hashed, table.c.used_at.is_(None), table.c.expires_at > now)
    )
    row = conn.execute(query).first()
    if row is None or row.disabled_at is not None or (row.user_id is None and has_admin(conn)):
        return None
    return _link(row)


def use(conn: Connection, now: datetime, token: str) -> Link | None:
    """Use the link, for good once the transaction is committed; ``None`` where it lets nobody in."""
    link = peek(conn, now, token)
    if link is None:
        return None
    unused = (table.c.token_hash == opaque.digest(token)) & table.c.used_at.is_(None)
    if conn.execute(update(table).where(unused).values(used_at=now)).rowcount != 1:
        return None
    who = link.username
    actor, subject = (COMPONENT, FIRST) if who is None else (f"person:{who}", f"user:{who}")
    facts = {
        "summary": f"the one-time link for {who or 'the first admin'} was used",
        "made_by": link.created_by,
    }
    journal.append(conn, now, "access.link_used", actor, subject, facts)
    return link


def withdraw(conn: Connection, user: int | None) -> int:
    """Make the unused links of a user (``None``: of the first admin) worthless; how many there were."""
    mine = table.c.user_id.is_(None) if user is None else table.c.user_id == user
    return conn.execute(delete(table).where(mine, table.c.used_at.is_(None))).rowcount


def has_admin(conn: Connection) -> bool:
    """Whether there is an admin who may sign in."""
    query = select(users.c.id).where(users.c.role == Role.ADMIN.value, users.c.disabled_at.is_(None))
    return conn.execute(query.limit(1)).first() is not None


def first_admin(store: Store, clock: Clock) -> str | None:
    """The token of a new link for the first admin, good for 24 h; ``None`` where there is an admin already.

    Links of before that were not used are worthless then. The token is for the terminal of whoever started
    Watchkeeper, never for a log.
    """
    with store.write() as conn:
        if has_admin(conn):
            return None
        return create(conn, clock.now(), user=None, role=Role.ADMIN, by=COMPONENT, lifetime=FIRST_LIFETIME)


def _link(row: Any) -> Link:
    return Link(
        user_id=row.user_id,
        username=row.username,
        role=Role(row.own_role or row.role),
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
    )
