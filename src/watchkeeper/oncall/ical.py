"""A rota as an iCalendar feed (RFC 5545) that calendars subscribe to.

Always true here: one event for each shift, gaps included; the event of a shift has the same UID however
often and for whatever interval the feed is made, so that a calendar moves it instead of adding another;
times are UTC, which every calendar shows in its own zone (tests/oncall/test_ical.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_URL, uuid5

from icalendar import Calendar, Event

from watchkeeper import __version__
from watchkeeper.oncall.report import name_of
from watchkeeper.oncall.rota import Override, Shift, whole_shifts
from watchkeeper.runbook.models.people import Rota
from watchkeeper.runbook.models.runbook import Runbook

REFRESH = timedelta(hours=1)
"""How often a calendar is asked to fetch the feed again (RFC 7986, section 5.7)."""

_SHORTEST = timedelta(seconds=1)  # iCalendar counts whole seconds, and an event ends after it begins


def feed(
    runbook: Runbook, rota: Rota, overrides: Sequence[Override], now: datetime, start: datetime, end: datetime
) -> bytes:
    """The shifts of ``rota`` that touch ``[start, end)``, whole, as ``text/calendar`` in UTF-8 with CRLF.

    ``now`` is the moment at which the feed is made. Phone numbers and addresses are not in it: a feed is
    shared more widely than a runbook.
    """
    name = _text(f"{rota.title} ({runbook.platform})")
    calendar = Calendar()
    calendar.add("prodid", f"-//Watchkeeper//On call {__version__}//EN")
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", name)
    calendar.add("name", name)  # RFC 7986, section 5.1
    calendar.add("x-wr-timezone", rota.timezone)
    calendar.add("refresh-interval", REFRESH, parameters={"VALUE": "DURATION"})
    calendar.add("x-published-ttl", f"PT{REFRESH // timedelta(hours=1)}H")  # what Outlook reads
    for shift in whole_shifts(rota, overrides, start, end):
        if shift.end - shift.start >= _SHORTEST:
            calendar.add_component(_event(runbook, rota, shift, now))
    return bytes(calendar.to_ical())


def _event(runbook: Runbook, rota: Rota, shift: Shift, now: datetime) -> Event:
    event = Event()
    # A shift is known by when it begins: when somebody else takes it over, it is the same event.
    begins = "endless" if shift.endless else shift.start.isoformat()
    event.add("uid", str(uuid5(NAMESPACE_URL, f"watchkeeper:{runbook.platform}/{rota.id}/{begins}")))
    event.add("dtstamp", now.astimezone(UTC).replace(microsecond=0))
    event.add("dtstart", shift.start)
    event.add("dtend", shift.end)
    event.add("summary", _text(f"{name_of(shift, runbook)} on call: {rota.title}"))
    event.add("description", _text(_description(shift)))
    event.add("transp", "TRANSPARENT")  # being on call does not make anybody unavailable for meetings
    return event


def _description(shift: Shift) -> str:
    if shift.contact is None:
        return "Nobody is on call. Add a participant, or make an override."
    return f"{shift.contact}, by {shift.because}"


def _text(text: str) -> str:
    """``text`` without the control characters that RFC 5545 (3.3.11) does not allow in a text."""
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)
