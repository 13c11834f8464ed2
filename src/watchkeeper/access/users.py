"""Accounts: who may sign in, and as what.

Always true here: an account changes together with its journal entry, in the caller's transaction; the last
enabled admin can neither be disabled nor lose the role, also when two processes try at once; who is disabled,
or has a new password, has no session or link of before (tests/access/test_users.py).

A username that equals the ``id`` of a contact in the runbook means that contact: its rotas and overrides are
this person's own. Nothing else ties the two together; a contact needs no account, nor an account a contact.

``by`` is an actor as the journal names it: ``person:ada``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from watchkeeper.access import links, sessions
from watchkeeper.access.models import COMPONENT, AccessError, Role, is_identifier, printable
from watchkeeper.store import journal
from watchkeeper.store.models import users as table

LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class User:
    """An account. The hash of its password is not in it, so that it is shown nowhere by mistake."""

    id: int
    username: str
    name: str
    role: Role
    has_password: bool
    created_at: datetime
    created_by: str
    disabled_at: datetime | None
    password_changed_at: datetime | None

    @property
    def enabled(self) -> bool:
        """Whether this person may sign in."""
        return self.disabled_at is None


def create(
    conn: Connection,
    now: datetime,
    *,
    username: str,
    name: str,
    role: Role,
    password_hash: str | None = None,
    by: str,
) -> int:
    """Make an account; its id. Without a password it is entered by a one-time link.

    An empty ``name`` becomes the username. Raises :class:`AccessError` for a username that cannot be one or
    is taken (also by a disabled account: names in the journal never change their meaning).
    """
    if not is_identifier(username):
        raise AccessError(
            f"{printable(username, 64)!r} cannot be a username; use 1 to 64 of a-z, 0-9, '.', '_' and '-', "
            "beginning with a letter or digit"
        )
    if by_name(conn, username) is not None:
        raise _taken(username)
    shown = printable(name, LONGEST_NAME) or username
    values = {
        "username": username,
        "name": shown,
        "role": Role(role).value,
        "password_hash": password_hash,
        "created_at": now,
        "created_by": by,
        "password_changed_at": None if password_hash is None else now,
    }
    try:
        made = conn.execute(insert(table).values(**values)).inserted_primary_key
    except IntegrityError:  # another process was faster
        raise _taken(username) from None
    assert made is not None
    facts = {"name": shown, "role": Role(role).value}
    _append(conn, now, "access.user_created", by, username, f"{username} may sign in as {role}", facts)
    return int(made[0])


def change_role(conn: Connection, now: datetime, user_id: int, role: Role, *, by: str) -> None:
    """Give an account another role, at once also in its open sessions. Raises :class:`AccessError`."""
    user = get(conn, user_id)
    if user.role == role:
        return
    if role != Role.ADMIN:
        _refuse_last_admin(conn, user, "lose the role")
    conn.execute(update(table).where(table.c.id == user_id).values(role=Role(role).value))
    facts = {"role": Role(role).value, "before": user.role.value}
    text = f"{user.username} is {role} now, was {user.role}"
    _append(conn, now, "access.role_changed", by, user.username, text, facts)


def set_password_hash(
    conn: Connection,
    now: datetime,
    user_id: int,
    password_hash: str,
    *,
    by: str,
    keep: str | None = None,
) -> None:
    """Set a new password. Ends every session of the user but ``keep`` (a token hash), and unused links.

    Compute the hash before the transaction (:mod:`watchkeeper.access.passwords`). Raises
    :class:`AccessError` where there is no such user.
    """
    user = get(conn, user_id)
    conn.execute(
        update(table)
        .where(table.c.id == user_id)
        .values(password_hash=password_hash, password_changed_at=now)
    )
    ended = sessions.end_all(conn, user_id, but=keep)
    links.withdraw(conn, user_id)
    text = f"the password of {user.username} was set"
    _append(conn, now, "access.password_set", by, user.username, text, {"sessions_ended": ended})


def renew_hash(conn: Connection, now: datetime, user: User, before: str, after: str) -> None:
    """Keep the same password under a hash with today's parameters; nothing where it changed meanwhile."""
    where = (table.c.id == user.id) & (table.c.password_hash == before)
    if conn.execute(update(table).where(where).values(password_hash=after)).rowcount:
        text = f"the password of {user.username} is kept under the hash parameters of today"
        _append(conn, now, "access.password_rehashed", COMPONENT, user.username, text, {})


def disable(conn: Connection, now: datetime, user_id: int, *, by: str) -> None:
    """Let somebody in no more: ends their sessions and links. Raises :class:`AccessError` for the last admin.

    API tokens are not of persons and go on; revoke those that this person knows.
    """
    user = get(conn, user_id)
    if not user.enabled:
        return
    _refuse_last_admin(conn, user, "be disabled")
    conn.execute(update(table).where(table.c.id == user_id).values(disabled_at=now))
    ended = sessions.end_all(conn, user_id)
    links.withdraw(conn, user_id)
    text = f"{user.username} may not sign in any more"
    _append(conn, now, "access.user_disabled", by, user.username, text, {"sessions_ended": ended})


def enable(conn: Connection, now: datetime, user_id: int, *, by: str) -> None:
    """Let a disabled account in again, with its password and role of before. Raises :class:`AccessError`."""
    user = get(conn, user_id)
    if user.enabled:
        return
    conn.execute(update(table).where(table.c.id == user_id).values(disabled_at=None))
    text = f"{user.username} may sign in again as {user.role}"
    _append(conn, now, "access.user_enabled", by, user.username, text, {"role": user.role.value})


def listing(conn: Connection) -> list[User]:
    """Every account, also disabled ones, by username."""
    return [_user(row) for row in conn.execute(select(table).order_by(table.c.username))]


def get(conn: Connection, user_id: int) -> User:
    """The account of that id. Raises :class:`AccessError` where there is none."""
    row = conn.execute(select(table).where(table.c.id == user_id)).first()
    if row is None:
        raise AccessError(f"there is no user with the id {user_id}")
    return _user(row)


def by_name(conn: Connection, username: str) -> User | None:
    """The account of that username, also a disabled one."""
    if not is_identifier(username):
        return None
    row = conn.execute(select(table).where(table.c.username == username)).first()
    return None if row is None else _user(row)


def password_hash_of(conn: Connection, user_id: int) -> str | None:
    """The hash of a user's password, for verifying it outside the transaction; never to be shown."""
    query = select(table.c.password_hash).where(table.c.id == user_id)
    found: str | None = conn.execute(query).scalar()
    return found


def count(conn: Connection) -> int:
    """How many accounts there are, disabled ones included."""
    return int(conn.execute(select(func.count()).select_from(table)).scalar_one())


def _refuse_last_admin(conn: Connection, user: User, what: str) -> None:
    if user.role is not Role.ADMIN or not user.enabled:
        return
    admins = select(table.c.id).where(table.c.role == Role.ADMIN.value, table.c.disabled_at.is_(None))
    if set(conn.execute(admins).scalars()) <= {user.id}:
        raise AccessError(
            f"{user.username} is the last admin and cannot {what}; make somebody else an admin first"
        )


def _taken(username: str) -> AccessError:
    return AccessError(f"there is a user {username} already; nothing was changed")


def _append(
    conn: Connection, now: datetime, kind: str, by: str, username: str, summary: str, facts: dict[str, Any]
) -> None:
    journal.append(conn, now, kind, by, f"user:{username}", {"summary": summary, **facts})


def _user(row: Any) -> User:
    return User(
        id=row.id,
        username=row.username,
        name=row.name,
        role=Role(row.role),
        has_password=row.password_hash is not None,
        created_at=row.created_at,
        created_by=row.created_by,
        disabled_at=row.disabled_at,
        password_changed_at=row.password_changed_at,
    )
