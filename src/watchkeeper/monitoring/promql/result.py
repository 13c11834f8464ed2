"""What a query gives back: plain values, nothing of the engine's own arrays.

Always true: the points of a series ascend in time; the series of an instant query are sorted by labels
unless the expression itself set an order (``sort``, ``topk``...), those of a range query always are.
"""

from __future__ import annotations

from dataclasses import dataclass

from watchkeeper.monitoring.labels import Labels
from watchkeeper.monitoring.promql.ast import ValueType

Point = tuple[int, float]
"""A time in milliseconds (UTC) and a value."""


class EvaluationError(ValueError):
    """A query that was read but could not be evaluated; the message is the one Prometheus gives."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a result; the metric name is the label ``__name__``."""

    labels: Labels
    points: list[Point]


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one query.

    ``type`` is what Prometheus' API calls the result: an instant query gives ``vector`` (one point per
    series, at the time of the query), ``scalar`` (one series without labels), ``matrix`` or ``string``;
    a range query gives ``matrix``. ``string`` is set for strings only. ``annotations`` are texts that
    begin with ``PromQL warning: `` or ``PromQL info: ``, warnings first.
    """

    type: ValueType
    series: list[Series]
    string: str | None = None
    annotations: tuple[str, ...] = ()

    @property
    def scalar(self) -> float:
        """The value of a scalar result."""
        if self.type is not ValueType.SCALAR:
            raise TypeError(f"the result is a {self.type}, not a scalar")
        return self.series[0].points[-1][1]

    @property
    def values(self) -> dict[Labels, float]:
        """The last value of each series by its labels: what most callers of an instant query want."""
        return {series.labels: series.points[-1][1] for series in self.series}

    @property
    def warnings(self) -> list[str]:
        return [text for text in self.annotations if text.startswith("PromQL warning: ")]

    @property
    def infos(self) -> list[str]:
        return [text for text in self.annotations if text.startswith("PromQL info: ")]


def format_labels(labels: Labels) -> str:
    """``labels`` as Prometheus writes them in its messages: ``{__name__="up", job="api"}``."""
    return "{" + ", ".join(f"{name}={go_quote(value)}" for name, value in labels) + "}"


def go_quote(text: str) -> str:
    """``text`` in double quotes as Go's ``strconv.Quote`` has it (bytes that are not UTF-8 as ``\\xNN``)."""
    out = []
    for char in text:
        code = ord(char)
        if char in '"\\':
            out.append("\\" + char)
        elif char in _ESCAPES:
            out.append(_ESCAPES[char])
        elif 0xDC80 <= code <= 0xDCFF:
            out.append(f"\\x{code - 0xDC00:02x}")
        elif char.isprintable():
            out.append(char)
        elif code < 0x80:
            out.append(f"\\x{code:02x}")
        else:
            out.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return '"' + "".join(out) + '"'


_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\v": "\\v"}
