"""Clocks, stages and distances in words, without a store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.console.clocks import clock_state, clock_words
from watchkeeper.console.incident_words import distance
from watchkeeper.console.rendering import left
from watchkeeper.incidents.models import Countdown

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def clock(clause: str = "incidents.update", minutes: int = 15) -> Countdown:
    due = NOW + timedelta(minutes=minutes)
    return Countdown(clause, "incident 1: something", "running", NOW, NOW + 0.8 * (due - NOW), due)


@pytest.mark.parametrize(
    ("after", "state"),
    [(0, "ok"), (719, "ok"), (720, "warn"), (899, "warn"), (900, "missed"), (9000, "missed")],
)
def test_a_clock_warns_at_four_fifths_of_its_time_and_is_over_at_its_end(after: int, state: str) -> None:
    assert clock_state(clock(), NOW + timedelta(seconds=after)) == state


def test_a_clock_says_what_it_asks_for() -> None:
    assert clock_words(clock("incidents.acknowledge")) == "Acknowledge"
    assert clock_words(clock("drills.retrospective")) == "incident 1: something"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0:00 left"),
        (59.9, "0:59 left"),
        (185, "3:05 left"),
        (3599, "59:59 left"),
        (3600, "1 h 00 min left"),
        (86_399, "23 h 59 min left"),
        (2 * 86_400 + 4 * 3600, "2 d 4 h left"),
        (-1, "over by 1 s"),
        (-200, "over by 3 min"),
    ],
)
def test_a_countdown_in_words(seconds: float, words: str) -> None:
    assert left(seconds) == words


@given(st.integers(-(10**7), 10**7))
def test_a_distance_says_on_which_side_of_the_begin_it_is(seconds: int) -> None:
    said = distance(NOW + timedelta(seconds=seconds), NOW)
    assert said.endswith("before" if seconds < 0 else "began")
