"""The same on PostgreSQL, where writers do not queue by themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.access.conftest import NOW
from tests.access.people import GOOD, HASH, Counting, add, kinds
from tests.postgresql import Server
from watchkeeper.access import failures, links, sessions, tokens, users
from watchkeeper.access.models import AccessError, Role, Scope, ThrottledError
from watchkeeper.access.signing_in import sign_in
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store, open_store


@pytest.fixture
def store(postgresql: Server) -> Iterator[Store]:
    with postgresql.store() as url, open_store(url) as opened:
        yield opened


def at_once(*work: Callable[[], object]) -> None:
    go = threading.Barrier(len(work))

    def one(do: Callable[[], object]) -> None:
        go.wait(30)
        do()

    threads = [threading.Thread(target=one, args=(do,)) for do in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def test_what_must_happen_once_happens_once(store: Store, clock: ManualClock, verify: Counting) -> None:
    ada, bob = (add(store, NOW, name, Role.ADMIN) for name in ("ada", "bob"))
    token = sign_in(store, clock, "ada", GOOD, "192.0.2.1", verify=verify)
    with store.read() as conn:
        found = sessions.identify(conn, NOW, token)
    assert found is not None
    assert found.actor == "person:ada"

    with store.write() as conn:
        link = links.create(conn, NOW, user=bob, role=Role.ADMIN, by="person:ada")
    used: list[object] = []

    def use() -> None:
        with store.write() as conn:
            used.append(links.use(conn, NOW, link))

    at_once(use, use, use)
    assert sorted(one is None for one in used) == [False, True, True]

    refused: list[str] = []

    def disable(user: int) -> None:
        try:
            with store.write() as conn:
                users.disable(conn, NOW, user, by="person:t")
        except AccessError as error:
            refused.append(str(error))

    at_once(lambda: disable(ada), lambda: disable(bob))
    assert len(refused) == 1

    def add_cleo() -> None:
        try:
            add(store, NOW, "cleo", Role.VIEWER, HASH)
        except AccessError as error:
            refused.append(str(error))

    at_once(add_cleo, add_cleo, add_cleo)
    assert len(refused) == 3

    def fail() -> None:
        with store.write() as conn:
            failures.record(conn, NOW, "cleo", True, "192.0.2.2")

    at_once(*[fail] * 5)
    with pytest.raises(ThrottledError):
        sign_in(store, clock, "cleo", GOOD, "192.0.2.3", verify=verify)
    for typed in ("\0", "\ud800"):
        with pytest.raises(AccessError):
            sign_in(store, clock, typed, "x", typed, verify=verify)
    with store.read() as conn:
        assert journal.verify(conn).intact
    assert kinds(store).count("access.link_used") == 1


def test_no_session_outlives_what_ends_them_all_at_the_same_moment(
    store: Store, clock: ManualClock, verify: Counting
) -> None:
    """A sign-in has seen the old password, or the account enabled, and waits to be committed."""

    def while_signing_in(user: int, end_them: Callable[[], None]) -> int:
        ending = threading.Thread(target=end_them)
        with store.write() as conn:
            assert users.password_hash_of(conn, user, hold=True) == HASH
            sessions.open_session(conn, NOW, user, "password")
            ending.start()
            ending.join(1)
        ending.join(60)
        with store.read() as conn:
            return len(sessions.of_user(conn, NOW, user))

    def new_password(user: int) -> None:
        with store.write() as conn:
            users.set_password_hash(conn, NOW, user, HASH + "2", by="person:t")

    def disable(user: int) -> None:
        with store.write() as conn:
            users.disable(conn, NOW, user, by="person:t")

    ada, bob = (add(store, NOW, name, Role.VIEWER, HASH) for name in ("ada", "bob"))
    assert while_signing_in(ada, lambda: new_password(ada)) == 0
    assert while_signing_in(bob, lambda: disable(bob)) == 0


def test_two_tokens_made_at_once_have_not_one_name(store: Store) -> None:
    made: list[str] = []

    def make() -> None:
        with suppress(AccessError), store.write() as conn:
            ends = NOW + timedelta(days=1)
            made.append(
                tokens.create(conn, NOW, name="ci", scopes=[Scope.READ], expires_at=ends, by="person:t")
            )
            conn.execute(text("SELECT pg_sleep(0.2)"))

    at_once(make, make, make)
    assert len(made) == 1
