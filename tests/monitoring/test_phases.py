"""When targets are visited: just before an evaluation, always the same, earlier where they are slow."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.monitoring import phases
from watchkeeper.monitoring.phases import FIRST_SECONDS, TOLERANCE_SECONDS, VISIT_SECONDS, Phases

NUMBERS = st.integers(0, 2**64 - 1)
INTERVALS = st.sampled_from([1.0, 5.0, 15.0, 60.0])


def named(count: int) -> list[int]:
    return [int(hashlib.sha256(str(n).encode()).hexdigest()[:16], 16) for n in range(count)]


def before_evaluation(offset: float, every: float) -> float:
    """How long until the next evaluation."""
    return -offset % every


@given(NUMBERS, INTERVALS, INTERVALS, st.integers(1, 20))
def test_a_few_targets_are_visited_right_before_an_evaluation(
    number: int, interval: float, every: float, targets: int
) -> None:
    offset = Phases(every, targets).offset(number, interval)
    assert 0 <= offset < interval
    until = before_evaluation(offset, min(every, interval))
    assert FIRST_SECONDS - 1e-6 <= until <= FIRST_SECONDS + 2 * targets * VISIT_SECONDS


def test_targets_that_are_visited_less_often_share_the_evaluations_evenly() -> None:
    offsets = [Phases(15.0, 400).offset(number, 60.0) for number in named(400)]
    first = [offset for offset in offsets if offset > 45]
    assert 60 < len(first) < 140


def test_very_many_targets_are_spread_over_the_whole_interval_as_in_prometheus() -> None:
    offsets = sorted(Phases(15.0, 5000).offset(number, 15.0) for number in named(5000))
    for quarter in range(4):
        inside = [one for one in offsets if quarter * 3.75 <= one < (quarter + 1) * 3.75]
        assert 1100 < len(inside) < 1400


def test_no_moment_is_crowded() -> None:
    offsets = sorted(Phases(15.0, 500).offset(number, 15.0) for number in named(500))
    busiest = max(sum(one <= other < one + 0.1 for other in offsets) for one in offsets)
    assert busiest < 3 * 0.1 / VISIT_SECONDS


@given(NUMBERS, INTERVALS, INTERVALS, st.integers(1, 10_000), st.floats(0, 100))
def test_a_slow_target_begins_early_enough_up_to_half_a_cycle(
    number: int, interval: float, every: float, targets: int, took: float
) -> None:
    at = Phases(every, targets)
    cycle = min(interval, every)
    early = (at.offset(number, interval) - at.offset(number, interval, took)) % cycle
    until = FIRST_SECONDS + early
    assert until >= min(phases.HEADROOM * took, cycle / 2) - 1e-6 or targets * VISIT_SECONDS > cycle / 4
    assert early <= cycle / 2 + 1e-6 or cycle - early < 1e-6


@pytest.mark.parametrize(("interval", "every"), [(7.0, 5.0), (10.0, 15.0), (15.0, None)])
def test_where_nothing_can_be_aligned_targets_are_spread(interval: float, every: float | None) -> None:
    at = Phases(every, 10)
    offsets = sorted(at.offset(number, interval) for number in named(400))
    assert offsets[0] < interval / 20
    assert offsets[-1] > interval * 19 / 20
    assert {at.shift(number, interval, 3.0, 2.0) for number in named(50)} == {0.0}


@given(NUMBERS, INTERVALS, INTERVALS, st.floats(0, 1e6), st.floats(0, 20))
def test_a_shift_brings_a_visit_to_its_moment_by_at_most_half_a_cycle(
    number: int, interval: float, every: float, moment: float, took: float
) -> None:
    at, cycle = Phases(every, 10), min(interval, every)
    shift = at.shift(number, interval, moment, took)
    assert abs(shift) <= cycle / 2
    apart = (at.offset(number, interval, took) - moment - shift) % cycle
    assert min(apart, cycle - apart) <= TOLERANCE_SECONDS + 1e-6


def test_the_same_target_among_about_as_many_others_keeps_its_moment() -> None:
    (number,) = named(1)
    assert len({Phases(15.0, targets).offset(number, 15.0) for targets in range(33, 65)}) == 1
