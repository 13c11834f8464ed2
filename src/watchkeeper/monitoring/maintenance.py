"""Maintenance windows: when they are open, and which alerts are quiet meanwhile. Pure.

Always true: a window opens at its time on the wall clock of its zone, summer and winter, and is open for
exactly as long as it says; what it hides still fires, is shown and is journaled, as under a silence
(tests/monitoring/test_maintenance.py).
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from watchkeeper.monitoring.alerts import Alert
from watchkeeper.monitoring.inhibition import Inhibited
from watchkeeper.monitoring.silences import matcher, quietened
from watchkeeper.runbook.models.maintenance import MaintenanceWindow
from watchkeeper.runbook.wall_clock import WEEKDAYS, instant

PREFIX = "maintenance:"
"""What the id of a quiet alert's window begins with, where it stands beside those of silences."""
_DAY = timedelta(days=1)
_AHEAD = timedelta(days=63)  # two months and a little: a monthly window opens within


@dataclass(frozen=True, slots=True)
class Opening:
    """One time that a window is open: from ``start`` to before ``end`` (aware, UTC)."""

    window: MaintenanceWindow
    start: datetime
    end: datetime

    @property
    def until(self) -> str:
        """Its end on the window's clocks: ``04:00 CET``, with the day where that is not the day it began."""
        zone = ZoneInfo(self.window.timezone)
        end = self.end.astimezone(zone)
        other_day = end.date() != self.start.astimezone(zone).date()
        return f"{end:%a %d %b %H:%M %Z}" if other_day else f"{end:%H:%M %Z}"

    @property
    def name(self) -> str:
        """``maintenance window Vacuum until 04:00 CET``."""
        return f"maintenance window {self.window.title} until {self.until}"


def opening_at(window: MaintenanceWindow, now: datetime) -> Opening | None:
    """The opening that ``now`` lies in."""
    found = None
    for opening in _openings(window, now - window.for_ - _DAY, now + _DAY):
        if opening.start <= now < opening.end:
            found = opening
    return found


def next_opening(window: MaintenanceWindow, now: datetime) -> Opening | None:
    """The first opening that begins after ``now``."""
    return next((one for one in _openings(window, now - _DAY, now + _AHEAD) if one.start > now), None)


def open_windows(windows: Iterable[MaintenanceWindow], now: datetime) -> tuple[Opening, ...]:
    """What is open at ``now``, in the order of ``windows``."""
    found = (opening_at(window, now) for window in windows)
    return tuple(opening for opening in found if opening is not None)


def in_maintenance(
    alerts: Iterable[Alert], windows: Sequence[MaintenanceWindow], now: datetime
) -> dict[str, Inhibited]:
    """The firing ones of ``alerts`` that an open window hides, by fingerprint; the first window speaks."""
    return quietened(
        alerts,
        [(map(matcher, opening.window.match), _why(opening)) for opening in open_windows(windows, now)],
    )


def _why(opening: Opening) -> Inhibited:
    reason = opening.window.reason or "planned maintenance"
    return Inhibited(PREFIX + opening.window.id, opening.name, reason)


def _openings(window: MaintenanceWindow, start: datetime, end: datetime) -> Iterator[Opening]:
    """The openings that begin on the days from ``start`` to ``end``, in order."""
    zone = ZoneInfo(window.timezone)
    day, last = start.astimezone(zone).date(), end.astimezone(zone).date()
    at = time.fromisoformat(window.at)
    while day <= last:
        if _opens(window, day):
            begins = instant(datetime.combine(day, at), zone)
            yield Opening(window, begins, begins + timedelta(seconds=window.for_.total_seconds()))
        day += _DAY


def _opens(window: MaintenanceWindow, day: date) -> bool:
    if window.weekday is not None:
        return day.weekday() == WEEKDAYS.index(window.weekday)
    if window.day is not None:
        return day.day == min(window.day, calendar.monthrange(day.year, day.month)[1])
    return True
