"""The queue of events: in order, on time, and what is due while one waits runs inside it."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from tests.simulation.timeline import Activity, Timeline, moments
from watchkeeper.store.clock import ManualClock


def _timeline() -> tuple[Timeline, ManualClock]:
    clock = ManualClock(datetime(2026, 1, 5, tzinfo=UTC))
    return Timeline(clock), clock


def test_events_run_in_the_order_of_their_times_with_the_clock_at_each() -> None:
    timeline, _ = _timeline()
    seen: list[tuple[str, float]] = []
    for name, when in (("late", 9.0), ("early", 2.0), ("same time, asked for second", 9.0)):
        timeline.at(when, lambda name=name: seen.append((name, timeline.now)))  # type: ignore[misc]
    timeline.run_until(10.0)
    assert seen == [("early", 2.0), ("late", 9.0), ("same time, asked for second", 9.0)]
    assert timeline.now == 10.0


def test_what_is_due_while_an_event_waits_runs_inside_it() -> None:
    timeline, _ = _timeline()
    seen: list[str] = []

    def send() -> None:
        seen.append("sent")
        timeline.run_until(timeline.now + 5.0)
        seen.append("answered")

    timeline.at(1.0, send)
    timeline.at(3.0, lambda: seen.append("meanwhile"))
    timeline.at(7.0, lambda: seen.append("afterwards"))
    timeline.run_until(10.0)
    assert seen == ["sent", "meanwhile", "answered", "afterwards"]


def test_a_step_of_the_wall_clock_moves_no_event() -> None:
    timeline, clock = _timeline()
    seen: list[float] = []
    timeline.at(60.0, lambda: seen.append(timeline.now))
    timeline.at(30.0, lambda: clock.jump(-7200.0))
    timeline.run_until(100.0)
    assert seen == [60.0]


def test_an_activity_is_done_at_the_earliest_time_that_was_asked_for_and_once() -> None:
    timeline, _ = _timeline()
    seen: list[float] = []
    activity = Activity(timeline, lambda: seen.append(timeline.now))
    for seconds in (9.0, 4.0, 6.0):
        activity.after(seconds)
    timeline.run_until(20.0)
    assert seen == [4.0]
    activity.after(1.0)
    timeline.run_until(30.0)
    assert seen == [4.0, 21.0]


def test_a_longer_story_begins_as_a_shorter_one() -> None:
    short = list(moments(random.Random(7), 0.1, 100.0))
    assert short
    assert list(moments(random.Random(7), 0.1, 1000.0))[: len(short)] == short
