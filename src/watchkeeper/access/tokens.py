"""API tokens: how machines come in. A token is nobody's; it has a name, scopes and an end.

Always true here: a token does nothing beyond its scopes, after its end or once revoked; the journal's
``token:<name>`` means one token at a time; only the SHA-256 is in the store (tests/access/test_tokens.py).

``by`` is an actor as the journal names it: ``person:ada``. Whoever lets people make tokens sees to it that
nobody gives a token a scope that they do not have.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, or_, select, update

from watchkeeper.access import opaque
from watchkeeper.access.models import AccessError, Identity, Scope, is_identifier, printable
from watchkeeper.store import journal
from watchkeeper.store.canonical import rfc3339
from watchkeeper.store.models import api_tokens as table

PREFIX = "wk_"
"""So that scanners for leaked secrets can find them."""
LONGEST = timedelta(days=366)
USED_EVERY = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token as it may be shown, also one that is over."""

    id: int
    name: str
    scopes: frozenset[Scope]
    created_at: datetime
    created_by: str
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None

    def state(self, now: datetime) -> str:
        """``active``, ``expired`` or ``revoked``."""
        if self.revoked_at is not None:
            return "revoked"
        return "active" if now < self.expires_at else "expired"


def create(
    conn: Connection, now: datetime, *, name: str, scopes: Iterable[Scope], expires_at: datetime, by: str
) -> str:
    """Make a token; its text, shown once. Raises :class:`AccessError`.

    The name must be free: no active token has it. An end is required, at most 366 days from ``now``.
    """
    if not is_identifier(name):
        raise AccessError(
            f"{printable(name, 64)!r} cannot name a token; use 1 to 64 of a-z, 0-9, '.', '_' and '-', "
            "beginning with a letter or digit"
        )
    wanted = sorted({Scope(scope).value for scope in scopes})
    if not wanted:
        raise AccessError(f"a token needs at least one scope: {', '.join(Scope)}")
    if not now < expires_at <= now + LONGEST:
        raise AccessError(f"a token ends within {LONGEST.days} days, and not before it begins")
    if any(one.name == name and one.state(now) == "active" for one in listing(conn)):
        raise AccessError(f"there is an active token {name} already; revoke it first, or take another name")
    text = PREFIX + opaque.new()
    values = {
        "name": name,
        "token_hash": opaque.digest(text, PREFIX),
        "scopes": wanted,
        "created_at": now,
        "created_by": by,
        "expires_at": expires_at,
    }
    made = conn.execute(insert(table).values(**values)).inserted_primary_key
    assert made is not None
    summary = f"a token {name} was made, which may {', '.join(wanted)} until {rfc3339(expires_at)}"
    facts = {"id": made[0], "scopes": wanted, "expires_at": rfc3339(expires_at)}
    _append(conn, now, "access.token_created", by, name, summary, facts)
    return text


def identify(conn: Connection, now: datetime, token: str) -> Identity | None:
    """Which token that is; ``None`` for one that is malformed, unknown, expired or revoked."""
    hashed = opaque.digest(token, PREFIX)
    if hashed is None:
        return None
    row = conn.execute(select(table).where(table.c.token_hash == hashed)).first()
    if row is None or _token(row).state(now) != "active":
        return None
    return Identity("token", row.name, row.name, _token(row).scopes)


def used(conn: Connection, now: datetime, token: str) -> None:
    """Note that the token was used. Writes only after a minute, so callers need not hold back."""
    stale = or_(table.c.last_used_at.is_(None), table.c.last_used_at <= now - USED_EVERY)
    hashed = opaque.digest(token, PREFIX)
    conn.execute(update(table).where(table.c.token_hash == hashed, stale).values(last_used_at=now))


def revoke(conn: Connection, now: datetime, token_id: int, *, by: str) -> None:
    """Make a token worthless at once. Raises :class:`AccessError` where there is none to revoke."""
    row = conn.execute(select(table).where(table.c.id == token_id, table.c.revoked_at.is_(None))).first()
    if row is None:
        raise AccessError(f"there is no token {token_id} that could be revoked")
    conn.execute(update(table).where(table.c.id == token_id).values(revoked_at=now, revoked_by=by))
    text = f"the token {row.name} was revoked"
    _append(conn, now, "access.token_revoked", by, row.name, text, {"id": token_id})


def listing(conn: Connection) -> list[ApiToken]:
    """Every token there ever was, the newest first."""
    return [_token(row) for row in conn.execute(select(table).order_by(table.c.id.desc()))]


def _append(
    conn: Connection, now: datetime, kind: str, by: str, name: str, summary: str, facts: dict[str, Any]
) -> None:
    journal.append(conn, now, kind, by, f"token:{name}", {"summary": summary, **facts})


def _token(row: Any) -> ApiToken:
    known = {scope.value for scope in Scope}
    return ApiToken(
        id=row.id,
        name=row.name,
        scopes=frozenset(Scope(scope) for scope in row.scopes if scope in known),
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
        revoked_by=row.revoked_by,
    )
