"""How long a guesser must wait, and that nobody waits longer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.access import throttle
from watchkeeper.access.throttle import LONGEST_WAIT, SKEW, WINDOW, Failures, failed, is_over, is_told, wait

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def streak_of(count: int, free: int = 5) -> tuple[Failures, datetime]:
    """That many failures, each as soon as it is looked at; and the moment of the last."""
    streak, now = failed(None, NOW, free), NOW
    for _ in range(count - 1):
        now += wait(streak, now)
        streak = failed(streak, now, free)
    return streak, now


@pytest.mark.parametrize(
    ("count", "seconds"), [(1, 0), (4, 0), (5, 1), (6, 2), (7, 4), (10, 32), (14, 512), (15, 900), (50, 900)]
)
def test_the_wait_doubles_after_five_failures(count: int, seconds: int) -> None:
    streak, now = streak_of(count)
    assert wait(streak, now) == timedelta(seconds=seconds)
    assert wait(streak, now + timedelta(seconds=seconds)) == timedelta(0)


def test_an_address_has_twenty_for_nothing() -> None:
    streak, now = streak_of(19, throttle.FREE_FOR_ADDRESS)
    assert wait(streak, now) == timedelta(0)
    assert wait(failed(streak, now, throttle.FREE_FOR_ADDRESS), now) == SECOND


def test_a_streak_is_forgotten_fifteen_minutes_after_its_block() -> None:
    streak, now = streak_of(10)
    end = now + timedelta(seconds=32) + WINDOW
    assert not is_over(streak, end - SECOND)
    assert failed(streak, end - SECOND, 5).failures == 11
    assert is_over(streak, end)
    assert failed(streak, end, 5) == Failures(1, end, end)


def test_a_clock_that_was_set_back_blocks_nobody_for_long() -> None:
    streak, now = streak_of(20)
    assert wait(streak, now - timedelta(days=365)) == timedelta(0)
    assert wait(streak, now - SKEW) == LONGEST_WAIT + SKEW
    assert wait(streak, now - SKEW - SECOND) == timedelta(0)


def test_a_block_is_told_at_each_doubling() -> None:
    assert [count for count in range(1, 200) if is_told(count, 5)] == [5, 10, 20, 40, 80, 160]


@given(st.lists(st.integers(0, 2000), max_size=60), st.sampled_from([5, 20]))
def test_the_rows_kept_say_what_the_whole_history_would(gaps: list[int], free: int) -> None:
    """The model keeps every failure; what is stored is four values."""
    streak: Failures | None = None
    history: list[datetime] = []
    until = now = NOW
    for gap in gaps:
        now += gap * SECOND
        if history and now >= max(history[-1], until) + WINDOW:
            history = []
        expected = max(until - now, timedelta(0)) if history else timedelta(0)
        assert wait(streak, now) == expected <= LONGEST_WAIT
        if expected:
            continue  # it is not looked at, so it is no failure
        history.append(now)
        over = len(history) - free
        until = now + min(timedelta(seconds=2.0 ** min(over, 20)), LONGEST_WAIT) if over >= 0 else now
        streak = failed(streak, now, free)
        assert (streak.failures, streak.first_at, streak.last_at) == (len(history), history[0], now)


def test_a_guesser_gets_no_more_than_forty_tries_an_hour() -> None:
    best = 0.0
    for burst in range(1, 40):  # then wait until it is forgotten, and again
        streak, now = streak_of(burst)
        assert streak.blocked_until or burst < 5
        whole = max(streak.last_at, streak.blocked_until or now) + WINDOW - NOW
        best = max(best, burst / (whole / timedelta(hours=1)))
    assert 35 < best < 40


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "from:192.0.2.7"),
        ("::ffff:192.0.2.7", "from:192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "from:2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "from:2001:db8:1:2::/64"),
        ("fe80::1%eth0", "from:fe80::/64"),
        ("a unix\0socket", "from:a unix socket"),
        ("", "from:"),
    ],
)
def test_addresses_are_counted_by_who_has_them(address: str, key: str) -> None:
    assert throttle.address_key(address) == key


def test_a_name_that_nobody_has_cannot_be_read_from_its_key() -> None:
    assert throttle.name_key("ada", known=True) == "user:ada"
    key = throttle.name_key(typed := "my password, in the wrong field", known=False)
    assert len(key) == len("user:?") + 6
    assert typed not in key
    assert key == throttle.name_key(typed, known=False) != throttle.name_key("other", known=False)


@given(st.text(max_size=200) | st.text(alphabet="\ud800a", max_size=5))
def test_keys_are_short_whatever_was_typed(text: str) -> None:
    for key in (throttle.name_key(text, known=False), throttle.address_key(text)):
        assert len(key) <= throttle.LONGEST_KEY
