"""How Prometheus (Go) reads and writes floating-point numbers where they become text or come from it.

Always true: :func:`parse_float` takes exactly what Go's ``strconv.ParseFloat`` takes for the bucket
bounds that exporters write; the writers give the same digits as Go's ``%g`` and ``FormatFloat``.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

_NUMBER = re.compile(
    r"[+-]?(?:(?:inf(?:inity)?|nan)|(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|0x[0-9a-f.]+p[+-]?\d+)",
    re.IGNORECASE | re.ASCII,
)


def parse_float(text: str) -> float | None:
    """The number that ``text`` writes, or None where it writes none."""
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return float.fromhex(text) if "x" in text.lower() else float(text)
    except (ValueError, OverflowError):
        return None


def _special(value: float) -> str | None:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return None


def plain(value: float) -> str:
    """The shortest decimal that reads back as ``value``, never with an exponent (``FormatFloat 'f'``)."""
    special = _special(value)
    if special is not None:
        return special
    text = format(Decimal(repr(value)), "f")
    return text[:-2] if text.endswith(".0") else text


def general(value: float, digits: int | None = None) -> str:
    """Go's ``%g``, or ``%.{digits}g``."""
    special = _special(value)
    if special is not None:
        return special
    if digits is not None:
        return f"{value:.{digits}g}"
    sign, numerals, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    if not any(numerals):
        return "-0" if math.copysign(1.0, value) < 0 else "0"
    power = len(numerals) + exponent - 1
    if -4 <= power < 6:
        return plain(value)
    head, tail = str(numerals[0]), "".join(map(str, numerals[1:]))
    mantissa = f"{head}.{tail}" if tail else head
    return f"{'-' if sign else ''}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"
