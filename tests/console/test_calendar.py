"""Weeks tile, and a bar stands where the rota's clocks put it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests.oncall.rotas import rota, utc
from watchkeeper.console import calendar
from watchkeeper.oncall.rota import Shift, shifts

BERLIN = "Europe/Berlin"


def laid_out(first: date, count: int = 6, zone: str = BERLIN, **layer: Any) -> tuple[calendar.Week, ...]:
    one = rota({"participants": ["ada", "ben"], **layer}, timezone=zone)
    begin = calendar.midnight(first, zone)
    end = calendar.midnight(first + timedelta(weeks=count), zone)
    return calendar.weeks(shifts(one, (), begin, end), first, count, zone)


@pytest.mark.parametrize(
    "zone", [BERLIN, "UTC", "America/St_Johns", "Pacific/Chatham", "Australia/Lord_Howe"]
)
@pytest.mark.parametrize(
    "layer",
    [{}, {"handover": {"every": "1h"}}, {"handover": {"every": "daily"}}, {"hours": ["mon-fri 09:00-17:00"]}],
)
def test_the_bars_of_a_week_fill_its_seven_days(zone: str, layer: dict[str, Any]) -> None:
    for first in (date(2026, 3, 23), date(2026, 10, 19), date(2026, 6, 1)):
        found = laid_out(first, zone=zone, **layer)
        assert len(found) == 6
        for week in found:
            assert sum(bar.width for bar in week.bars) == calendar.SLOTS
            assert week.days[0].weekday() == 0
            assert len(week.days) == 7


def test_a_handover_is_on_the_same_line_in_summer_and_in_winter() -> None:
    for first in (date(2026, 3, 23), date(2026, 10, 19)):  # the clocks change on their last day
        assert {week.bars[0].width for week in laid_out(first)} == {9}


def test_a_bar_that_goes_on_says_so() -> None:
    first, second = laid_out(date(2026, 3, 2), 2)[0].bars
    assert (first.begins, first.ends) == (True, True)  # cut to what was asked for
    assert (second.begins, second.ends) == (True, False)


def test_what_is_shorter_than_half_an_hour_takes_no_place() -> None:
    begin = utc("2026-03-02 00:00")
    short = begin + timedelta(minutes=10)
    found = [Shift("ada", begin, short), Shift("ben", short, begin + timedelta(weeks=1))]
    (week,) = calendar.weeks(found, date(2026, 3, 2), 1, "UTC")
    assert [(bar.shift.contact, bar.width) for bar in week.bars] == [("ben", calendar.SLOTS)]


def test_the_first_day_is_the_monday_on_the_rotas_clocks() -> None:
    late = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)  # a Sunday in London, a Monday in Berlin
    assert calendar.first_day(late, "Europe/London") == date(2026, 2, 23)
    assert calendar.first_day(late, BERLIN) == date(2026, 3, 2)
