"""Turns: when they begin, through changes of the clocks, and how they are counted."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from tests.oncall.rotas import local, rota, utc
from watchkeeper.oncall.turns import Turn, hours, turns
from watchkeeper.runbook.wall_clock import instant


def _turns(layer: dict[str, Any], zone: str, start: str, days: float) -> list[Turn]:
    one = rota(layer, timezone=zone).layers[0]
    return list(turns(one, ZoneInfo(zone), utc(start), utc(start) + timedelta(days=days)))


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("Europe/Berlin", "2026-03-20"),
        ("Europe/Berlin", "2026-10-15"),
        ("America/New_York", "2026-03-01"),
        ("America/New_York", "2026-10-25"),
        ("Australia/Lord_Howe", "2026-03-27"),
        ("Australia/Lord_Howe", "2026-09-25"),
    ],
)
@pytest.mark.parametrize("every", ["daily", "weekly", "2w", "monthly", "3d"])
def test_a_handover_is_at_the_same_local_time_in_summer_and_winter(zone: str, start: str, every: str) -> None:
    layer = {"participants": ["a"], "handover": {"every": every, "weekday": "wednesday", "at": "09:00"}}
    shown = {local(turn.start, zone)[-5:] for turn in _turns(layer, zone, start, 90)}
    assert shown == {"09:00"}


@pytest.mark.parametrize(
    ("zone", "shown", "moment"),
    [
        ("Europe/Berlin", "2026-03-29 02:30", "2026-03-29 01:30"),  # skipped: 03:30 summer time
        ("Europe/Berlin", "2026-10-25 02:30", "2026-10-25 00:30"),  # twice: the first, still summer time
        ("America/New_York", "2026-03-08 02:30", "2026-03-08 07:30"),
        ("America/New_York", "2026-11-01 01:30", "2026-11-01 05:30"),
        ("Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-03 15:45"),  # half an hour: 02:45
        ("Australia/Lord_Howe", "2026-04-05 01:45", "2026-04-04 14:45"),
    ],
)
def test_a_skipped_time_comes_later_and_a_repeated_one_is_the_first(
    zone: str, shown: str, moment: str
) -> None:
    assert instant(datetime.fromisoformat(shown), ZoneInfo(zone)) == utc(moment)


def test_twelve_hour_turns_keep_their_two_times_of_day() -> None:
    layer = {"participants": ["day", "night"], "handover": {"every": "12h", "at": "08:00"}}
    found = _turns(layer, "Europe/Berlin", "2026-03-27", 5)
    assert {local(turn.start, "Europe/Berlin")[-5:] for turn in found} == {"08:00", "20:00"}
    assert {local(turn.start, "Europe/Berlin")[-5:] for turn in found if turn.number % 2 == 0} == {"08:00"}


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "UTC"])
def test_hourly_turns_follow_each_other_through_every_change(zone: str) -> None:
    layer = {"participants": ["a"], "handover": {"every": "hourly"}}
    for start in ("2011-12-28", "2026-03-28", "2026-04-03", "2026-10-02", "2026-10-24"):
        found = _turns(layer, zone, start, 4)
        assert all(one.end == two.start for one, two in pairwise(found))
        assert all(one.start < one.end for one in found)
        assert found[0].start <= utc(start)
        assert found[-1].end >= utc(start) + timedelta(days=4)


def test_without_a_start_turn_zero_begins_with_2024() -> None:
    found = _turns({"participants": ["a"], "handover": {"weekday": "monday"}}, "UTC", "2024-01-01 09:00", 8)
    assert found[0] == Turn(0, utc("2024-01-01 09:00"), utc("2024-01-08 09:00"))
    before = _turns({"participants": ["a"], "handover": {"weekday": "friday"}}, "UTC", "2024-01-01", 5)
    assert [turn.number for turn in before] == [-1, 0]
    assert before[1].start == utc("2024-01-05 09:00")


@pytest.mark.parametrize(
    ("every", "start", "first_end"),
    [
        ("weekly", "2026-03-02T09:00:00+00:00", "2026-03-09 09:00"),
        ("weekly", "2026-03-02T00:00:00+00:00", "2026-03-09 09:00"),  # the day counts, not nine hours
        ("weekly", "2026-03-04T12:00:00+00:00", "2026-03-09 09:00"),
        ("2w", "2026-03-04T12:00:00+00:00", "2026-03-16 09:00"),
        ("daily", "2026-03-04T12:00:00+00:00", "2026-03-05 09:00"),
        ("12h", "2026-03-04T12:00:00+00:00", "2026-03-04 21:00"),
        ("12h", "2026-03-04T02:00:00+00:00", "2026-03-04 09:00"),
        ("monthly", "2026-01-31T00:00:00+00:00", "2026-02-28 09:00"),
        ("quarterly", "2026-01-01T09:00:00+00:00", "2026-04-01 09:00"),
        ("yearly", "2024-02-29T09:00:00+00:00", "2025-02-28 09:00"),
        ("1mo2d", "2026-01-01T09:00:00+00:00", "2026-02-03 09:00"),
    ],
)
def test_the_first_turn_begins_with_the_start_and_nobody_before(
    every: str, start: str, first_end: str
) -> None:
    layer = {"participants": ["a"], "start": start, "handover": {"every": every}}
    found = _turns(layer, "UTC", "2023-01-01", 1500)
    assert (found[0].number, found[0].start) == (0, datetime.fromisoformat(start))
    assert found[0].end == utc(first_end)


def test_an_interval_that_ends_between_the_start_and_its_handover_has_the_first_turn() -> None:
    layer = {"participants": ["a"], "start": "2026-03-02T00:00:00+00:00"}
    assert [turn.number for turn in _turns(layer, "UTC", "2026-03-01", 1.2)] == [0]


def test_a_monthly_turn_hands_over_on_the_last_day_of_a_month_that_is_too_short() -> None:
    layer = {"participants": ["a"], "start": "2026-01-31T09:00:00+00:00", "handover": {"every": "monthly"}}
    days = [local(turn.start, "UTC")[4:14] for turn in _turns(layer, "UTC", "2026-01-01", 130)]
    assert days == ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]


def test_a_turn_shorter_than_an_hour_is_a_mistake_of_the_runbook() -> None:
    with pytest.raises(ValidationError, match="at least an hour"):
        rota({"participants": ["a"], "handover": {"every": "15m"}})


def test_hours_are_local_and_may_cross_midnight() -> None:
    layer = rota({"participants": ["a"], "hours": ["fri 22:00-06:00", "mon-fri 09:00-17:00"]}).layers[0]
    found = hours(layer, ZoneInfo("Europe/Berlin"), utc("2026-03-27"), utc("2026-03-30 12:00"))
    assert [tuple(local(end, "Europe/Berlin") for end in span) for span in found] == [
        ("Fri 2026-03-27 09:00", "Fri 2026-03-27 17:00"),
        ("Fri 2026-03-27 22:00", "Sat 2026-03-28 06:00"),
        ("Mon 2026-03-30 09:00", "Mon 2026-03-30 17:00"),
    ]
