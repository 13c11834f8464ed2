"""A person's own password, changed by that person.

Always true here: it changes only for who knows the one before, or came in by a one-time link a moment ago; a
guess counts as a guess at the door, one after the other; every other session of the person ends
(tests/console/test_settings.py, tests/console/test_api_access.py).
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection

from watchkeeper.access import failures, links, passwords, sessions, users
from watchkeeper.access.models import AccessError, Identity, ThrottledError
from watchkeeper.store.clock import Clock
from watchkeeper.store.database import Store


def needs_current(conn: Connection, clock: Clock, identity: Identity) -> bool:
    """Whether a new password needs the old one: not for who has none, or forgot it and came in by a link."""
    if identity.user_id is None:
        return False
    now = clock.now()
    open_ = sessions.of_user(conn, now, identity.user_id)
    mine = next((one for one in open_ if one.token_hash == identity.session), None)
    by_link = mine is not None and mine.via == "link" and now - mine.created_at <= links.LIFETIME
    return users.get(conn, identity.user_id).has_password and not by_link


def change(store: Store, clock: Clock, identity: Identity, current: str, new: str, address: str) -> None:
    """Set ``new`` as the password of ``identity``, who gave ``current`` from ``address``.

    Takes 0.1 s or more; not to be called in a transaction. Raises :class:`ThrottledError` and
    :class:`AccessError`.
    """
    if identity.user_id is None:
        raise AccessError("a token has no password")
    with store.read() as conn:
        user, asked = users.get(conn, identity.user_id), needs_current(conn, clock, identity)
    passwords.check_strength(new, user.username)
    with passwords.turn():  # one after the other, so that many guesses at once gain nothing
        with store.read() as conn:
            wait = failures.waiting(conn, clock.now(), user.username, True, address)
            stored = users.password_hash_of(conn, user.id)
        if asked:
            if wait > timedelta(0):
                raise ThrottledError("too many attempts", wait)
            if not passwords.compare(stored, current):
                with store.write() as conn:
                    failures.record(conn, clock.now(), user.username, True, address)
                raise AccessError("the current password is wrong")
        hashed = passwords.compute(new)
    with store.write() as conn:
        if users.password_hash_of(conn, user.id) != stored:
            raise AccessError("the password was changed meanwhile; nothing was changed now")
        by, keep = identity.actor, identity.session
        users.set_password_hash(conn, clock.now(), user.id, hashed, by=by, keep=keep)
