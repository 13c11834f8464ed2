"""Durations, ratios, sizes and rates: numbers that remember how they were written.

Each type *is* the number (``Duration`` is a ``timedelta``, ``Ratio`` and ``Figure`` are ``float``, ``Size``
is an ``int``), and ``text`` is what stands in the file, so that a document never rounds what a person wrote.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, Literal, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_UNIT_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONG_UNIT_SECONDS = {**_UNIT_SECONDS, "mo": 31 * 86400, "y": 366 * 86400}
_UNIT_WORDS = {
    "ms": "millisecond",
    "s": "second",
    "m": "minute",
    "h": "hour",
    "d": "day",
    "w": "week",
    "mo": "month",
    "y": "year",
}
_SIZE_BYTES = {
    "B": 1,
    **{f"{p}B": 1000**n for n, p in enumerate("kMGTP", 1)},
    **{f"{p}iB": 1024**n for n, p in enumerate("KMGTP", 1)},
}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|mo|s|m|h|d|w|y)")
_SIZE = re.compile(r"^(\d+(?:\.\d+)?) ?([kKMGTP]?i?B)$")
_RATIO = re.compile(r"^([+-]?\d+(?:\.\d+)?) ?%$")
_NUMBER = re.compile(r"^[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$")
_RATE = re.compile(r"^(\d+)/(s|sec|second|min|m|minute|h|hour)$")
_RATE_PER_MINUTE = {"s": 60.0, "m": 1.0, "h": 1 / 60}

DURATION_EXAMPLES = "90s, 15m, 24h, 30d, 2w or 1h30m"
MAX_SECONDS = 100 * 366 * 86400


class BadQuantityError(ValueError):
    """``text`` is not a quantity of the kind asked for; the message says what would be."""


def _seconds(text: str, units: dict[str, float]) -> float:
    position, total, seen = 0, 0.0, set()
    for match in _PART.finditer(text):
        unit = match[2]
        if match.start() != position or unit not in units or unit in seen:
            break
        seen.add(unit)
        total += float(match[1]) * units[unit]
        position = match.end()
    if not text or position != len(text):
        raise BadQuantityError(f"{text!r} is not a duration; write it like {DURATION_EXAMPLES}")
    if total > MAX_SECONDS:
        raise BadQuantityError(f"{text!r} is longer than a hundred years; write it like {DURATION_EXAMPLES}")
    return total


def _count(number: str, word: str) -> str:
    return f"{number} {word}" if number == "1" else f"{number} {word}s"


def _spoken(text: str) -> str:
    return " ".join(_count(number, _UNIT_WORDS[unit]) for number, unit in _PART.findall(text))


class _Written:
    """A number with its ``text``; pydantic builds it by calling the class with what the file holds."""

    text: str

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.plain_serializer_function_ser_schema(lambda v: v.text)
        )

    @classmethod
    def _validate(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        try:
            return cls(value)  # type: ignore[call-arg]  # every subclass takes what the file holds
        except BadQuantityError as error:
            raise PydanticCustomError("quantity", "{reason}", {"reason": str(error)}) from None

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.text,))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r})"


class Duration(_Written, timedelta):
    """``90s``, ``15m``, ``24h``, ``30d``, ``2w``, or several units together as Prometheus writes them."""

    _units = _UNIT_SECONDS

    def __new__(cls, text: object) -> Self:
        if not isinstance(text, str):
            raise BadQuantityError(f"{text!r} has no unit; write a duration like {DURATION_EXAMPLES}")
        self = super().__new__(cls, seconds=_seconds(text, cls._units))
        self.text = text
        return self

    @property
    def seconds_total(self) -> float:
        """The whole length in seconds."""
        return self.total_seconds()

    @property
    def words(self) -> str:
        """As people say it: ``5 minutes``, ``1 hour 30 minutes``."""
        return _spoken(self.text)

    @property
    def every(self) -> str:
        """As people say it of what is repeated: ``every 15 minutes``, ``every hour``."""
        words = _spoken(self.text)
        return f"every {words.removeprefix('1 ') if words.count(' ') == 1 else words}"

    def __str__(self) -> str:
        return self.text


class LongDuration(Duration):
    """A duration that may also count months and years, for retention.

    A month is 31 days and a year 366, so that what must be kept for six months is never deleted early.
    """

    _units = _LONG_UNIT_SECONDS


_PERIODS = {
    "hourly": "1h",
    "daily": "1d",
    "nightly": "1d",
    "weekly": "1w",
    "monthly": "1mo",
    "quarterly": "92d",
    "yearly": "1y",
}


class Period(LongDuration):
    """How often: ``hourly``, ``daily``, ``nightly``, ``weekly``, ``monthly``, ``quarterly``, ``yearly``, 15m.

    The length is the longest that the word allows (a month has 31 days, a quarter 92), so that nothing is
    called overdue which a calendar would call in time.
    """

    def __new__(cls, text: object) -> Self:
        if isinstance(text, str) and text in _PERIODS:
            self = super().__new__(cls, _PERIODS[text])
            self.text = text
            return self
        try:
            return super().__new__(cls, text)
        except BadQuantityError:
            raise BadQuantityError(
                f"{text!r} is not a period; write {', '.join(_PERIODS)}, or like {DURATION_EXAMPLES}"
            ) from None

    @property
    def words(self) -> str:
        return self.text if self.text in _PERIODS else self.every


class Ratio(_Written, float):
    """A share of one, written ``3%`` (or ``0.03``)."""

    def __new__(cls, text: object) -> Self:
        value, shown = _ratio(text)
        if not 0 <= value <= 1:
            raise BadQuantityError(f"{shown} is outside 0% to 100%; write a ratio like 3% or 0.03")
        self = super().__new__(cls, value)
        self.text = shown
        return self

    @property
    def words(self) -> str:
        return self.text if self.text.endswith("%") else f"{self:.4%}".rstrip("0%").rstrip(".") + "%"

    def __str__(self) -> str:
        return self.text


def _ratio(text: object) -> tuple[float, str]:
    if isinstance(text, str) and (match := _RATIO.match(text)):
        return float(match[1]) / 100, f"{match[1]}%"
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return float(text), repr(text)
    if isinstance(text, str) and _NUMBER.match(text):
        return float(text), text
    raise BadQuantityError(f"{text!r} is not a ratio; write it like 3%, 99.5% or 0.03")


class Size(_Written, int):
    """A number of bytes: ``512MiB``, ``10GiB``, ``2GB``, or plain bytes."""

    def __new__(cls, text: object) -> Self:
        if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
            text = f"{text}B"
        match = _SIZE.match(text) if isinstance(text, str) else None
        unit = match[2].replace("KB", "kB").replace("kiB", "KiB") if match else ""
        if match is None or unit not in _SIZE_BYTES:
            raise BadQuantityError(f"{text!r} is not a size; write it like 64KiB, 512MiB, 10GiB or 2GB")
        self = super().__new__(cls, round(float(match[1]) * _SIZE_BYTES[unit]))
        self.text = str(text)
        return self

    @property
    def words(self) -> str:
        return self.text

    def __str__(self) -> str:
        return self.text


FigureKind = Literal["number", "ratio", "duration", "size"]


class Figure(_Written, float):
    """What a signal is compared with: ``3%``, ``100``, ``1.5s``, ``21d`` or ``10GiB``.

    The value is in base units (a ratio of one, seconds, bytes), which are Prometheus' units too.
    """

    kind: FigureKind

    def __new__(cls, text: object) -> Self:
        value, kind, shown = _figure(text)
        self = super().__new__(cls, value)
        self.text, self.kind = shown, kind
        return self

    @property
    def words(self) -> str:
        return Duration(self.text).words if self.kind == "duration" else self.text

    def __str__(self) -> str:
        return self.text


def _figure(text: object) -> tuple[float, FigureKind, str]:
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        if text != text or text in (float("inf"), float("-inf")):
            raise BadQuantityError(f"{text!r} is never reached; write a number like 100, 3%, 1.5s or 10GiB")
        return float(text), "number", repr(text)
    if isinstance(text, str):
        if _NUMBER.match(text):
            return float(text), "number", text
        if _RATIO.match(text):
            return _ratio(text)[0], "ratio", text
        if _SIZE.match(text):
            return float(Size(text)), "size", text
        try:
            return Duration(text).total_seconds(), "duration", text
        except BadQuantityError:
            pass
    raise BadQuantityError(f"{text!r} is not a figure; write it like 100, 3%, 1.5s, 21d or 10GiB")


class Rate(_Written, float):
    """How many, and in what time: ``120/min``, ``2/s``, ``500/h``. The value is per minute."""

    def __new__(cls, text: object) -> Self:
        match = _RATE.match(text) if isinstance(text, str) else None
        if match is None or int(match[1]) == 0:
            raise BadQuantityError(f"{text!r} is not a rate; write it like 120/min, 2/s or 500/h")
        self = super().__new__(cls, int(match[1]) * _RATE_PER_MINUTE[match[2][0]])
        self.text = match[0]
        return self

    @property
    def words(self) -> str:
        return self.text

    def __str__(self) -> str:
        return self.text
