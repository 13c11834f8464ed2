"""When the turns of one layer begin and end, and during which hours they count.

Always true here: turns follow each other without gap or overlap; a handover is at the same time on the wall
clock in summer and in winter. A wall-clock time that a change of the clocks skips comes as much later as the
clocks were put forward; one that comes twice means the first (PEP 495, fold 0). tests/oncall/test_turns.py.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from watchkeeper.runbook.models.hours import weekly_hours
from watchkeeper.runbook.models.people import RotaLayer
from watchkeeper.runbook.models.quantities import Period
from watchkeeper.runbook.wall_clock import WEEKDAYS, instant

ANCHOR = date(2024, 1, 1)
"""Where turns are counted from when a layer has no ``start``: a Monday, and the first day of a year."""

_DAY = timedelta(days=1)
_MONTH = timedelta(days=30.436875)  # the Gregorian mean: to guess the number of a turn, never its moment
_MONTHS = {"monthly": 1, "quarterly": 3, "yearly": 12}
_MONTH_PARTS = re.compile(r"(\d+)(mo|y)")
_WARM_UP = timedelta(days=3)  # more than any change of the clocks, date line included


@dataclass(frozen=True, slots=True)
class Turn:
    """Number ``number`` of a layer, from ``start`` to before ``end`` (aware, UTC). Turn 0 is the first
    participant's; numbers are negative before :data:`ANCHOR`."""

    number: int
    start: datetime
    end: datetime


def turns(layer: RotaLayer, zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[Turn]:
    """The whole turns of ``layer`` that touch ``[start, end)``, in order; none before the layer's start."""
    months, step = _length(layer.handover.every)
    first = _first_handover(layer, zone, months, step)
    number = _near(first, (start - _WARM_UP).astimezone(zone).replace(tzinfo=None), months, step)
    begin = _handover(first, number, months, step, zone)
    if layer.start is not None and number <= 0:
        number, begin = 0, layer.start.astimezone(UTC)
    while begin < end:
        # A turn that is shorter than what the clocks skip ends no earlier than the one before it.
        finish = max(begin, _handover(first, number + 1, months, step, zone))
        if finish > start and begin < finish:
            yield Turn(number, begin, finish)
        number, begin = number + 1, finish


def hours(
    layer: RotaLayer, zone: ZoneInfo, start: datetime, end: datetime
) -> list[tuple[datetime, datetime]]:
    """The spans in which ``layer`` counts that touch ``[start, end)``, apart from each other and in order."""
    if not layer.hours:
        return [(start, end)]
    day, last = (start.astimezone(zone) - _WARM_UP).date(), end.astimezone(zone).date()
    wanted = [weekly_hours(text) for text in layer.hours]
    spans = []
    while day <= last:
        midnight = datetime.combine(day, time())
        for one in wanted:
            if day.weekday() in one.days:
                spans.append((instant(midnight + one.begin, zone), instant(midnight + one.end, zone)))
        day += _DAY
    joined: list[tuple[datetime, datetime]] = []
    for begin, finish in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], finish))
        elif begin < finish:
            joined.append((begin, finish))
    return [(begin, finish) for begin, finish in joined if finish > start and begin < end]


def _length(every: Period) -> tuple[int, timedelta]:
    """A period as calendar months and what is beside them. Months are the calendar's, not 31 days."""
    if every.text in _MONTHS:
        return _MONTHS[every.text], timedelta(0)
    parts = _MONTH_PARTS.findall(every.text)
    if "." in every.text or not parts:
        return 0, timedelta(seconds=every.total_seconds())
    months = sum(int(number) * (12 if unit == "y" else 1) for number, unit in parts)
    beside = _MONTH_PARTS.sub("", every.text)
    return months, timedelta(seconds=Period(beside).total_seconds()) if beside else timedelta(0)


def _first_handover(layer: RotaLayer, zone: ZoneInfo, months: int, step: timedelta) -> datetime:
    """The naive local handover with which turn 0 begins.

    Of a layer's ``start`` its day counts, so that who starts a rota at a Monday's midnight does not give the
    first participant nine hours. The weekday matters to turns of whole weeks alone.
    """
    given = None if layer.start is None else layer.start.astimezone(zone).replace(tzinfo=None)
    day = ANCHOR if given is None else given.date()
    if layer.handover.by_weekday:
        wanted = WEEKDAYS.index(layer.handover.weekday)
        back = (day.weekday() - wanted) % 7
        day += timedelta(days=-back if given is not None else -back % 7)
    first = datetime.combine(day, time.fromisoformat(layer.handover.at))
    if given is not None and not months and step < _DAY:
        first += (given - first) // step * step
    return first


def _near(first: datetime, local: datetime, months: int, step: timedelta) -> int:
    """The number of a turn that begins before ``local``, and not much before."""
    return (local - first) // (months * _MONTH + step) - (2 if months else 0)


def _handover(first: datetime, number: int, months: int, step: timedelta, zone: ZoneInfo) -> datetime:
    """When turn ``number`` begins. A month that lacks the day hands over on its last."""
    local = first
    if months:
        year, month = divmod(first.year * 12 + first.month - 1 + number * months, 12)
        last = calendar.monthrange(year, month + 1)[1]
        local = first.replace(year=year, month=month + 1, day=min(first.day, last))
    return instant(local + number * step, zone)
