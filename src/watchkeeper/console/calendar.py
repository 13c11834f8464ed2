"""A rota's shifts laid out as a calendar: weeks as rows, shifts as bars on a grid of hours. Pure.

Always true: a week's bars fill its seven days exactly; a bar stands where the rota's clocks put it, so that
a handover is on the same line in summer and in winter (tests/console/test_calendar.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from watchkeeper.oncall.rota import Shift

SLOTS_A_DAY = 24
SLOTS = 7 * SLOTS_A_DAY
_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Bar:
    """``width`` of a week's :data:`SLOTS`. ``begins``, ``ends``: whether the shift does so in this week."""

    shift: Shift
    width: int
    begins: bool
    ends: bool


@dataclass(frozen=True, slots=True)
class Week:
    """Seven days from a Monday, and the shifts in them."""

    days: tuple[date, ...]
    bars: tuple[Bar, ...]


def first_day(now: datetime, zone: str) -> date:
    """The Monday of the week that ``now`` is in, in ``zone``."""
    today = now.astimezone(ZoneInfo(zone)).date()
    return today - timedelta(days=today.weekday())


def midnight(day: date, zone: str) -> datetime:
    """When ``day`` begins in ``zone``."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))


def weeks(shifts: Sequence[Shift], first: date, count: int, zone: str) -> tuple[Week, ...]:
    """``shifts``, which tile at least the ``count`` weeks from the Monday ``first``, as rows of bars."""
    found = []
    for number in range(count):
        monday = first + number * _WEEK
        begin, end = midnight(monday, zone), midnight(monday + _WEEK, zone)
        bars: list[Bar] = []
        at = 0
        for shift in shifts:
            if shift.end <= begin or shift.start >= end:
                continue
            until = SLOTS if shift.end >= end else _slot(shift.end, monday, zone)
            if until > at:  # what is shorter than half an hour is in the list alone
                bars.append(Bar(shift, until - at, shift.start >= begin, shift.end <= end))
                at = until
        days = tuple(monday + timedelta(days=day) for day in range(7))
        found.append(Week(days, tuple(bars)))
    return tuple(found)


def _slot(moment: datetime, monday: date, zone: str) -> int:
    """Where ``moment`` is in the week, as the wall clock has it, to the nearest hour."""
    local = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    hours = (local - datetime(monday.year, monday.month, monday.day)) / timedelta(hours=1)
    return min(SLOTS, max(0, round(hours * SLOTS_A_DAY / 24)))
