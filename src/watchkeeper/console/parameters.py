"""Reads the parameters of Prometheus' HTTP API: times, durations, limits. An error says what would do."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from watchkeeper.store.clock import to_ms

LARGEST_ID = 2**62
"""Of what is numbered in the store; the numbers beside it still fit a column."""
MAX_POINTS = 11_000
"""Steps between the first point and the last, as Prometheus counts: one point more than that is allowed."""
_UNITS_MS = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "y": 31_536_000_000,
}
_PART = re.compile(r"([0-9]+)(ms|[smhdwy])")
_DURATION = re.compile(r"(?:[0-9]{1,18}(?:ms|[smhdwy]))+\Z")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_LONGEST_MS = 1 << 53
_AGES = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


class ParameterError(ValueError):
    """A parameter that cannot be used; the message names it and says what it takes."""


def time_ms(name: str, text: str | None, default: int | None) -> int:
    """Unix seconds (fractions allowed) or RFC 3339, as milliseconds."""
    if text is None or text == "":
        if default is None:
            raise ParameterError(f'the parameter "{name}" is missing: give Unix seconds or an RFC 3339 time')
        return default
    if not _NUMBER.match(text):
        return _rfc3339_ms(name, text)
    seconds = float(text)
    if not math.isfinite(seconds) or abs(seconds) * 1000 > _LONGEST_MS:
        raise ParameterError(f'the parameter "{name}" is {text!r}, which is no time')
    return round(seconds * 1000)


def _rfc3339_ms(name: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or "T" not in text.upper():
        raise ParameterError(
            f'the parameter "{name}" is {text!r}; give Unix seconds (1764000000.5) '
            "or an RFC 3339 time (2026-01-05T12:00:00Z)"
        )
    return to_ms(moment)


def moment(name: str, text: str | None, now: datetime) -> datetime | None:
    """RFC 3339 (UTC without an offset), or an age such as ``15m`` or ``7d`` before ``now``; None for none."""
    if text is None or not text.strip():
        return None
    text = text.strip()
    age = re.fullmatch(r"([0-9]{1,6})([smhdw])", text)
    try:
        if age:
            return now - int(age[1]) * _AGES[age[2]]
        found = datetime.fromisoformat(text)
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        found = None
    if found is None or not 1970 <= found.year <= 9000:
        raise ParameterError(
            f'the parameter "{name}" is {text!r}; '
            "give a time (2026-01-05T03:00Z) or an age (90s, 15m, 24h, 7d)"
        ) from None
    return found


def duration_ms(name: str, text: str | None, default: int | None = None) -> int:
    """Seconds (fractions allowed) or a duration such as ``1h30m``, as milliseconds, above zero."""
    if text is None or text == "":
        if default is None:
            raise ParameterError(f'the parameter "{name}" is missing: give seconds or a duration such as 15s')
        return default
    if _DURATION.match(text):
        milliseconds = sum(int(number) * _UNITS_MS[unit] for number, unit in _PART.findall(text))
    else:
        seconds = float(text) if _NUMBER.match(text) else math.nan
        if not math.isfinite(seconds) or abs(seconds) * 1000 > _LONGEST_MS:
            raise ParameterError(
                f'the parameter "{name}" is {text!r}; give seconds or a duration such as 15s'
            )
        milliseconds = round(seconds * 1000)
    if not 0 < milliseconds <= _LONGEST_MS:
        raise ParameterError(f'the parameter "{name}" is {text!r}; it must be above zero')
    return milliseconds


def limit(text: str | None) -> int:
    """How many results at most; 0 means no limit."""
    if text is None or text == "":
        return 0
    if not (text.isascii() and text.isdecimal()) or len(text) > 12:
        raise ParameterError(f'the parameter "limit" is {text!r}; give a whole number, 0 for no limit')
    return int(text)


def steps(start_ms: int, end_ms: int, step_ms: int) -> None:
    """Refuse a range query that ends before it starts or has too many points."""
    if end_ms < start_ms:
        raise ParameterError('the parameter "end" lies before "start"')
    if (end_ms - start_ms) // step_ms > MAX_POINTS:
        raise ParameterError(
            f"exceeded maximum resolution of {MAX_POINTS:,} points per timeseries. "
            "Try decreasing the query resolution (?step=XX)"
        )
