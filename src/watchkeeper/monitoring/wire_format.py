"""Results as Prometheus' HTTP API writes them, so that Grafana and promtool read them as its own.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/ (formats) and Go's shortest float form.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable

from watchkeeper.monitoring.labels import Labels

Point = tuple[int, float]
"""A time in milliseconds and a value."""


def format_value(value: float) -> str:
    """``value`` in the shortest form that reads back as itself; ``NaN``, ``+Inf`` and ``-Inf`` by name."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == int(value) and abs(value) < 1e16:
        text = str(int(value))
        return f"-{text}" if value == 0 and math.copysign(1, value) < 0 else text
    text = repr(value)
    if "e" not in text:
        return text
    mantissa, _, exponent = text.partition("e")
    power = int(exponent)
    if power >= 21 or power < -6:
        return f"{mantissa.removesuffix('.0')}e{power:+03d}"
    return _positional(mantissa, power)


def format_scalar(value: float) -> str:
    """A scalar's value: as :func:`format_value`, but Prometheus never gives a scalar an exponent."""
    text = format_value(value)
    mantissa, exponent, power = text.partition("e")
    return _positional(mantissa, int(power)) if exponent else text


def _positional(mantissa: str, power: int) -> str:
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = whole + fraction.rstrip("0")
    place = len(whole) + power
    if place <= 0:
        return f"{sign}0.{'0' * -place}{digits}"
    if place >= len(digits):
        return sign + digits + "0" * (place - len(digits))
    return f"{sign}{digits[:place]}.{digits[place:]}"


def format_time(milliseconds: int) -> str:
    """A time as a JSON number of seconds, with no more digits than it needs."""
    seconds, rest = divmod(abs(milliseconds), 1000)
    text = f"{seconds}.{rest:03d}".rstrip("0") if rest else str(seconds)
    return f"-{text}" if milliseconds < 0 else text


class TimeTexts(dict[int, str]):
    """Times as :func:`format_time` writes them, each written once: the series of a range share theirs."""

    def __missing__(self, milliseconds: int) -> str:
        text = self[milliseconds] = format_time(milliseconds)
        return text


def point_json(point: Point) -> str:
    """``[seconds, "value"]``."""
    return f'[{format_time(point[0])},"{format_value(point[1])}"]'


def points_json(points: Iterable[Point], times: TimeTexts) -> str:
    """The points of one series, with commas between them."""
    return ",".join([f'[{times[at]},"{format_value(value)}"]' for at, value in points])


def labels_json(labels: Labels) -> str:
    """A label set as a JSON object."""
    return json.dumps(dict(labels), separators=(",", ":"))
