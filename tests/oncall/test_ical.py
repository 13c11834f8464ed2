"""The feed, read back by a parser of iCalendar and looked at as bytes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from icalendar import Calendar

from tests.oncall.rotas import RUNBOOK, utc
from watchkeeper.oncall.ical import feed
from watchkeeper.oncall.overrides import find_rota
from watchkeeper.oncall.rota import Override
from watchkeeper.runbook.loading import load_bytes
from watchkeeper.runbook.models.runbook import Runbook

NOW = utc("2026-03-10 12:00") + timedelta(microseconds=5)


def _feed(runbook: Runbook, rota: str, start: str, end: str, *overrides: Override) -> bytes:
    return feed(runbook, find_rota(runbook, rota), overrides, NOW, utc(start), utc(end))


def _events(raw: bytes) -> list[dict[str, Any]]:
    return [
        {
            "uid": str(event["uid"]),
            "summary": str(event["summary"]),
            "description": str(event["description"]),
            "start": event.decoded("dtstart"),
            "end": event.decoded("dtend"),
            "stamp": event.decoded("dtstamp"),
        }
        for event in Calendar.from_ical(raw).walk("VEVENT")
    ]


def test_each_shift_is_an_event_in_utc_and_whole(runbook: Runbook) -> None:
    events = _events(_feed(runbook, "platform", "2026-03-10", "2026-03-20"))
    assert [(event["summary"], event["start"], event["end"]) for event in events] == [
        ("Ben on call: Platform on call", utc("2026-03-09 08:00"), utc("2026-03-16 08:00")),
        ("Ada on call: Platform on call", utc("2026-03-16 08:00"), utc("2026-03-23 08:00")),
    ]
    assert events[0]["stamp"] == utc("2026-03-10 12:00")
    assert events[0]["description"] == "ben, by layer weekly"
    assert b"\r\nDTSTART:20260309T080000Z\r\n" in _feed(runbook, "platform", "2026-03-10", "2026-03-20")


def test_the_calendar_says_what_it_is_and_when_to_come_again(runbook: Runbook) -> None:
    calendar = Calendar.from_ical(_feed(runbook, "platform", "2026-03-10", "2026-03-20"))
    assert str(calendar["prodid"]).startswith("-//Watchkeeper//")
    assert (calendar["version"], calendar["method"]) == ("2.0", "PUBLISH")
    assert calendar["x-wr-calname"] == "Platform on call (Island)"
    assert calendar["x-wr-timezone"] == "Europe/Berlin"
    assert calendar.decoded("refresh-interval") == timedelta(hours=1)
    assert calendar["x-published-ttl"] == "PT1H"


def test_a_gap_is_an_event_that_nobody_overlooks(runbook: Runbook) -> None:
    events = _events(_feed(runbook, "office", "2026-03-10 10:00", "2026-03-11 10:00"))
    assert [event["summary"].split(" on call")[0] for event in events] == [
        "Cleo [2J, the third",
        "NOBODY",
        "Cleo [2J, the third",
    ]
    assert (events[1]["start"], events[1]["end"]) == (utc("2026-03-10 17:00"), utc("2026-03-11 09:00"))


def test_a_shift_has_one_uid_whatever_is_asked_for_and_shifts_have_different_ones(runbook: Runbook) -> None:
    few = {event["uid"]: event for event in _events(_feed(runbook, "platform", "2026-03-12", "2026-03-13"))}
    many = [event["uid"] for event in _events(_feed(runbook, "platform", "2026-01-01", "2026-12-01"))]
    assert set(few) <= set(many)
    assert len(many) == len(set(many))
    office = [event["uid"] for event in _events(_feed(runbook, "office", "2026-01-01", "2026-12-01"))]
    assert not set(office) & set(many)


def test_a_shift_that_somebody_else_takes_over_is_the_same_event(runbook: Runbook) -> None:
    swap = Override(
        "cleo", utc("2026-03-09 08:00"), utc("2026-03-16 08:00"), "swap; Ben, ill\nuntil Monday", 7
    )
    (before,) = _events(_feed(runbook, "platform", "2026-03-10", "2026-03-11"))
    (after,) = _events(_feed(runbook, "platform", "2026-03-10", "2026-03-11", swap))
    assert before["uid"] == after["uid"]
    assert after["description"] == "cleo, by override: swap; Ben, ill\nuntil Monday"


def test_what_people_wrote_cannot_break_out_of_its_line(runbook: Runbook) -> None:
    evil = Override(
        "ada", utc("2026-03-10"), utc("2026-03-11"), "a,b;c\\d\r\nBEGIN:VALARM\n\x1b[2J\x00" + "ü" * 200
    )
    raw = _feed(runbook, "platform", "2026-03-10", "2026-03-11", evil)
    assert rb"a\,b\;c\\d \nBEGIN:VALARM\n" in raw
    assert b"\x1b" not in raw
    assert b"\x00" not in raw
    assert b"\r\nBEGIN:VALARM" not in raw
    assert raw.count(b"\n") == raw.count(b"\r\n")
    (event,) = _events(raw)
    assert event["description"].endswith("ü" * 200)


def test_lines_are_folded_at_75_octets_and_never_within_a_character() -> None:
    runbook = load_bytes("r", RUNBOOK.replace("Platform on call", "Ü" * 120).encode()).runbook
    raw = _feed(runbook, "platform", "2026-03-10", "2026-03-20")
    assert max(len(line) for line in raw.split(b"\r\n")) <= 75
    for line in raw.split(b"\r\n"):
        line.decode()
    assert _events(raw)[0]["summary"] == f"Ben on call: {'Ü' * 120}"


@pytest.mark.parametrize("now", ["2026-03-10", "2026-09-10"])
def test_a_rota_without_people_is_one_event_with_one_uid(now: str) -> None:
    nobody = load_bytes("r", RUNBOOK.replace("[ada, ben]", "[]").encode()).runbook
    (event,) = _events(_feed(nobody, "platform", now, "2026-12-01"))
    (other,) = _events(_feed(nobody, "platform", "2026-01-01", "2026-02-01"))
    assert event["uid"] == other["uid"]
    assert event["summary"] == "NOBODY on call: Platform on call"
    assert isinstance(event["start"], datetime)
    assert event["start"].tzinfo == UTC or event["start"].utcoffset() == timedelta(0)
