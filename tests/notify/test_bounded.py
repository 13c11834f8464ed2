"""Calls that may hang have an end, and few of them hang at the same time."""

from __future__ import annotations

import threading
import time

import pytest

from watchkeeper.notify.bounded import MAX_ABANDONED, Bounded, TooLongError


def test_what_the_call_returns_or_raises_is_passed_on() -> None:
    assert Bounded().run(lambda: 7, 5) == 7
    assert Bounded().run(lambda: None, 5) is None
    with pytest.raises(ZeroDivisionError):
        Bounded().run(lambda: 1 // 0, 5)


def test_a_call_that_hangs_is_left_in_time_and_told_so() -> None:
    release, told = threading.Event(), threading.Event()
    began = time.monotonic()
    with pytest.raises(TooLongError, match=r"within 0\.1 s"):
        Bounded().run(lambda: release.wait(30), 0.1, told.set)
    assert time.monotonic() - began < 1
    assert told.is_set()
    release.set()


def test_no_more_than_a_few_calls_hang_at_the_same_time_and_room_comes_back() -> None:
    release, bounded = threading.Event(), Bounded()
    for _ in range(MAX_ABANDONED):
        with pytest.raises(TooLongError, match="no complete answer"):
            bounded.run(lambda: release.wait(30), 0.01)
    with pytest.raises(TooLongError, match="still hang"):
        bounded.run(lambda: 7, 0.01)
    release.set()
    for _ in range(100):
        try:
            assert bounded.run(lambda: 7, 1) == 7
            return
        except TooLongError:
            time.sleep(0.01)
    raise AssertionError("there is no room again")
