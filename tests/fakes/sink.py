"""A sample sink in memory that checks what it is given as strictly as the sample store's contract allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from watchkeeper.monitoring.labels import Ints, Labels
from watchkeeper.monitoring.samples.frame import Floats

STALE = "stale"
Cell = float | str


@dataclass(frozen=True)
class Done:
    """Outcome of an append."""

    out_of_order: int = 0
    duplicates: int = 0


class MemoryGroup:
    """Rows of one target: time -> series -> value, or :data:`STALE` where it ended."""

    def __init__(self) -> None:
        self.generation = 0
        self.series: list[Labels] = []
        self.rows: dict[int, dict[Labels, Cell]] = {}
        self.appends_with_same_columns = 0
        self._places: dict[Labels, int] = {}
        self._last: Ints | None = None
        self._live: set[Labels] = set()
        self._moved: Ints | None = None

    def columns(self, labels: Sequence[Labels]) -> Ints:
        for one in labels:
            assert list(one) == sorted(one)
            assert all(value for _, value in one)
            if one not in self._places:
                self._places[one] = len(self.series)
                self.series.append(one)
        return np.array([self._places[one] for one in labels], np.int64)

    def renumbered(self, columns: Ints, generation: int) -> Ints | None:
        if generation == self.generation:
            return columns
        if self._moved is None or generation != self.generation - 1:
            return None
        moved: Ints = self._moved[columns]
        return moved

    def compact(self, *, remember: bool = True) -> None:
        """Drop the series that are not live and renumber the rest, backwards to be sure it matters."""
        kept = [labels for labels in reversed(self.series) if labels in self._live]
        self._places = {labels: place for place, labels in enumerate(kept)}
        moved = np.array([self._places.get(one, -1) for one in self.series], np.int64)
        self.series, self._moved, self._last = kept, moved if remember else None, None
        self.generation += 1

    def append(self, ts_ms: int, columns: Ints | None, values: Floats) -> Done:
        if columns is None:
            assert self._last is not None, "there are no last columns"
            self.appends_with_same_columns += 1
            columns = self._last
        assert len(columns) == len(values)
        assert len(set(columns.tolist())) == len(columns), "a column twice"
        assert values.dtype == np.float64
        self._last = columns.copy()
        if self.rows and ts_ms <= max(self.rows):
            return Done(out_of_order=len(values))
        row: dict[Labels, Cell] = {
            self.series[c]: v for c, v in zip(columns.tolist(), values.tolist(), strict=True)
        }
        row |= dict.fromkeys(self._live - row.keys(), STALE)
        self._live = {labels for labels, cell in row.items() if cell != STALE}
        self.rows[ts_ms] = row
        return Done()

    def mark_stale(self, ts_ms: int) -> Done:
        return self.append(ts_ms, np.zeros(0, np.int64), np.zeros(0))


@dataclass
class MemorySink:
    """All groups by key; samples with their own times apart."""

    groups: dict[str, MemoryGroup] = field(default_factory=dict)
    timed: list[tuple[str, Labels, int, float]] = field(default_factory=list)
    metadata: dict[str, tuple[str, str, str]] = field(default_factory=dict)

    def group(self, key: str) -> MemoryGroup:
        return self.groups.setdefault(key, MemoryGroup())

    def append_samples(self, key: str, samples: Sequence[tuple[Labels, int, float]]) -> Done:
        self.timed += [(key, *sample) for sample in samples]
        return Done()

    def set_metadata(self, family: str, type: str, help: str, unit: str = "") -> None:  # noqa: A002
        self.metadata[family] = (type, help, unit)

    def row(self, ts_ms: int | None = None) -> dict[str, Cell]:
        """The newest row (or that of ``ts_ms``) of the only group, by series in short form."""
        (group,) = self.groups.values()
        return {short(labels): cell for labels, cell in group.rows[ts_ms or max(group.rows)].items()}


def short(labels: Labels) -> str:
    """A series without ``job`` and ``instance``: ``name{a="b"}``."""
    named = dict(labels)
    name = named.pop("__name__")
    for label in ("job", "instance"):
        named.pop(label, None)
    inner = ",".join(f'{label}="{value}"' for label, value in named.items())
    return f"{name}{{{inner}}}" if inner else name
