"""Passwords: Argon2id, two at a time, and nobody's takes as long as somebody's."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from argon2 import PasswordHasher

from tests.access.people import GOOD
from watchkeeper.access import passwords
from watchkeeper.access.models import AccessError, ThrottledError


def test_a_password_matches_its_hash_and_no_other_does() -> None:
    kept = passwords.hash_password(GOOD)
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert GOOD not in kept
    assert passwords.matches(kept, GOOD)
    assert not passwords.matches(kept, GOOD + " ")
    assert not passwords.matches(kept, "")
    assert passwords.hash_password(GOOD) != kept  # a salt of its own


def test_the_same_characters_match_however_they_are_composed() -> None:
    assert passwords.matches(passwords.hash_password("geschlängelt am Fluss"), "geschla\u0308ngelt am Fluss")


@pytest.mark.parametrize("kept", [None, "", "not a hash"])
def test_nothing_matches_where_there_is_no_hash(kept: str | None) -> None:
    assert not passwords.matches(kept, GOOD)


def test_a_damaged_hash_is_said_to_be_one() -> None:
    with pytest.raises(AccessError, match="could not be verified"):
        passwords.matches("$argon2id$v=19$broken", GOOD)


def test_what_nobody_has_costs_the_same_as_a_real_one() -> None:
    assert not passwords.needs_rehash(passwords.NOBODY)
    assert passwords.needs_rehash(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(GOOD))


def test_an_absent_user_is_verified_too(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real = passwords._hasher.verify

    class Watching:
        def verify(self, kept: str, given: bytes) -> bool:
            seen.append(kept)
            return real(kept, given)

    monkeypatch.setattr(passwords, "_hasher", Watching())
    assert not passwords.matches(None, GOOD)
    assert not passwords.matches("$argon2id$v=19$whatever", "x" * 2000)
    assert seen == [passwords.NOBODY, passwords.NOBODY]


def test_a_long_text_is_not_cut_into_a_match() -> None:
    kept = passwords.hash_password("x" * passwords.LONGEST_BYTES)
    assert passwords.matches(kept, "x" * passwords.LONGEST_BYTES)
    assert not passwords.matches(kept, "x" * (passwords.LONGEST_BYTES + 1))
    assert not passwords.matches(kept, "\ud800")  # what no UTF-8 has


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("elevenchars", "at least 12"),
        ("ada-lovelace-1", "not the username"),
        ("Ada-Lovelace-1 ", "not the username"),
        ("ä" * 600, "at most 1024 bytes"),
    ],
)
def test_weak_passwords_are_refused_with_what_would_do(text: str, said: str) -> None:
    with pytest.raises(AccessError, match=said) as refused:
        passwords.check_strength(text, "ada-lovelace-1")
    assert text.strip() not in str(refused.value)


def test_twelve_characters_are_enough() -> None:
    passwords.check_strength("twelve chars", "ada")
    passwords.check_strength("ä" * 512, "ada")


def test_two_are_computed_at_once_and_no_third() -> None:
    running, most, lock = 0, 0, threading.Lock()
    both = threading.Barrier(2, timeout=10)

    def one(_: int) -> None:
        nonlocal running, most
        with passwords.turn():
            with lock:
                running += 1
                most = max(most, running)
            both.wait()
            with lock:
                running -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(16)))
    assert most == 2


def test_whoever_waits_too_long_for_a_turn_is_told_when_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passwords, "PATIENCE", timedelta(milliseconds=20))
    with passwords.turn(), passwords.turn():
        with pytest.raises(ThrottledError, match="try again") as refused:
            passwords.matches(None, GOOD)
        assert refused.value.retry_after == timedelta(milliseconds=20)
    assert not passwords.matches(None, GOOD)
