"""Signing in with a name and a password, and signing out.

    throttle (read) -> a turn of two -> throttle again -> verify, in no transaction -> session or failure
                                                                     (one transaction, with its journal entry)

Always true here: a try that must wait costs no Argon2, no write and no journal entry; whoever waits for a
turn is looked at again when it comes, so that many at once gain nothing; the answer to a wrong name, a wrong
password and a disabled account is the same, after the same work (tests/access/test_signing_in.py).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from watchkeeper.access import failures, passwords, sessions, users
from watchkeeper.access.models import AccessError, Identity, ThrottledError
from watchkeeper.access.users import User
from watchkeeper.store import journal
from watchkeeper.store.clock import Clock
from watchkeeper.store.database import Store

WRONG = "the name or the password is wrong"

Verify = Callable[[str | None, str], bool]
"""Whether a text is the password kept as that hash; ``None``: there is none, in the same time."""


def sign_in(
    store: Store,
    clock: Clock,
    username: str,
    password: str,
    address: str,
    user_agent: str = "",
    *,
    verify: Verify = passwords.compare,
) -> str:
    """Open a session for who knows the password; its token, which belongs in a cookie and nowhere else.

    ``address`` is that of the person, not of a proxy: failures are counted for it. Not to be called in a
    transaction. Raises :class:`ThrottledError` (come back after its ``retry_after``), :class:`AccessError`
    for a name and password that let nobody in, always with the same words, and ``StoreError``.
    """
    name = username.strip().lower()
    _look_up(store, clock, name, address)
    with passwords.turn():
        user, stored = _look_up(store, clock, name, address)
        right = verify(stored, password)
        renewed = passwords.compute(password) if right and stored and passwords.needs_rehash(stored) else None
        with store.write() as conn:
            now = clock.now()
            if user is not None and stored is not None and right:
                token = _open(conn, now, user, stored, renewed, user_agent, address)
                if token is not None:
                    return token
            failures.record(conn, now, name, user is not None, address)
    raise AccessError(WRONG)


def sign_out(conn: Connection, now: datetime, identity: Identity, session: str | None = None) -> None:
    """End the session with which ``identity`` came, or another of the same person (its token hash).

    Nothing happens where it is over already, or is not of this person.
    """
    chosen = session or identity.session
    own = {one.token_hash for one in sessions.of_user(conn, now, identity.user_id or 0)}
    if chosen is not None and chosen in own and sessions.end(conn, chosen):
        _signed_out(conn, now, identity, 1, f"{identity.name} signed out")


def sign_out_others(conn: Connection, now: datetime, identity: Identity) -> int:
    """End every other session of the person; how many that were."""
    ended = sessions.end_all(conn, identity.user_id, but=identity.session) if identity.user_id else 0
    if ended:
        _signed_out(conn, now, identity, ended, f"{identity.name} ended {ended} other sessions")
    return ended


def end_sessions(conn: Connection, now: datetime, user: User, *, by: str) -> int:
    """End every session of ``user``; how many that were. ``by`` is an actor, as the journal names it."""
    ended = sessions.end_all(conn, user.id)
    if ended:
        facts = {"summary": f"the {ended} sessions of {user.username} were ended", "sessions_ended": ended}
        journal.append(conn, now, "access.signed_out", by, f"user:{user.username}", facts)
    return ended


def _look_up(store: Store, clock: Clock, name: str, address: str) -> tuple[User | None, str | None]:
    """The account and the hash to verify, if the name and the address need not wait."""
    with store.read() as conn:
        user = users.by_name(conn, name)
        left = failures.waiting(conn, clock.now(), name, user is not None, address)
        if left:
            seconds = max(1, round(left.total_seconds()))
            raise ThrottledError(f"too many sign-ins failed; the next is looked at in {seconds} s", left)
        stored = users.password_hash_of(conn, user.id) if user is not None and user.enabled else None
    return user, stored


def _open(
    conn: Connection,
    now: datetime,
    user: User,
    verified: str,
    renewed: str | None,
    user_agent: str,
    address: str,
) -> str | None:
    """The session, if the account is still as it was when its password was verified."""
    if users.password_hash_of(conn, user.id) != verified or not users.get(conn, user.id).enabled:
        return None
    failures.forget(conn, user.username)
    sessions.sweep(conn, now)
    if renewed is not None:
        users.renew_hash(conn, now, user, verified, renewed)
    return sessions.open_session(conn, now, user, "password", user_agent, address=address)


def _signed_out(conn: Connection, now: datetime, identity: Identity, ended: int, summary: str) -> None:
    facts = {"summary": summary, "sessions_ended": ended}
    journal.append(conn, now, "access.signed_out", identity.actor, f"user:{identity.name}", facts)
