"""Signing in: the right password opens a session, and a thousand wrong ones cost little."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import update

from tests.access.people import GOOD, HASH, Counting, add, kinds
from tests.postgresql import long_on_postgresql, sqlite_only
from watchkeeper.access import passwords, sessions, users
from watchkeeper.access.models import AccessError, Role, ThrottledError
from watchkeeper.access.passwords import AT_ONCE
from watchkeeper.access.signing_in import WRONG, sign_in, sign_out, sign_out_others
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store
from watchkeeper.store.models import users as users_table

HOME, AWAY = "192.0.2.1", "198.51.100.9"


def fails(store: Store, clock: ManualClock, verify: Counting, name: str, address: str = HOME) -> AccessError:
    with pytest.raises(AccessError) as refused:
        sign_in(store, clock, name, "wrong", address, verify=verify)
    return refused.value


def test_the_right_password_opens_a_session(store: Store, clock: ManualClock, verify: Counting) -> None:
    add(store, clock.now(), "ada", Role.ADMIN)
    token = sign_in(store, clock, " Ada ", GOOD, HOME, "Firefox", verify=verify)
    with store.read() as conn:
        found = sessions.identify(conn, clock.now(), token)
        entry = journal.entries(conn)[-1]
    assert found is not None
    assert found.actor == "person:ada"
    assert (entry.kind, entry.actor, entry.subject) == ("access.signed_in", "person:ada", "user:ada")
    assert (entry.facts["via"], entry.facts["address"]) == ("password", HOME)


def test_it_works_with_real_argon2(store: Store, clock: ManualClock) -> None:
    add(store, clock.now(), "ada", password_hash=passwords.hash_password(GOOD))
    assert sign_in(store, clock, "ada", GOOD, HOME)
    with pytest.raises(AccessError, match=WRONG):
        sign_in(store, clock, "ada", GOOD + "!", HOME)
    with pytest.raises(AccessError, match=WRONG):
        sign_in(store, clock, "nobody", GOOD, HOME)


def test_every_failure_sounds_the_same_after_the_same_work(
    store: Store, clock: ManualClock, verify: Counting
) -> None:
    add(store, clock.now(), "ada")
    add(store, clock.now(), "guest", password_hash=None)
    gone = add(store, clock.now(), "gone")
    with store.write() as conn:
        users.disable(conn, clock.now(), gone, by="person:t")
    for number, name in enumerate(("ada", "guest", "nobody", "", "\ud800\0", "x" * 10_000), 1):
        refused = fails(store, clock, verify, name, f"192.0.2.{number}")
        assert (str(refused), type(refused)) == (WRONG, AccessError)
        assert len(verify.asked) == number
    with pytest.raises(AccessError, match=WRONG):  # the right password of a disabled account
        sign_in(store, clock, "gone", GOOD, HOME, verify=verify)
    assert verify.asked[-1] is None


def test_a_known_and_an_unknown_name_are_throttled_alike(
    store: Store, clock: ManualClock, verify: Counting
) -> None:
    add(store, clock.now(), "ada")
    told = []
    for name in ("ada", "nobody"):
        for number in range(5):
            fails(store, clock, verify, name, f"192.0.2.{number}")
        refused = fails(store, clock, verify, name)
        assert isinstance(refused, ThrottledError)
        told.append((str(refused), refused.retry_after))
    assert (
        told[0] == told[1] == ("too many sign-ins failed; the next is looked at in 1 s", timedelta(seconds=1))
    )


@long_on_postgresql
def test_a_thousand_failures_for_one_name_at_once_cost_five_verifications(
    store: Store, clock: ManualClock, verify: Counting
) -> None:
    add(store, clock.now(), "ada")
    for number in range(1000):
        fails(store, clock, verify, "ada", f"192.0.{number // 250}.{number % 250}")
    assert len(verify.asked) == 5
    assert kinds(store)[1:] == ["access.sign_in_failed", "access.sign_in_blocked"]


@long_on_postgresql
def test_a_thousand_names_from_one_address_cost_twenty(
    store: Store, clock: ManualClock, verify: Counting
) -> None:
    for number in range(1000):
        fails(store, clock, verify, f"name-{number}")
    assert len(verify.asked) == 20
    assert kinds(store) == ["access.sign_in_failed"] * 20 + ["access.sign_in_blocked"]


@long_on_postgresql
def test_a_thousand_names_from_a_thousand_addresses_leave_few_entries(
    store: Store, clock: ManualClock, verify: Counting
) -> None:
    for number in range(1000):
        fails(store, clock, verify, f"name-{number}", f"10.{number % 250}.{number // 250}.1")
    assert len(verify.asked) == 1000  # two at a time: time, not memory
    told = kinds(store)
    assert told == ["access.sign_in_failed"] * 25 + ["access.sign_in_flood"]


@long_on_postgresql
def test_a_patient_guesser_leaves_an_entry_at_each_doubling(
    store: Store, clock: ManualClock, verify: Counting
) -> None:
    add(store, clock.now(), "ada")
    for _ in range(300):
        refused = fails(store, clock, verify, "ada", AWAY)
        if isinstance(refused, ThrottledError):
            clock.advance(refused.retry_after.total_seconds())
    assert 100 < len(verify.asked) < 300
    with store.read() as conn:
        found = journal.entries(conn, journal.Filter(kind="access.sign_in_blocked", subject="user:ada"))
    assert [entry.facts["failures"] for entry in found] == [5, 10, 20, 40, 80]
    assert {entry.actor for entry in found} == {"component:access"}


def test_many_at_once_get_few_more_tries_than_one_after_the_other(
    store: Store, clock: ManualClock, verify: Counting
) -> None:
    add(store, clock.now(), "ada")

    def one(number: int) -> None:
        with contextlib.suppress(AccessError):
            sign_in(store, clock, "ada", "wrong", f"192.0.2.{number}", verify=verify)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(100)))
    assert 5 <= len(verify.asked) < 5 + AT_ONCE
    assert verify.most <= AT_ONCE


def test_somebody_elses_failures_delay_a_sign_in_and_no_session(
    store: Store, clock: ManualClock, verify: Counting
) -> None:
    add(store, clock.now(), "ada")
    token = sign_in(store, clock, "ada", GOOD, HOME, verify=verify)
    wait = timedelta(0)
    while wait < timedelta(minutes=15):
        refused = fails(store, clock, verify, "ada", AWAY)
        if isinstance(refused, ThrottledError):
            wait = refused.retry_after
            clock.advance(wait.total_seconds())
    fails(store, clock, verify, "ada", AWAY)
    with store.read() as conn:
        assert sessions.identify(conn, clock.now(), token) is not None
    with pytest.raises(ThrottledError) as delayed:
        sign_in(store, clock, "ada", GOOD, HOME, verify=verify)
    assert delayed.value.retry_after == timedelta(minutes=15)
    clock.advance(15 * 60)
    assert sign_in(store, clock, "ada", GOOD, HOME, verify=verify)
    assert str(fails(store, clock, verify, "ada")) == WRONG  # the streak is over: not throttled


def test_a_success_does_not_wipe_out_the_failures_of_its_address(
    store: Store, clock: ManualClock, verify: Counting
) -> None:
    add(store, clock.now(), "mallory")
    for number in range(19):
        fails(store, clock, verify, f"name-{number}")
        sign_in(store, clock, "mallory", GOOD, HOME, verify=verify)
    fails(store, clock, verify, "name-19")
    assert isinstance(fails(store, clock, verify, "name-20"), ThrottledError)
    assert str(fails(store, clock, verify, "name-20", AWAY)) == WRONG


def test_a_password_that_changed_while_it_was_verified_lets_nobody_in(
    store: Store, clock: ManualClock
) -> None:
    ada = add(store, clock.now(), "ada")

    def verify(hash: str | None, text: str) -> bool:  # noqa: A002
        with store.write() as conn:  # possible: verifying happens in no transaction
            users.set_password_hash(conn, clock.now(), ada, "$another", by="person:ada")
        return hash == HASH and text == GOOD

    with pytest.raises(AccessError, match=WRONG):
        sign_in(store, clock, "ada", GOOD, HOME, verify=verify)


def test_an_account_that_was_disabled_meanwhile_lets_nobody_in(store: Store, clock: ManualClock) -> None:
    ada = add(store, clock.now(), "ada")

    def verify(hash: str | None, text: str) -> bool:  # noqa: A002
        with store.write() as conn:
            users.disable(conn, clock.now(), ada, by="person:grace")
        return True

    with pytest.raises(AccessError, match=WRONG):
        sign_in(store, clock, "ada", GOOD, HOME, verify=verify)


def test_a_hash_with_parameters_of_before_is_renewed(store: Store, clock: ManualClock) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(GOOD)
    ada = add(store, clock.now(), "ada", password_hash=old)
    first = sign_in(store, clock, "ada", GOOD, HOME)
    with store.read() as conn:
        new = users.password_hash_of(conn, ada)
        assert new
        assert not passwords.needs_rehash(new)
    assert sign_in(store, clock, "ada", GOOD, HOME)
    with store.read() as conn:
        assert sessions.identify(conn, clock.now(), first) is not None
    assert kinds(store).count("access.password_rehashed") == 1


@sqlite_only
def test_what_is_typed_into_the_wrong_field_is_kept_nowhere(
    store: Store, clock: ManualClock, verify: Counting
) -> None:
    add(store, clock.now(), "ada")
    fails(store, clock, verify, typed := "my-very-own-password")
    with store.read() as conn:
        entry = journal.entries(conn)[-1]
    assert (entry.kind, entry.subject) == ("access.sign_in_failed", "user:?")
    with store.read() as conn:
        dump = "\n".join(conn.connection.driver_connection.iterdump())  # type: ignore[union-attr]
    assert "sign_in_failures" in dump
    assert typed not in dump


def test_signing_out_ends_that_session_with_an_entry(
    store: Store, clock: ManualClock, verify: Counting
) -> None:
    for name in ("ada", "bob"):
        add(store, clock.now(), name)
    mine, other = (sign_in(store, clock, "ada", GOOD, HOME, verify=verify) for _ in range(2))
    bobs = sign_in(store, clock, "bob", GOOD, HOME, verify=verify)
    with store.write() as conn:
        me = sessions.identify(conn, clock.now(), mine)
        bob = sessions.identify(conn, clock.now(), bobs)
        assert me
        assert bob
        sign_out(conn, clock.now(), me, bob.session)  # not hers
        assert sessions.identify(conn, clock.now(), bobs) == bob
        assert sign_out_others(conn, clock.now(), me) == 1
        assert sign_out_others(conn, clock.now(), me) == 0
        assert sessions.identify(conn, clock.now(), other) is None
        sign_out(conn, clock.now(), me)
        sign_out(conn, clock.now(), me)
        assert sessions.identify(conn, clock.now(), mine) is None
        entry = journal.entries(conn)[-1]
    assert (entry.kind, entry.actor, entry.subject) == ("access.signed_out", "person:ada", "user:ada")
    assert kinds(store).count("access.signed_out") == 2


def test_a_role_changed_meanwhile_is_the_role_of_the_session(
    store: Store, clock: ManualClock, verify: Counting
) -> None:
    add(store, clock.now(), "ada")
    token = sign_in(store, clock, "ada", GOOD, HOME, verify=verify)
    with store.write() as conn:
        conn.execute(update(users_table).values(role="responder"))
        found = sessions.identify(conn, clock.now(), token)
    assert found is not None
    assert found.role is Role.RESPONDER
