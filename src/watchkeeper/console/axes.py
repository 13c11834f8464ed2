"""Where the lines of a chart's axes stand: round times in UTC, and round figures in the signal's unit. Pure.

Always true: ticks lie within the axis, in order, and no two of them say the same
(tests/console/test_axes.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from watchkeeper.monitoring.figures import figure
from watchkeeper.store.clock import from_ms

LARGEST = 1e15
"""Figures beyond this are written with an exponent; nobody reads thirty digits."""
_SECOND, _MINUTE, _HOUR, _DAY = 1000, 60_000, 3_600_000, 86_400_000
TIME_STEPS = (
    *(n * _SECOND for n in (1, 2, 5, 10, 15, 30)),
    *(n * _MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * _HOUR for n in (1, 2, 3, 6, 12)),
    *(n * _DAY for n in (1, 2, 7, 14, 28, 84, 168, 364)),
)
_DURATIONS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
DENSE, SPARSE = 10, 5
"""How many times a wide screen shows at most, and a narrow one."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One line of an axis: at ``at`` (ms, or a figure). ``dense``: only where there is room for all."""

    at: float
    text: str
    dense: bool = False


def figure_in_words(value: float | None, unit: str) -> str:
    """As :func:`figures.figure`, also for figures that are too large to be written out."""
    if value is None or not math.isfinite(value):
        return figure(value, unit)
    if abs(value) >= LARGEST:
        return f"{value:.3g}"
    return figure(value, unit)


def time_ticks(start_ms: int, end_ms: int) -> list[Tick]:
    """Round times from start to end; every second or third of them also for a narrow screen."""
    span = max(1, end_ms - start_ms)
    step = next((one for one in TIME_STEPS if span / one <= DENSE), TIME_STEPS[-1])
    sparse = next((one for one in TIME_STEPS if span / one <= SPARSE and one % step == 0), 2 * step)
    if span / step > DENSE:  # decades
        step = sparse = math.ceil(span / SPARSE / TIME_STEPS[-1]) * TIME_STEPS[-1]
    first = -(-start_ms // step) * step
    return [Tick(at, _time(at, step), dense=at % sparse != 0) for at in range(first, end_ms + 1, step)]


def _time(at_ms: int, step: int) -> str:
    moment = from_ms(at_ms)
    if step >= 28 * _DAY:
        return f"{moment:%d %b %Y}"
    if step >= _DAY or (step >= _HOUR and at_ms % _DAY == 0):
        return f"{moment:%d %b}"
    return f"{moment:%H:%M:%S}" if step < _MINUTE else f"{moment:%H:%M}"


def query_step(span: timedelta, most: int, least: timedelta = timedelta(seconds=1)) -> timedelta:
    """A round step that divides ``span`` into at most ``most`` parts, not below ``least``."""
    wanted = max(span.total_seconds() * 1000 / most, least.total_seconds() * 1000, 1.0)
    steps = (
        *TIME_STEPS[:6],
        *(n * _MINUTE for n in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)),
        *TIME_STEPS[12:],
    )
    step = next((one for one in steps if one >= wanted), None)
    return timedelta(milliseconds=step or math.ceil(wanted / steps[-1]) * steps[-1])


def value_ticks(low: float, high: float, unit: str, most: int = 5) -> list[Tick]:
    """Round figures from ``low`` to ``high``."""
    step = _figure_step((high - low) / max(1, most - 1), unit)
    first = math.ceil(low / step - 1e-9)
    count = min(int(math.floor(high / step + 1e-9) - first) + 1, 3 * most)
    values = [float(f"{(first + number) * step:.12g}") for number in range(max(0, count))]
    texts = [figure_in_words(value, unit) for value in values]
    if len(set(texts)) < len(texts):  # too close together for figures that are short
        texts = [f"{value:.6g}" for value in values]
    seen: set[str] = set()
    ticks = []
    for value, text in zip(values, texts, strict=True):
        if text not in seen:
            ticks.append(Tick(value, text))
        seen.add(text)
    return ticks


def _figure_step(rough: float, unit: str) -> float:
    rough = max(rough, 1e-300)
    if unit == "seconds" and rough > 1:
        found = next((one for one in _DURATIONS if one >= rough), None)
        return float(found) if found else _round_step(rough / 86400) * 86400
    if unit == "bytes" and rough > 1:
        return 2.0 ** math.ceil(math.log2(rough))
    step = _round_step(rough)
    return max(step, 1.0) if unit == "state" else step


def _round_step(rough: float) -> float:
    """The next of 1, 2, 5, 10, ... that is not below ``rough``."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next((n * power for n in (1.0, 2.0, 5.0) if n * power >= rough * (1 - 1e-9)), 10.0 * power)


def value_range(values: list[float]) -> tuple[float, float]:
    """From where to where an axis goes that shows ``values``: from zero where that is not far."""
    low, high = min(values), max(values)
    if low >= 0 and low <= 0.6 * high:
        low = 0.0
    room = (high - low) or abs(high) or 1.0
    top = high + 0.08 * room
    bottom = low if low == 0 else low - 0.08 * room
    return (bottom, top) if top - bottom > 1e-290 else (bottom, bottom + 1.0)
