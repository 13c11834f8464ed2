"""Who is on call: laws of every rota, and the rules by which one person stands over another."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oncall.rotas import local, rota, utc
from watchkeeper.oncall.rota import Override, next_shift, on_call, shifts, whole_shifts
from watchkeeper.oncall.turns import turns
from watchkeeper.runbook.models.people import Rota

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]
PEOPLE = ["ada", "ben", "cleo", "dan"]
EVERY = ["6h", "12h", "daily", "36h", "3d", "weekly", "2w", "monthly"]
HOURS = ["mon-fri 09:00-17:00", "22:00-06:00", "sat,sun", "sun 01:30-02:30"]
BASE = utc("2026-01-01")
MOMENTS = st.integers(0, 365 * 24 * 4).map(lambda quarter: BASE + timedelta(minutes=15 * quarter))


@st.composite
def layers(draw: st.DrawFn) -> dict[str, Any]:
    start = draw(st.none() | MOMENTS)
    return {
        "participants": draw(st.lists(st.sampled_from(PEOPLE), max_size=4)),
        "handover": {
            "every": draw(st.sampled_from(EVERY)),
            "weekday": draw(st.sampled_from(["monday", "wednesday", "sunday"])),
            "at": draw(st.sampled_from(["00:00", "01:45", "02:00", "02:30", "09:00", "23:59"])),
        },
        "start": None if start is None else start.isoformat(),
        "hours": draw(st.lists(st.sampled_from(HOURS), max_size=2)),
    }


@st.composite
def made(draw: st.DrawFn) -> Override:
    start = draw(MOMENTS)
    return Override(draw(st.sampled_from(PEOPLE)), start, start + timedelta(hours=draw(st.integers(1, 400))))


ROTAS = st.builds(
    lambda several, zone: rota(*several, timezone=zone),
    st.lists(layers(), max_size=3),
    st.sampled_from(ZONES),
)


@settings(deadline=None, max_examples=60)
@given(ROTAS, st.lists(made(), max_size=3), MOMENTS, st.integers(1, 60 * 24 * 60))
def test_shifts_tile_the_interval_exactly(
    one: Rota, overrides: list[Override], start: datetime, minutes: int
) -> None:
    end = start + timedelta(minutes=minutes)
    found = shifts(one, overrides, start, end)
    assert (found[0].start, found[-1].end) == (start, end)
    assert all(shift.start < shift.end for shift in found)
    assert all(before.end == after.start for before, after in pairwise(found))
    assert all(before.contact is not None or after.contact is not None for before, after in pairwise(found))
    assert all((shift.contact is None) == (shift.because == "nobody") for shift in found)


@settings(deadline=None, max_examples=40)
@given(ROTAS, st.lists(made(), max_size=3), MOMENTS, st.integers(0, 20 * 86_400_000_000 - 1))
def test_a_moment_has_the_shift_that_the_schedule_shows(
    one: Rota, overrides: list[Override], start: datetime, microseconds: int
) -> None:
    end = start + timedelta(days=20)
    at = start + timedelta(microseconds=microseconds)
    shown = next(shift for shift in shifts(one, overrides, start, end) if shift.start <= at < shift.end)
    asked = on_call(one, overrides, at)
    assert (asked.contact, asked.because) == (shown.contact, shown.because)
    assert asked.start <= shown.start <= at < shown.end <= asked.end
    assert start == shown.start or asked.start == shown.start
    assert end == shown.end or asked.end == shown.end


@settings(deadline=None, max_examples=40)
@given(
    st.permutations(PEOPLE), st.sampled_from(EVERY), st.sampled_from(ZONES), st.integers(1, 8), st.booleans()
)
def test_each_participant_has_as_many_turns_as_any_other(
    people: list[str], every: str, zone: str, rounds: int, started: bool
) -> None:
    start = {"start": "2026-01-05T09:00:00+00:00"} if started else {}
    one = rota({"participants": people, "handover": {"every": every}, **start}, timezone=zone)
    end = BASE + timedelta(days=31 * len(people) * (rounds + 1))
    numbers = [turn.number for turn in turns(one.layers[0], ZoneInfo(zone), BASE, end)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    counted = Counter(people[number % len(people)] for number in numbers[: len(people) * rounds])
    assert set(counted.values()) == {min(len(numbers), len(people) * rounds) // len(people)}


@settings(deadline=None, max_examples=30)
@given(ROTAS, st.lists(made(), max_size=2), MOMENTS, MOMENTS)
def test_whole_shifts_are_the_same_in_every_interval(
    one: Rota, overrides: list[Override], start: datetime, other: datetime
) -> None:
    first, second = sorted([start, other])
    found = whole_shifts(one, overrides, first, first + timedelta(days=3))
    few = {shift for shift in found if shift.end - shift.start < timedelta(days=700)}  # longer ones are cut
    more = set(whole_shifts(one, overrides, first - timedelta(days=40), first + timedelta(days=50)))
    assert few <= more
    assert whole_shifts(one, overrides, second, second) == []


WEEK = {"participants": ["ada", "ben"], "start": "2026-03-02T09:00:00+00:00"}


def _who(one: Rota, overrides: list[Override], start: str, end: str) -> list[tuple[str | None, str]]:
    found = shifts(one, overrides, utc(start), utc(end))
    return [(shift.contact, shift.start.strftime("%m-%d %H")) for shift in found]


def test_people_take_turns_and_nobody_is_on_call_before_the_start() -> None:
    assert _who(rota(WEEK), [], "2026-03-01", "2026-03-17") == [
        (None, "03-01 00"),
        ("ada", "03-02 09"),
        ("ben", "03-09 09"),
        ("ada", "03-16 09"),
    ]


def test_a_later_layer_stands_over_an_earlier_one_where_it_has_somebody() -> None:
    office = {"id": "office", "participants": ["cleo"], "hours": ["mon-fri 10:00-12:00"]}
    one = rota(WEEK, office, {"id": "empty"})
    assert _who(one, [], "2026-03-06", "2026-03-09") == [
        ("ada", "03-06 00"),
        ("cleo", "03-06 10"),
        ("ada", "03-06 12"),
    ]
    assert [shift.because for shift in shifts(one, [], utc("2026-03-06"), utc("2026-03-07"))] == [
        "layer layer-0",
        "layer office",
        "layer layer-0",
    ]


def test_the_override_made_last_stands_over_all() -> None:
    written = {"contact": "cleo", "start": "2026-03-03T00:00:00+00:00", "end": "2026-03-05T00:00:00+00:00"}
    stored = Override("dan", utc("2026-03-04"), utc("2026-03-06"), "swap", 1)
    newer = Override("ben", utc("2026-03-05 12:00"), utc("2026-03-05 18:00"), None, 2)
    assert _who(rota(WEEK, overrides=(written,)), [stored, newer], "2026-03-03", "2026-03-07") == [
        ("cleo", "03-03 00"),
        ("dan", "03-04 00"),
        ("ben", "03-05 12"),
        ("dan", "03-05 18"),
        ("ada", "03-06 00"),
    ]
    assert on_call(rota(WEEK), [stored], utc("2026-03-04")).because == "override: swap"


@pytest.mark.parametrize("one", [rota(), rota({"participants": []})])
def test_a_rota_without_people_is_one_long_gap(one: Rota) -> None:
    found = shifts(one, [], utc("2026-03-01"), utc("2026-04-01"))
    assert [(shift.contact, shift.start, shift.end) for shift in found] == [
        (None, utc("2026-03-01"), utc("2026-04-01"))
    ]
    assert on_call(one, [], utc("2026-03-01")).contact is None


def test_two_turns_of_one_person_are_two_shifts() -> None:
    alone = rota({**WEEK, "participants": ["ada"]})
    now = on_call(alone, [], utc("2026-03-10"))
    assert (now.start, now.end) == (utc("2026-03-09 09:00"), utc("2026-03-16 09:00"))
    assert next_shift(alone, [], now).contact == "ada"


def test_a_week_with_a_change_of_the_clocks_is_an_hour_shorter_and_ends_on_time() -> None:
    one = rota({"participants": ["ada"]}, timezone="Europe/Berlin")
    shift = on_call(one, [], utc("2026-03-25"))
    assert local(shift.end, "Europe/Berlin") == "Mon 2026-03-30 09:00"
    assert shift.end - shift.start == timedelta(days=7, hours=-1)


def test_an_empty_interval_has_no_shift() -> None:
    assert shifts(rota(WEEK), [], utc("2026-03-10"), utc("2026-03-10")) == []
