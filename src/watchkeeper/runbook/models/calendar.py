"""Points of the calendar: time zones, times of day, days, cron lines and cadences.

What validates here can be computed with: a time zone exists on this machine, a cron line has a next time.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, StringConstraints
from pydantic_core import PydanticCustomError

from watchkeeper.runbook.models.base import Part
from watchkeeper.runbook.models.quantities import Duration, Period

_CRON_FIELDS = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 7),
)
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = {name: n for n, name in enumerate(_MONTH_NAMES, 1)}
_DAYS = {name: n for n, name in enumerate(_DAY_NAMES)}
_CRON_ITEM = re.compile(r"^(\*|\w+(?:-\w+)?)(?:/(\d+))?$")
_LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def cron_fields(text: str) -> tuple[frozenset[int], ...]:
    """The five sets of values of a cron line (Sunday is 0). Raises ValueError with the field at fault."""
    parts = text.split()
    if len(parts) != len(_CRON_FIELDS):
        raise ValueError(f"a cron line has five fields, this one has {len(parts)}")
    fields = tuple(_cron_field(part, *spec) for part, spec in zip(parts, _CRON_FIELDS, strict=True))
    days, months, weekdays = fields[2], fields[3], parts[4]
    if weekdays == "*" and all(min(days) > _LONGEST_MONTH[month - 1] for month in months):
        raise ValueError("no month named there has that day, so it would never come due")
    return fields


def _cron_field(text: str, name: str, low: int, high: int) -> frozenset[int]:
    values: set[int] = set()
    for item in text.split(","):
        match = _CRON_ITEM.match(item)
        if match is None:
            raise ValueError(f"{name} {item!r} is not a number, range, list or step")
        first, last = (low, high) if match[1] == "*" else _cron_range(match[1], name, low, high)
        if match[2] is not None:
            last = high if "-" not in match[1] else last
        step = int(match[2] or 1)
        if step == 0:
            raise ValueError(f"{name} {item!r} steps by zero")
        values.update(range(first, last + 1, step))
    return frozenset(0 if name == "day of week" and value == 7 else value for value in values)


def _cron_range(text: str, name: str, low: int, high: int) -> tuple[int, int]:
    names = {"month": _MONTHS, "day of week": _DAYS}.get(name, {})
    ends = []
    for end in text.split("-"):
        value = names.get(end.lower(), int(end) if end.isdigit() else None)
        if value is None or not low <= value <= high:
            raise ValueError(f"{name} {end!r} is not within {low} to {high}")
        ends.append(value)
    if ends[0] > ends[-1]:
        raise ValueError(f"{name} {text!r} runs backwards")
    return ends[0], ends[-1]


def _check_cron(value: str) -> str:
    try:
        cron_fields(value)
    except ValueError as error:
        raise PydanticCustomError(
            "cron",
            "bad cron line: {reason}; write it like {example}",
            {"reason": str(error), "example": "0 2 * * *"},
        ) from None
    return value


def _check_zone(value: str) -> str:
    zones = _zones()
    if value not in zones:
        raise PydanticCustomError(
            "time_zone",
            "there is no time zone {value!r}",
            {"kind": "time zone", "value": value, "valid": zones},
        )
    ZoneInfo(value)
    return value


def _zones() -> list[str]:
    return sorted(available_timezones() | {"UTC"})


def _as_day(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    elif isinstance(value, date):
        return value
    raise PydanticCustomError(
        "day", "{value!r} is not a day; write it like 2026-03-31", {"value": str(value)}
    )


Cron = Annotated[str, AfterValidator(_check_cron)]
"""Five fields: minute, hour, day of month, month, day of week (0 or 7 is Sunday; names are read too)."""
TimeZone = Annotated[str, AfterValidator(_check_zone)]
"""An IANA time zone, such as ``Europe/Berlin``."""
Day = Annotated[date, BeforeValidator(_as_day)]
"""A calendar day, ``2026-03-31``."""
TimeOfDay = Annotated[str, StringConstraints(pattern=r"^(?:[01]\d|2[0-3]):[0-5]\d$")]
"""``09:00``, on a 24-hour clock."""
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Cadence(Part):
    """How often something is done, and when. Evidence older than ``every`` plus ``grace`` is overdue."""

    every: Period
    cron: Cron | None = None
    """When it is started; without it, as soon as it comes due."""
    timezone: TimeZone = "UTC"
    grace: Duration | None = None

    @property
    def words(self) -> str:
        """``nightly``, ``weekly``, ``every 6 hours``."""
        return self.every.words
