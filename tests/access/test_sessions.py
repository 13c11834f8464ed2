"""Sessions: how long they are good, and that nothing else is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from tests.access.people import add, kinds
from watchkeeper.access import failures, links, opaque, sessions
from watchkeeper.access.models import SCOPES_OF, Identity, Role
from watchkeeper.access.sessions import LIFETIME, SEEN_EVERY
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store
from watchkeeper.store.models import sessions as table
from watchkeeper.store.models import sign_in_failures, sign_in_links, users

SECOND = timedelta(seconds=1)


def identify(store: Store, clock: ManualClock, token: str) -> Identity | None:
    with store.read() as conn:
        return sessions.identify(conn, clock.now(), token)


def opened(store: Store, clock: ManualClock, username: str = "ada") -> str:
    user = add(store, clock.now(), username, Role.RESPONDER)
    with store.write() as conn:
        return sessions.open_session(conn, clock.now(), user, "password", "Firefox\x1b[2J " + "x" * 500)


def test_a_session_is_its_users(store: Store, clock: ManualClock) -> None:
    token = opened(store, clock)
    found = identify(store, clock, token)
    assert found is not None
    assert (found.actor, found.display, found.role) == ("person:ada", "Ada", Role.RESPONDER)
    assert found.scopes == SCOPES_OF[Role.RESPONDER]
    assert found.session == opaque.digest(token) != token
    with store.read() as conn:
        (listed,) = sessions.of_user(conn, clock.now(), found.user_id or 0)
        entry = journal.entries(conn)[-1]
    assert listed.token_hash == found.session
    assert listed.user_agent.startswith("Firefox [2J xxx")
    assert len(listed.user_agent) == 200
    assert (entry.kind, entry.actor, entry.subject) == ("access.signed_in", "person:ada", "user:ada")


def test_two_tokens_are_never_the_same(store: Store, clock: ManualClock) -> None:
    assert len({opaque.new() for _ in range(100)}) == 100
    assert len(opened(store, clock)) == 43  # 256 bits


@pytest.mark.parametrize(
    "token", ["", " ", "x" * 42, "x" * 43, "x" * 44, "é" * 43, "\0" * 43, "\ud800" * 43, "x" * 10**6, "'; --"]
)
def test_what_is_no_token_is_nobody(store: Store, clock: ManualClock, token: str) -> None:
    opened(store, clock)
    assert identify(store, clock, token) is None


def test_a_token_is_nothing_but_itself(store: Store, clock: ManualClock) -> None:
    token = opened(store, clock)
    kept = opaque.digest(token)
    assert kept is not None
    swapped = token.swapcase()
    for other in (
        kept,
        kept[:43],
        token + "\n",
        token + "é",
        token[:-1],
        f" {token}",
        f"wk_{token}",
        swapped,
    ):
        assert identify(store, clock, other) is None


def test_a_session_ends_after_twelve_idle_hours(store: Store, clock: ManualClock) -> None:
    token = opened(store, clock)
    clock.advance(LIFETIME.idle.total_seconds() - 1)
    assert identify(store, clock, token) is not None
    clock.advance(1)
    assert identify(store, clock, token) is None
    with store.write() as conn:
        sessions.seen(conn, clock.now(), opaque.digest(token) or "")  # does not wake it
    assert identify(store, clock, token) is None


def test_a_session_ends_after_fourteen_days_however_busy(store: Store, clock: ManualClock) -> None:
    token = opened(store, clock)
    for _ in range(14 * 4 - 1):
        clock.advance(6 * 3600)
        found = identify(store, clock, token)
        assert found is not None
        with store.write() as conn:
            sessions.seen(conn, clock.now(), found.session or "")
    clock.advance(6 * 3600)
    assert identify(store, clock, token) is None


def test_being_seen_is_written_once_a_minute(store: Store, clock: ManualClock) -> None:
    token = opaque.digest(opened(store, clock)) or ""
    moments = []
    for _ in range(6):
        clock.advance(SEEN_EVERY.total_seconds() / 2)
        with store.write() as conn:
            sessions.seen(conn, clock.now(), token)
            moments.append(conn.execute(select(table.c.seen_at)).scalar_one())
    assert len(set(moments)) == 4  # that of the beginning and three more
    assert moments[-1] == clock.now()


def test_an_ended_session_is_nobody(store: Store, clock: ManualClock) -> None:
    token = opened(store, clock)
    with store.write() as conn:
        assert sessions.end(conn, opaque.digest(token) or "")
        assert not sessions.end(conn, opaque.digest(token) or "")
    assert identify(store, clock, token) is None


def test_a_session_of_a_disabled_user_is_nobody_even_if_it_is_still_there(
    store: Store, clock: ManualClock
) -> None:
    token = opened(store, clock)
    with store.write() as conn:
        conn.execute(update(users).values(disabled_at=clock.now()))
    assert identify(store, clock, token) is None


def test_sessions_of_one_user_end_and_no_others(store: Store, clock: ManualClock) -> None:
    first, other = opened(store, clock), opened(store, clock, "bob")
    found = identify(store, clock, first)
    assert found is not None
    with store.write() as conn:
        more = [sessions.open_session(conn, clock.now(), found.user_id or 0, "link") for _ in range(3)]
        assert sessions.end_all(conn, found.user_id or 0, but=found.session) == 3
    assert identify(store, clock, first) is not None
    assert identify(store, clock, other) is not None
    assert [identify(store, clock, one) for one in more] == [None] * 3


def test_the_sweep_takes_what_is_over_and_nothing_else(store: Store, clock: ManualClock) -> None:
    opened(store, clock)
    with store.write() as conn:
        links.create(conn, clock.now(), user=1, role=Role.VIEWER, by="person:t")
        failures.record(conn, clock.now(), "old", False, "192.0.2.1")
    clock.advance(LIFETIME.idle.total_seconds())
    token = opened(store, clock, "bob")
    with store.write() as conn:
        links.create(conn, clock.now(), user=2, role=Role.VIEWER, by="person:t")
        for _ in range(20):
            failures.record(conn, clock.now(), "bob", True, "192.0.2.2")
        sessions.sweep(conn, clock.now())
        assert conn.execute(select(table.c.user_id)).scalars().all() == [2]
        assert conn.execute(select(sign_in_links.c.user_id)).scalars().all() == [2]
        kept = set(conn.execute(select(sign_in_failures.c.key)).scalars())
        assert kept == {"user:bob", "from:192.0.2.2"}
        clock.advance(1000)  # after the last failure, yet not after its block
        sessions.sweep(conn, clock.now())
        assert conn.execute(select(sign_in_failures.c.key)).scalars().all() == ["user:bob"]
        clock.advance(1000)
        sessions.sweep(conn, clock.now())
        assert conn.execute(select(sign_in_failures.c.key)).all() == []
    assert identify(store, clock, token) is not None
    assert "access.signed_in" in kinds(store)
