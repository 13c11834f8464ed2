"""Times that come again: on clocks that change, and by any sequence of questions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.store.cron import Schedule, ScheduleError, cron, every, parse

BERLIN = ZoneInfo("Europe/Berlin")


def times(schedule: Schedule, start: datetime, count: int) -> list[datetime]:
    found = [schedule.after(start)]
    while len(found) < count:
        found.append(schedule.after(found[-1]))
    return found


def local(schedule: Schedule, start: str, count: int) -> list[str]:
    zone = ZoneInfo(schedule.timezone)
    begin = datetime.fromisoformat(start).replace(tzinfo=zone)
    return [moment.astimezone(zone).strftime("%m-%d %H:%M %z") for moment in times(schedule, begin, count)]


@pytest.mark.parametrize(
    ("line", "zone", "start", "expected"),
    [
        # Berlin, 29 March 2026: 02:00 becomes 03:00. What is skipped comes right after.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T00:00",
            ["03-28 02:30 +0100", "03-29 03:00 +0200", "03-30 02:30 +0200"],
        ),
        ("0 3 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29 03:00 +0200", "03-30 03:00 +0200"]),
        (
            "15,45 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00",
            ["03-29 03:00 +0200", "03-30 02:15 +0200", "03-30 02:45 +0200"],
        ),
        # 25 October 2026: 03:00 becomes 02:00. What comes twice is due once, the first time.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00",
            ["10-25 02:30 +0200", "10-26 02:30 +0100"],
        ),
        # By the time that passes: no hour without its quarter, none doubled.
        (
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-03-29T01:00",
            ["03-29 01:30 +0100", "03-29 03:00 +0200", "03-29 03:30 +0200"],
        ),
        (
            "0 * * * *",
            "Europe/Berlin",
            "2026-10-25T01:30",
            ["10-25 02:00 +0200", "10-25 02:00 +0100", "10-25 03:00 +0100"],
        ),
        # New York, 8 March and 1 November 2026.
        (
            "30 2 * * *",
            "America/New_York",
            "2026-03-07T12:00",
            ["03-08 03:00 -0400", "03-09 02:30 -0400"],
        ),
        ("30 1 * * *", "America/New_York", "2026-10-31T12:00", ["11-01 01:30 -0400", "11-02 01:30 -0500"]),
        # Lord Howe moves by half an hour (4 October 2026, 02:00 becomes 02:30).
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", ["10-04 02:30 +1100", "10-05 02:15 +1100"]),
        # Kathmandu is 5:45 ahead, Apia once left a whole day out.
        ("0 0 * * *", "Asia/Kathmandu", "2026-01-01T00:00", ["01-02 00:00 +0545", "01-03 00:00 +0545"]),
        ("0 9 * * *", "Pacific/Apia", "2011-12-28T12:00", ["12-29 09:00 -1000", "12-31 00:00 +1400"]),
        # Days: of the month or of the week, where both are given; both where one has a star.
        ("0 0 13 * fri", "UTC", "2026-02-01T00:00", ["02-06 00:00 +0000", "02-13 00:00 +0000"]),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00", ["02-29 00:00 +0000", "02-29 00:00 +0000"]),
        ("0 0 * * 7", "UTC", "2026-01-01T00:00", ["01-04 00:00 +0000", "01-11 00:00 +0000"]),
    ],
)
def test_a_cron_line_on_the_clocks_of_its_zone(line: str, zone: str, start: str, expected: list[str]) -> None:
    assert local(cron(line, zone), start, len(expected)) == expected


def test_in_the_second_pass_of_an_hour_that_comes_twice_the_first_is_over() -> None:
    second_pass = datetime(2026, 10, 25, 2, 15, tzinfo=BERLIN, fold=1)
    due = cron("30 2 * * *", "Europe/Berlin").after(second_pass)
    assert due == datetime(2026, 10, 26, 2, 30, tzinfo=BERLIN)


def test_an_interval_counts_from_1970_whatever_was_before() -> None:
    start = datetime(2026, 1, 5, 3, 0, 1, tzinfo=UTC)
    assert times(every(timedelta(hours=6)), start, 2) == [
        datetime(2026, 1, 5, 6, tzinfo=UTC),
        datetime(2026, 1, 5, 12, tzinfo=UTC),
    ]
    assert every(timedelta(hours=6)).latest(start) == datetime(2026, 1, 5, tzinfo=UTC)


def test_jobs_are_spread_by_their_names_alone() -> None:
    nightly = cron("0 2 * * *")
    one, same, other = (nightly.spread(name, timedelta(minutes=10)) for name in ("dump", "dump", "scan"))
    assert one == same != other
    start = datetime(2026, 1, 5, tzinfo=UTC)
    late = one.after(start) - datetime(2026, 1, 5, 2, tzinfo=UTC)
    assert timedelta(0) <= late <= timedelta(minutes=10)
    assert one.after(one.after(start)) - one.after(start) == timedelta(days=1)
    assert nightly.spread("dump", timedelta(0)) == nightly


@pytest.mark.parametrize(
    ("line", "zone", "why"),
    [
        ("0 2 * *", "UTC", "five fields"),
        ("0 25 * * *", "UTC", "hour"),
        ("0 0 31 2 *", "UTC", "day"),
        ("0 0 * * *", "Europe/Atlantis", "time zone"),
        ("0 0 0 * * *", "UTC", "five fields"),
    ],
)
def test_what_cannot_come_due_is_refused(line: str, zone: str, why: str) -> None:
    with pytest.raises(ScheduleError, match=why):
        cron(line, zone)


def test_an_interval_of_nothing_is_refused() -> None:
    for interval in (timedelta(0), timedelta(seconds=-5), timedelta(milliseconds=1500)):
        with pytest.raises(ScheduleError):
            every(interval)


FIELDS = st.tuples(
    st.sampled_from(["*", "*/7", "0", "30", "15,45", "5-20/5"]),
    st.sampled_from(["*", "*/5", "0", "1", "2", "2,3", "23"]),
    st.sampled_from(["*", "1", "13", "31", "*/10"]),
    st.sampled_from(["*", "3", "10", "1-6", "feb"]),
    st.sampled_from(["*", "0", "7", "mon-fri"]),
).filter(lambda fields: not (fields[2] == "31" and fields[3] == "feb"))
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca"]
)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)).map(lambda m: m.replace(tzinfo=UTC))
SCHEDULES = st.one_of(
    st.builds(lambda fields, zone: cron(" ".join(fields), zone), FIELDS, ZONES),
    st.integers(1, 10**7).map(lambda seconds: every(timedelta(seconds=seconds))),
).flatmap(lambda one: st.integers(0, 900).map(lambda s: one.spread(str(s), timedelta(seconds=s))))


@given(schedule=SCHEDULES, start=MOMENTS, ahead=st.integers(0, 3 * 86400))
@settings(max_examples=150, deadline=None)
def test_times_rise_and_what_comes_next_does_not_depend_on_when_one_asks(
    schedule: Schedule, start: datetime, ahead: int
) -> None:
    found = times(schedule, start, 5)
    assert all(earlier < later for earlier, later in pairwise([start, *found]))
    asked = start + timedelta(seconds=ahead)
    assert schedule.after(asked) == next(
        (due for due in found if due > asked), schedule.after(found[-1])
    ) or (asked >= found[-1])
    assert schedule.latest(found[2]) == found[2]
    assert schedule.latest(found[3] - timedelta(microseconds=1)) == found[2]


@given(schedule=SCHEDULES)
def test_a_schedule_is_read_back_from_its_text(schedule: Schedule) -> None:
    assert parse(str(schedule)) == schedule


@pytest.mark.parametrize(
    "text", ["cron", "every", "every 0s", "every x", "cron 0 2 * * *", "daily", "every 5s +x"]
)
def test_other_text_is_no_schedule(text: str) -> None:
    with pytest.raises(ScheduleError):
        parse(text)
