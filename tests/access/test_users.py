"""Accounts: each change with its entry, and never without an admin."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from tests.access.people import HASH, add, kinds
from watchkeeper.access import links, sessions, users
from watchkeeper.access.models import AccessError, Role
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store

BY = "person:grace"


def test_an_account_is_made_and_listed(store: Store, clock: ManualClock) -> None:
    add(store, clock.now(), "bob")
    made = add(store, clock.now(), "ada", Role.ADMIN, password_hash=None)
    with store.read() as conn:
        ada, bob = users.listing(conn)
        assert users.count(conn) == 2
        assert (ada.id, ada.username, ada.name, ada.role) == (made, "ada", "Ada", Role.ADMIN)
        assert (ada.has_password, ada.password_changed_at) == (False, None)
        assert (bob.has_password, bob.password_changed_at) == (True, clock.now())
        assert users.by_name(conn, "ada") == ada
        assert users.by_name(conn, "zed") is None
        assert users.by_name(conn, "\0") is None
        entry = journal.entries(conn)[-1]
    assert (entry.kind, entry.actor, entry.subject) == ("access.user_created", "person:test", "user:ada")
    assert "ada may sign in as admin" in entry.facts["summary"]
    assert HASH not in repr((ada, bob))


@pytest.mark.parametrize("username", ["", "Ada", "a b", "ada\n", "a" * 65, "ada\x1b"])
def test_names_that_cannot_be_are_refused(store: Store, clock: ManualClock, username: str) -> None:
    with pytest.raises(AccessError, match="cannot be a username"):
        add(store, clock.now(), username)
    assert kinds(store) == []


def test_a_name_is_taken_for_good(store: Store, clock: ManualClock) -> None:
    made = add(store, clock.now(), "ada")
    with store.write() as conn:
        users.disable(conn, clock.now(), made, by=BY)
    with pytest.raises(AccessError, match="already"):
        add(store, clock.now(), "ada")


def test_the_last_admin_stays_one(store: Store, clock: ManualClock) -> None:
    ada, bob = add(store, clock.now(), "ada", Role.ADMIN), add(store, clock.now(), "bob", Role.ADMIN)
    with store.write() as conn:
        users.change_role(conn, clock.now(), bob, Role.VIEWER, by=BY)
    before = kinds(store)
    with pytest.raises(AccessError, match="last admin and cannot be disabled"), store.write() as conn:
        users.disable(conn, clock.now(), ada, by=BY)
    with pytest.raises(AccessError, match="last admin and cannot lose the role"), store.write() as conn:
        users.change_role(conn, clock.now(), ada, Role.RESPONDER, by=BY)
    assert kinds(store) == before
    with store.write() as conn:
        users.change_role(conn, clock.now(), bob, Role.ADMIN, by=BY)
        users.disable(conn, clock.now(), ada, by=BY)
    with pytest.raises(AccessError, match="last admin"), store.write() as conn:
        users.disable(conn, clock.now(), bob, by=BY)  # a disabled admin does not count
    with store.write() as conn:
        users.change_role(conn, clock.now(), ada, Role.VIEWER, by=BY)  # nor is one missed


def test_of_two_admins_who_disable_each_other_one_stays(store: Store, clock: ManualClock) -> None:
    pair = [add(store, clock.now(), name, Role.ADMIN) for name in ("ada", "bob")]
    refused: list[str] = []

    def disable(user_id: int) -> None:
        try:
            with store.write() as conn:
                users.disable(conn, clock.now(), user_id, by=BY)
        except AccessError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=disable, args=(one,)) for one in pair]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(refused) == 1
    with store.read() as conn:
        assert links.has_admin(conn)


def test_a_role_counts_at_once_in_open_sessions(store: Store, clock: ManualClock) -> None:
    ada = add(store, clock.now(), "ada")
    with store.write() as conn:
        token = sessions.open_session(conn, clock.now(), ada, "password")
        users.change_role(conn, clock.now(), ada, Role.RESPONDER, by=BY)
        users.change_role(conn, clock.now(), ada, Role.RESPONDER, by=BY)  # nothing changes
    with store.read() as conn:
        found = sessions.identify(conn, clock.now(), token)
    assert found is not None
    assert found.role is Role.RESPONDER
    assert kinds(store).count("access.role_changed") == 1


def test_a_new_password_ends_every_other_session_and_link(store: Store, clock: ManualClock) -> None:
    ada, bob = add(store, clock.now(), "ada"), add(store, clock.now(), "bob")
    with store.write() as conn:
        mine, other, of_bob = (
            sessions.open_session(conn, clock.now(), user, "password") for user in (ada, ada, bob)
        )
        link = links.create(conn, clock.now(), user=ada, role=Role.VIEWER, by=BY)
        me = sessions.identify(conn, clock.now(), mine)
        assert me is not None
        users.set_password_hash(conn, clock.now(), ada, "$new", by=me.actor, keep=me.session)
    with store.read() as conn:
        known = [sessions.identify(conn, clock.now(), one) is not None for one in (mine, other, of_bob)]
        assert known == [True, False, True]
        assert links.peek(conn, clock.now(), link) is None
        assert users.password_hash_of(conn, ada) == "$new"
        entry = journal.entries(conn)[-1]
    assert (entry.kind, entry.actor, entry.facts["sessions_ended"]) == (
        "access.password_set",
        "person:ada",
        1,
    )


def test_who_is_disabled_is_out_at_once_and_comes_back_without_the_old_sessions(
    store: Store, clock: ManualClock
) -> None:
    ada = add(store, clock.now(), "ada")
    with store.write() as conn:
        token = sessions.open_session(conn, clock.now(), ada, "password")
        link = links.create(conn, clock.now(), user=ada, role=Role.VIEWER, by=BY)
        users.disable(conn, clock.now(), ada, by=BY)
        users.disable(conn, clock.now(), ada, by=BY)
        with pytest.raises(AccessError, match="may not sign in"):
            sessions.open_session(conn, clock.now(), ada, "link")
        with pytest.raises(AccessError, match="is disabled"):
            links.create(conn, clock.now(), user=ada, role=Role.VIEWER, by=BY)
    clock.advance(1)
    with store.write() as conn:
        users.enable(conn, clock.now(), ada, by=BY)
        users.enable(conn, clock.now(), ada, by=BY)
        assert sessions.identify(conn, clock.now(), token) is None
        assert links.peek(conn, clock.now(), link) is None
    assert kinds(store)[-2:] == ["access.user_disabled", "access.user_enabled"]


def test_a_change_that_is_undone_leaves_no_entry(store: Store, clock: ManualClock) -> None:

    def change() -> None:
        with store.write() as conn:
            users.create(conn, clock.now(), username="ada", name="", role=Role.VIEWER, by=BY)
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        change()
    assert kinds(store) == []
    with store.read() as conn:
        assert users.count(conn) == 0


def test_nobody_is_said_to_be_nobody(store: Store, clock: ManualClock) -> None:
    with store.write() as conn:
        for change in (users.disable, users.enable):
            with pytest.raises(AccessError, match="no user with the id 7"):
                change(conn, clock.now() + timedelta(1), 7, by=BY)
