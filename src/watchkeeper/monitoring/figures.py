"""Figures as people read them at 3 a.m.: short, with their unit, never more digits than matter."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"


def figure(value: float | None, unit: str) -> str:
    """``value`` in ``unit`` (the runbook's units), for example ``7.2 %``, ``310 ms``, ``1.4 GiB``."""
    if value is None or math.isnan(value):
        return "no data" if value is None else "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if unit == "ratio":
        return f"{_digits(float(f'{value * 100:.12g}'))} %"  # 0.07 * 100 is a little more than 7
    if unit == "seconds":
        return duration(value)
    if unit == "bytes":
        return _bytes(value)
    if unit == "per_second":
        return f"{_digits(value)}/s"
    return _digits(value)


def _digits(value: float) -> str:
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= 1 else f"{value:.2g}"


def _bytes(value: float) -> str:
    size = abs(value)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{'-' if value < 0 else ''}{_digits(size)} {unit}"


def duration(seconds: float) -> str:
    """A duration by its one or two largest units: ``310 ms``, ``4 min 10 s``, ``3 d 2 h``."""
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds else "0 s"
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1), ("", 1))
    position = next(i for i, (_, size) in enumerate(units) if whole >= size)
    (name, size), (next_name, next_size) = units[position], units[position + 1]
    text = f"{whole // size} {name}"
    rest = whole % size // next_size
    return f"{text} {rest} {next_name}" if rest else text


def sparkline(values: Sequence[float | None], width: int) -> str:
    """The last ``width`` values as bars from their lowest up; a gap where there is none.

    A full bar is at least a fifth more than the lowest, so that what hardly moves looks as if it hardly did.
    """
    shown = list(values)[-width:]
    known = [value for value in shown if value is not None and math.isfinite(value)]
    if not known:
        return ""
    low, high = min(known), max(known)
    span = max(high - low, 0.2 * max(abs(low), abs(high)))
    bars = []
    for value in shown:
        if value is None or not math.isfinite(value):
            bars.append(" ")
        elif not span:
            bars.append(_BARS[0])
        else:
            bars.append(_BARS[min(int((value - low) / span * len(_BARS)), len(_BARS) - 1)])
    return "".join(bars)
