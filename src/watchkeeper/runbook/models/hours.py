"""Hours of the week, such as ``mon-fri 09:00-17:00``, as text that is known to be computable.

Always true here: what validates names at least one day and one span of the clock; a span whose end is not
after its begin runs past midnight, and belongs to the day on which it begins (tests/runbook/test_hours.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

EXAMPLES = "`mon-fri 09:00-17:00`, `sat,sun` or `22:00-06:00`"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)$")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class WeeklyHours:
    """``days`` (Monday is 0) on which a span begins; ``begin`` and ``end`` from that day's midnight on the
    wall clock. ``end`` is past 24 hours where the span crosses midnight."""

    days: frozenset[int]
    begin: timedelta
    end: timedelta


def weekly_hours(text: str) -> WeeklyHours:
    """``[days] [HH:MM-HH:MM]``, at least one of both. Raises ValueError for anything else."""
    parts = text.lower().split()
    if not 1 <= len(parts) <= 2:
        raise ValueError(f"{text!r} is not hours of the week")
    span = parts[-1] if ":" in parts[-1] else None
    if span is None and len(parts) == 2:
        raise ValueError(f"{parts[1]!r} is not a span of the clock")
    days = frozenset(range(7)) if span and len(parts) == 1 else _days(parts[0])
    if span is None:
        return WeeklyHours(days, timedelta(0), _DAY)
    match = _SPAN.match(span)
    if match is None:
        raise ValueError(f"{span!r} is not a span of the clock")
    begin = timedelta(hours=int(match[1]), minutes=int(match[2]))
    end = _DAY if match[3] is None else timedelta(hours=int(match[3]), minutes=int(match[4]))
    return WeeklyHours(days, begin, end if end > begin else end + _DAY)


def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for item in text.split(","):
        ends = [end[:3] for end in item.split("-")]
        if len(ends) > 2 or any(end not in _DAYS for end in ends):
            raise ValueError(f"{item!r} is not a day, nor days like mon-fri")
        first, last = _DAYS.index(ends[0]), _DAYS.index(ends[-1])
        found.update((first + step) % 7 for step in range((last - first) % 7 + 1))
    return frozenset(found)


def _check(value: str) -> str:
    try:
        weekly_hours(value)
    except ValueError as error:
        raise PydanticCustomError(
            "hours", "{reason}; write them like {examples}", {"reason": str(error), "examples": EXAMPLES}
        ) from None
    return value


Hours = Annotated[str, AfterValidator(_check)]
"""Hours of the week on the wall clock: ``mon-fri 09:00-17:00``; ``22:00-06:00`` crosses midnight."""
