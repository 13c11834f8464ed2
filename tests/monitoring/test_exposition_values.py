"""Values in bulk are the same as values one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.monitoring.exposition.grammar import LineError, parse_value
from watchkeeper.monitoring.exposition.values import BadValueError, parse_values
from watchkeeper.monitoring.samples.frame import NORMAL_NAN_BITS

_ODD = ["-0", "+5", ".5", "5.", "007", "1e5", "NaN", "+Inf", "-inf", "Infinity", "9" * 30, "4.9e-324", "-0.0"]
_BAD = [
    "1e999",
    "-1e400",
    "x",
    "",
    "1_0",
    "0x1p2",
    "1\r",
    "nul",
    "true",
    "[1]",
    "1,2",
    '"1"',
    "- 1",
    "9" * 400,
]
_WORDS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(_ODD),
)


@given(st.lists(_WORDS, max_size=12))
def test_bulk_and_single_values_are_the_same_bits(words: list[str]) -> None:
    text = "".join(f"{word}\n" for word in words).encode()
    got = parse_values(text)
    expected = np.array([parse_value(word.encode()) for word in words], np.float64)
    numbers = ~np.isnan(expected)
    assert np.array_equal(got[numbers].view(np.uint64), expected[numbers].view(np.uint64))
    assert (got[~numbers].view(np.uint64) == NORMAL_NAN_BITS).all()


@given(st.lists(_WORDS, max_size=5), st.sampled_from(_BAD), st.lists(_WORDS, max_size=5))
def test_the_first_bad_value_is_named(before: list[str], bad: str, after: list[str]) -> None:
    text = "".join(f"{word}\n" for word in [*before, bad, *after]).encode()
    with pytest.raises(BadValueError) as caught:
        parse_values(text)
    assert caught.value.index == len(before)
    with pytest.raises(LineError) as single:
        parse_value(bad.encode())
    assert str(caught.value) == str(single.value)


def test_negative_zero_keeps_its_sign_wherever_it_stands() -> None:
    for text in (b"-0\n1\n", b"1\n-0\n1\n", b"1\n-0\n", b"-0\n"):
        values = parse_values(text)
        assert math.copysign(1, values[values == 0][0]) == -1
