"""One-time links: once, for whom they were made, and not for long."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from tests.access.people import add, kinds
from watchkeeper.access import links, opaque, users
from watchkeeper.access.links import Link
from watchkeeper.access.models import AccessError, Role
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store, open_store

BY = "person:grace"


def made(store: Store, clock: ManualClock, user: int | None, role: Role = Role.VIEWER) -> str:
    with store.write() as conn:
        return links.create(conn, clock.now(), user=user, role=role, by=BY)


def use(store: Store, clock: ManualClock, token: str) -> Link | None:
    with store.write() as conn:
        return links.use(conn, clock.now(), token)


def test_a_link_is_looked_at_often_and_used_once(store: Store, clock: ManualClock) -> None:
    ada = add(store, clock.now(), "ada", Role.RESPONDER)
    token = made(store, clock, ada)
    with store.read() as conn:
        for _ in range(3):
            seen = links.peek(conn, clock.now(), token)
    assert seen is not None
    assert (seen.user_id, seen.username, seen.role) == (ada, "ada", Role.RESPONDER)
    assert use(store, clock, token) == seen
    assert use(store, clock, token) is None
    with store.read() as conn:
        assert links.peek(conn, clock.now(), token) is None
        entries = journal.entries(conn)
    assert [(entry.kind, entry.actor, entry.subject) for entry in entries[-2:]] == [
        ("access.link_made", BY, "user:ada"),
        ("access.link_used", "person:ada", "user:ada"),
    ]


def test_of_many_who_use_a_link_at_once_one_comes_in(
    store: Store, place: Path | str, clock: ManualClock
) -> None:
    token = made(store, clock, add(store, clock.now(), "ada"))
    got: list[Link | None] = []
    go = threading.Barrier(4)

    def one() -> None:
        with open_store(place) as own:  # as another process has
            go.wait(30)
            got.append(use(own, clock, token))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(got) == 4
    assert sum(link is not None for link in got) == 1
    assert kinds(store).count("access.link_used") == 1


def test_a_link_is_good_for_half_an_hour(store: Store, clock: ManualClock) -> None:
    token = made(store, clock, add(store, clock.now(), "ada"))
    clock.advance(30 * 60 - 1)
    with store.read() as conn:
        assert links.peek(conn, clock.now(), token) is not None
    clock.advance(1)
    assert use(store, clock, token) is None


def test_a_use_that_is_undone_leaves_the_link_as_it_was(store: Store, clock: ManualClock) -> None:
    token = made(store, clock, add(store, clock.now(), "ada"))

    def come_in(username: str) -> None:
        with store.write() as conn:
            assert links.use(conn, clock.now(), token)
            users.create(conn, clock.now(), username=username, name="", role=Role.VIEWER, by=BY)

    with pytest.raises(AccessError):
        come_in("Not A Name")
    assert use(store, clock, token) is not None


def test_a_newer_link_replaces_the_unused_one_of_the_same_person(store: Store, clock: ManualClock) -> None:
    ada, bob = add(store, clock.now(), "ada"), add(store, clock.now(), "bob")
    old, of_bob = made(store, clock, ada), made(store, clock, bob)
    new = made(store, clock, ada)
    assert use(store, clock, old) is None
    assert use(store, clock, of_bob) is not None
    assert use(store, clock, new) is not None


@pytest.mark.parametrize("token", ["", "x" * 43, "é" * 43, "\0", "x" * 10**6])
def test_what_is_no_link_lets_nobody_in(store: Store, clock: ManualClock, token: str) -> None:
    made(store, clock, None, Role.ADMIN)
    assert use(store, clock, token) is None


def test_the_hash_in_the_store_is_no_link(store: Store, clock: ManualClock) -> None:
    token = made(store, clock, None, Role.ADMIN)
    assert use(store, clock, opaque.digest(token) or "") is None


def test_a_link_cannot_be_good_for_ever(store: Store, clock: ManualClock) -> None:
    with store.write() as conn:
        for days in (0, -1, 8):
            with pytest.raises(AccessError, match="at most 7 days"):
                links.create(
                    conn, clock.now(), user=None, role=Role.ADMIN, by=BY, lifetime=timedelta(days=days)
                )
        with pytest.raises(AccessError, match="no user"):
            links.create(conn, clock.now(), user=9, role=Role.ADMIN, by=BY)


def test_the_first_admin_has_a_day_and_the_newest_link(store: Store, clock: ManualClock) -> None:
    first = links.first_admin(store, clock)
    second = links.first_admin(store, clock)
    assert first
    assert second
    assert use(store, clock, first) is None
    clock.advance(24 * 3600 - 1)
    with store.write() as conn:
        used = links.use(conn, clock.now(), second)
        assert used is not None
        assert (used.user_id, used.username, used.role) == (None, None, Role.ADMIN)
        users.create(conn, clock.now(), username="ada", name="Ada", role=used.role, by="person:ada")
    assert links.first_admin(store, clock) is None
    with store.read() as conn:
        entries = [entry for entry in journal.entries(conn) if entry.kind.startswith("access.link")]
    assert {(entry.actor, entry.subject) for entry in entries} == {("component:access", "link:first-admin")}


def test_the_first_admins_link_is_worthless_once_there_is_an_admin(store: Store, clock: ManualClock) -> None:
    token = links.first_admin(store, clock)
    assert token
    add(store, clock.now(), "bob", Role.RESPONDER)
    with store.read() as conn:
        assert links.peek(conn, clock.now(), token) is not None
    add(store, clock.now(), "ada", Role.ADMIN)
    assert use(store, clock, token) is None
