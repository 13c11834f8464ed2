"""Sessions of people who signed in.

Always true here: a session is good until it was idle for 12 h, or is 14 days old, or was ended, or its user
is disabled, whichever is first; its role is the user's of this moment, not of the sign-in; only the SHA-256
of its token is in the store (tests/access/test_sessions.py).

:func:`end` and :func:`end_all` write no entry in the journal, because each is a part of something that does:
a sign-out (:mod:`watchkeeper.access.signing_in`), a new password, an account that is disabled.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, update

from watchkeeper.access import opaque, throttle
from watchkeeper.access.models import SCOPES_OF, AccessError, Identity, Role, printable
from watchkeeper.store import journal
from watchkeeper.store.models import sessions as table
from watchkeeper.store.models import sign_in_failures, sign_in_links, users

if TYPE_CHECKING:
    from watchkeeper.access.users import User

Via = Literal["password", "link"]


class Lifetime(NamedTuple):
    """How long a session lasts: without a request, and at all."""

    idle: timedelta
    absolute: timedelta


LIFETIME = Lifetime(idle=timedelta(hours=12), absolute=timedelta(days=14))
SEEN_EVERY = timedelta(seconds=60)
LONGEST_USER_AGENT = 200


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is good now, for its owner to recognise and end. ``token_hash`` is its id."""

    token_hash: str
    user_id: int
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    via: str
    user_agent: str


def open_session(
    conn: Connection,
    now: datetime,
    user: User | int,
    via: Via,
    user_agent: str = "",
    *,
    address: str | None = None,
) -> str:
    """Open a session for ``user`` (or its id) and journal the sign-in; the token, which is kept nowhere else.

    Whoever calls has made sure who it is. Raises :class:`AccessError` for an account that is disabled or
    gone.
    """
    user_id = user if isinstance(user, int) else user.id
    enabled = select(users).where(users.c.id == user_id, users.c.disabled_at.is_(None))
    row = conn.execute(enabled).first()
    if row is None:
        raise AccessError("this account may not sign in")
    token = opaque.new()
    agent = printable(user_agent, LONGEST_USER_AGENT)
    conn.execute(
        insert(table).values(
            token_hash=opaque.digest(token),
            user_id=user_id,
            created_at=now,
            seen_at=now,
            expires_at=now + LIFETIME.absolute,
            via=via,
            user_agent=agent,
        )
    )
    facts = {
        "summary": f"{row.username} signed in with a {via}",
        "via": via,
        "user_agent": agent,
        **({} if address is None else {"address": printable(address, throttle.LONGEST_KEY)}),
    }
    who = row.username
    journal.append(conn, now, "access.signed_in", f"person:{who}", f"user:{who}", facts)
    return token


def identify(conn: Connection, now: datetime, token: str) -> Identity | None:
    """Whose session ``token`` is; ``None`` for one that is malformed, unknown, ended, expired or disabled."""
    hashed = opaque.digest(token)
    if hashed is None:
        return None
    query = (
        select(table.c.token_hash, users.c.id, users.c.username, users.c.name, users.c.role)
        .join(users, users.c.id == table.c.user_id)
        .where(table.c.token_hash == hashed, _good(now), users.c.disabled_at.is_(None))
    )
    row = conn.execute(query).first()
    if row is None:
        return None
    role = Role(row.role)
    return Identity("person", row.username, row.name, SCOPES_OF[role], role, row.id, row.token_hash)


def seen(conn: Connection, now: datetime, token_hash: str) -> None:
    """Note that the session was used. Writes only after a minute; it never wakes one that is over."""
    stale = table.c.seen_at <= now - SEEN_EVERY
    conn.execute(update(table).where(table.c.token_hash == token_hash, stale, _good(now)).values(seen_at=now))


def end(conn: Connection, token_hash: str) -> bool:
    """End one session; whether there was one."""
    return bool(conn.execute(delete(table).where(table.c.token_hash == token_hash)).rowcount)


def of_user(conn: Connection, now: datetime, user_id: int) -> list[Session]:
    """The sessions of a user that are good at ``now``, the one used last first."""
    query = select(table).where(table.c.user_id == user_id, _good(now))
    return [Session(*row) for row in conn.execute(query.order_by(table.c.seen_at.desc()))]


def end_all(conn: Connection, user_id: int, but: str | None = None) -> int:
    """End every session of a user, except the one whose token hash is ``but``; how many."""
    which = delete(table).where(table.c.user_id == user_id)
    if but is not None:
        which = which.where(table.c.token_hash != but)
    return conn.execute(which).rowcount


def sweep(conn: Connection, now: datetime) -> None:
    """Delete what is over: sessions, links, streaks of failures. Every sign-in that succeeds does it."""
    conn.execute(delete(table).where(~_good(now)))
    conn.execute(delete(sign_in_links).where(sign_in_links.c.expires_at <= now))
    kept = sign_in_failures.c
    conn.execute(
        delete(sign_in_failures).where(
            or_(
                kept.last_at > now + throttle.SKEW,
                and_(
                    kept.last_at <= now - throttle.WINDOW,
                    or_(kept.blocked_until.is_(None), kept.blocked_until <= now - throttle.WINDOW),
                ),
            )
        )
    )


def _good(now: datetime) -> ColumnElement[bool]:
    return and_(table.c.expires_at > now, table.c.seen_at > now - LIFETIME.idle)
