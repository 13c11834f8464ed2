"""The budget: never more than the limit in any sixty seconds, and never idle for longer than it must."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.notify.budget import Budget

START = 1_767_582_000.0


@given(
    st.lists(st.floats(0, 45, allow_nan=False), max_size=120),
    st.sampled_from([1, 2, 5, 30]),
)
def test_no_window_of_sixty_seconds_holds_more_than_the_limit(gaps: list[float], limit: int) -> None:
    budget, now, sends = Budget(), START, list[float]()
    for gap in gaps:
        now += gap
        while budget.left(now, limit):
            budget = budget.spend(now)
            sends.append(now)
    for first in sends:
        assert sum(first <= send < first + 60 for send in sends) <= limit
    assert len(budget.at(now).sent) <= 61  # bounded, however long it runs


@given(st.lists(st.floats(0, 30), min_size=1, max_size=60), st.sampled_from([1, 3, 10]))
def test_it_says_when_it_will_be_free_and_is(gaps: list[float], limit: int) -> None:
    budget, now = Budget(), START
    for gap in gaps:
        now += gap
        if budget.left(now, limit):
            budget = budget.spend(now)
    wait = budget.seconds_until_free(now, limit)
    assert 0 <= wait <= 61
    assert budget.left(now + wait + 1e-3, limit) > 0


def test_a_clock_set_back_neither_frees_the_budget_nor_locks_it() -> None:
    budget = Budget().spend(START, 5)
    back = START - 3600
    assert budget.left(back, 5) == 0
    assert budget.spend(back).left(back + 61, 5) == 5


def test_a_rate_below_one_a_minute_still_lets_one_through() -> None:
    assert Budget().left(START, 0.5) == 1
