"""Counters, gauges and histograms, written in Prometheus' text format 0.0.4.

A series appears at its first use, or when :meth:`Family.touch` declares it; a counter never goes down.
Values are written so that a strict parser reads back the same float (``tests/demo/test_exposition.py``).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import ClassVar

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

OTEL_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The bucket bounds that OpenTelemetry's semantic conventions advise for durations in seconds."""


class Family:
    """One metric with all its series. ``labels`` are the names, in the order in which they are written."""

    kind: ClassVar[str]

    def __init__(self, name: str, description: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self.description = description
        self.labels = tuple(labels)

    def key(self, labels: dict[str, str]) -> tuple[str, ...]:
        """The values in the order of the names; ``KeyError`` when a name is missing or unknown."""
        if len(labels) != len(self.labels):
            raise KeyError(f"{self.name} takes the labels {self.labels}, not {tuple(labels)}")
        return tuple(labels[name] for name in self.labels)

    def touch(self, **labels: str) -> None:
        """Declare a series, so that it is there with its zero before anything happened."""
        raise NotImplementedError

    def lines(self) -> list[str]:
        """The samples, one per line."""
        raise NotImplementedError

    def render(self) -> list[str]:
        """``HELP``, ``TYPE`` and the samples; nothing while there is no series."""
        lines = self.lines()
        if not lines:
            return []
        description = self.description.replace("\\", r"\\").replace("\n", r"\n")
        return [f"# HELP {self.name} {description}", f"# TYPE {self.name} {self.kind}", *lines]


class Counter(Family):
    """Goes up only."""

    kind = "counter"

    def __init__(self, name: str, description: str, labels: Sequence[str] = ()) -> None:
        super().__init__(name, description, labels)
        self._values: dict[tuple[str, ...], float] = {}

    def add(self, amount: float = 1.0, **labels: str) -> None:
        """Count ``amount`` more."""
        if amount < 0:
            raise ValueError(f"{self.name} is a counter and cannot go down by {-amount}")
        key = self.key(labels)
        self._values[key] = self._values.get(key, 0.0) + amount

    def touch(self, **labels: str) -> None:
        self._values.setdefault(self.key(labels), 0.0)

    def lines(self) -> list[str]:
        return [_line(self.name, self.labels, key, value) for key, value in self._values.items()]


class Gauge(Family):
    """A value that is what it is now."""

    kind = "gauge"

    def __init__(self, name: str, description: str, labels: Sequence[str] = ()) -> None:
        super().__init__(name, description, labels)
        self._values: dict[tuple[str, ...], float] = {}

    def set(self, value: float, **labels: str) -> None:
        """Replace the value."""
        self._values[self.key(labels)] = float(value)

    def touch(self, **labels: str) -> None:
        self._values.setdefault(self.key(labels), 0.0)

    def lines(self) -> list[str]:
        return [_line(self.name, self.labels, key, value) for key, value in self._values.items()]


class Measured(Gauge):
    """A counter whose total is counted elsewhere: it is set here, and written as a counter."""

    kind = "counter"


class Histogram(Family):
    """A distribution in cumulative buckets. ``bounds`` ascend; ``+Inf`` is added."""

    kind = "histogram"

    def __init__(
        self, name: str, description: str, bounds: Sequence[float], labels: Sequence[str] = ()
    ) -> None:
        super().__init__(name, description, labels)
        self.bounds = tuple(bounds)
        self._cells: dict[tuple[str, ...], list[float]] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def observe(self, value: float, **labels: str) -> None:
        """Count one observation in the bucket whose upper bound is the first that is not below it."""
        key = self.key(labels)
        cells = self._cells.get(key)
        if cells is None:
            cells = self._cells[key] = [0.0] * (len(self.bounds) + 1)
        cells[bisect_left(self.bounds, value)] += 1
        self._sums[key] = self._sums.get(key, 0.0) + value

    def touch(self, **labels: str) -> None:
        key = self.key(labels)
        self._cells.setdefault(key, [0.0] * (len(self.bounds) + 1))
        self._sums.setdefault(key, 0.0)

    def lines(self) -> list[str]:
        bounds = [*(_number(bound) for bound in self.bounds), "+Inf"]
        lines: list[str] = []
        for key, cells in self._cells.items():
            total = 0.0
            for bound, cell in zip(bounds, cells, strict=True):
                total += cell
                lines.append(_line(f"{self.name}_bucket", (*self.labels, "le"), (*key, bound), total))
            lines.append(_line(f"{self.name}_sum", self.labels, key, self._sums[key]))
            lines.append(_line(f"{self.name}_count", self.labels, key, total))
        return lines


def render(families: Sequence[Family]) -> str:
    """The exposition of ``families``, in their order."""
    return "".join(f"{line}\n" for family in families for line in family.render())


def _line(name: str, labels: tuple[str, ...], values: tuple[str, ...], value: float) -> str:
    if not labels:
        return f"{name} {_number(value)}"
    pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in zip(labels, values, strict=True))
    return f"{name}{{{pairs}}} {_number(value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
