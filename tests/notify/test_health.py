"""How long a receiver is left alone, and what of it the journal is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.notify import health
from watchkeeper.notify.answers import try_again
from watchkeeper.notify.health import Change, Health

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ERROR = try_again("it answered 503")
DRAWS = st.floats(0, 1, exclude_max=True)


@given(st.integers(0, 10_000), DRAWS, st.none() | st.floats(0, 1e9))
def test_the_next_attempt_is_always_within_five_minutes_and_never_at_once(
    attempts: int, draw: float, asked: float | None
) -> None:
    wait = (health.next_attempt(attempts, try_again("x", asked), NOW, draw) - NOW).total_seconds()
    assert 0.5 <= wait <= 300
    if asked is not None:
        assert wait >= min(asked, 300) - 1e-6


def test_delays_double_and_are_spread_over_their_whole_range() -> None:
    assert [health.jittered(step, 300, 0.999_999) for step in range(9)] == pytest.approx(
        [2, 4, 8, 16, 32, 64, 128, 256, 300], rel=1e-3
    )
    assert health.jittered(5, 300, 0.5) == 32
    assert health.jittered(5, 300, 0.0) == 0.5


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 400), DRAWS), max_size=40))
def test_a_failure_is_announced_once_and_its_end_once(course: list[tuple[bool, int, float]]) -> None:
    state, now, told = Health(), NOW, list[Change]()
    for good, seconds, draw in course:
        now += timedelta(seconds=seconds)
        state, change = (
            health.after_success(state, now) if good else health.after_failure(state, ERROR, now, draw)
        )
        told += [change] if change else []
        assert state.announced == bool(told and told[-1] is Change.FAILING)
        assert state.blocked_until is None or state.blocked_until - now <= MINUTE
    assert all(one is not other for one, other in pairwise(told))
    assert not told or told[0] is Change.FAILING


def test_one_unlucky_request_does_not_hold_up_the_others() -> None:
    state, change = health.after_failure(Health(), ERROR, NOW, 0.9)
    assert change is Change.FAILING
    assert not state.blocked(NOW)
    assert not state.down


def test_a_receiver_that_is_down_is_probed_at_least_every_minute() -> None:
    state, now = Health(), NOW
    for _ in range(100):
        state, _ = health.after_failure(state, ERROR, now, 0.999)
        if state.blocked_until:
            assert state.blocked_until - now <= MINUTE
            now = state.blocked_until
    assert state.down


def test_what_the_receiver_asks_for_is_given_up_to_five_minutes() -> None:
    state, _ = health.after_failure(Health(), try_again("429", 30), NOW, 0.1)
    assert state.blocked_until == NOW + timedelta(seconds=30)
    state, _ = health.after_failure(Health(), try_again("429", 86400), NOW, 0.1)
    assert state.blocked_until == NOW + 5 * MINUTE


def test_a_block_does_not_outlive_a_clock_that_was_set_back() -> None:
    state, _ = health.after_failure(Health(), try_again("429", 300), NOW, 0.1)
    assert state.blocked(NOW + MINUTE)
    assert not state.blocked(NOW - timedelta(hours=1))


def test_a_receiver_that_flaps_is_announced_again_only_if_it_stays_down() -> None:
    failing, _ = health.after_failure(Health(), ERROR, NOW, 0.5)
    recovered, change = health.after_success(failing, NOW + MINUTE)
    assert change is Change.RECOVERED
    again, change = health.after_failure(recovered, ERROR, NOW + 2 * MINUTE, 0.5)
    assert change is None
    _, change = health.after_success(again, NOW + 2 * MINUTE)
    assert change is None
    again = replace(again, failures=2)
    _, change = health.after_failure(again, ERROR, NOW + 3 * MINUTE, 0.5)
    assert change is Change.FAILING
    _, change = health.after_failure(recovered, ERROR, NOW + 60 * MINUTE, 0.5)
    assert change is Change.FAILING


def test_what_was_sent_before_a_failure_was_known_counts_once_and_its_wait_counts() -> None:
    first, _ = health.after_failure(Health(), ERROR, NOW, 0.5)
    for _ in range(10):
        again, change = health.after_failure(first, ERROR, NOW, 0.5, known=True)
        assert (again, change) == (first, None)
    held, _ = health.after_failure(first, try_again("429", 30), NOW, 0.5, known=True)
    assert held == replace(first, blocked_until=NOW + timedelta(seconds=30), blocked_at=NOW)
    shorter, _ = health.after_failure(held, try_again("429", 10), NOW, 0.5, known=True)
    assert shorter == held
    alone, change = health.after_failure(Health(), ERROR, NOW, 0.5, known=True)
    assert (alone.failures, change) == (1, Change.FAILING)  # a success came in between
