"""Compensated sums against exact arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.monitoring.promql import summation

NUMBERS = st.one_of(
    st.floats(-1e6, 1e6, allow_nan=False),
    st.sampled_from([1e100, -1e100, 1e16, -1e16, 1.0, -1.0, 1e-20]),
)


@pytest.mark.parametrize("longest_in_sequence", [1, 512], ids=["tree", "sequence"])
@settings(max_examples=100, deadline=None)
@given(segments=st.lists(st.lists(NUMBERS, min_size=1, max_size=20), min_size=1, max_size=6))
def test_sums_are_exact_but_for_the_last_bits(longest_in_sequence: int, segments: list[list[float]]) -> None:
    values = np.array([value for segment in segments for value in segment])
    counts = np.array([len(segment) for segment in segments])
    starts = np.cumsum(counts) - counts
    before = summation._SEQUENTIAL
    summation._SEQUENTIAL = longest_in_sequence
    try:
        sums = summation.sums(values, starts, counts).tolist()
        means = summation.means(values, starts, counts).tolist()
    finally:
        summation._SEQUENTIAL = before
    for segment, total, mean in zip(segments, sums, means, strict=True):
        exact = sum(map(Fraction, segment), Fraction(0))
        # Twice-compensated sums are as good as ones in twice the precision.
        magnitude = sum((abs(Fraction(value)) for value in segment), Fraction(0))
        slack = Fraction(1, 2**52) * abs(exact) + Fraction(len(segment), 2**98) * magnitude
        assert abs(Fraction(total) - exact) <= slack
        assert abs(Fraction(mean) - exact / len(segment)) <= 3 * slack / len(segment)


@given(st.lists(st.one_of(NUMBERS, st.sampled_from([math.nan, math.inf, -math.inf, 1e308])), max_size=8))
def test_plain_addition_is_used_only_where_nothing_cancels(values: list[float]) -> None:
    harmless = summation.cannot_cancel(np.array(values))
    one_sign = all(value >= 0 for value in values) or all(value <= 0 for value in values)
    assert harmless == (one_sign and all(abs(value) < 1e299 for value in values))


def test_segments_may_overlap_and_leave_gaps() -> None:
    values = np.arange(10.0)
    starts, counts = np.array([0, 2, 1, 9]), np.array([3, 5, 1, 1])
    assert summation.segment_sums(values, starts, counts).tolist() == [3.0, 20.0, 1.0, 9.0]
    assert summation.sums(-values, starts, counts).tolist() == [-3.0, -20.0, -1.0, -9.0]
