"""Samples for the tests of the evaluator: written by hand or drawn at random, in every way to store them.

Always true: the same :class:`Target` list gives the same samples to every storage made from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from watchkeeper.monitoring.labels import Labels, LabelStore, label_set
from watchkeeper.monitoring.promql.ast import Matcher
from watchkeeper.monitoring.promql.engine import Engine
from watchkeeper.monitoring.samples.frame import ABSENT_BITS, STALE_BITS, Frame, Selection
from watchkeeper.monitoring.samples.memory import MemoryStorage

Cell = float | str
"""A value, ``"_"`` (no sample) or ``"stale"``."""

MINUTE = 60_000


@dataclass
class Target:
    """Series on one time axis."""

    times: list[int]
    series: dict[Labels, list[Cell]]


def name(metric: str, **labels: str) -> Labels:
    return label_set([("__name__", metric), *labels.items()])


def bare(**labels: str) -> Labels:
    return label_set(labels.items())


def _cells(cells: Sequence[Cell]) -> np.ndarray:
    values = np.array([0.0 if isinstance(cell, str) else cell for cell in cells], np.float64)
    bits = values.view(np.uint64)
    bits[[cell == "stale" for cell in cells]] = STALE_BITS
    bits[[cell == "_" for cell in cells]] = ABSENT_BITS
    return values


def loaded(step_ms: int, series: Mapping[Labels, Sequence[Cell]], start_ms: int = 0) -> MemoryStorage:
    """A storage with one sample per ``step_ms``."""
    length = max(len(cells) for cells in series.values())
    times = [start_ms + step_ms * i for i in range(length)]
    return memory([Target(times[: len(cells)], {labels: list(cells)}) for labels, cells in series.items()])


def memory(targets: Sequence[Target]) -> MemoryStorage:
    """Each series with times of its own."""
    storage = MemoryStorage()
    for target in targets:
        for labels, cells in target.series.items():
            held = [i for i, cell in enumerate(cells) if cell != "_"]
            storage.add(labels, np.array(target.times, np.int64)[held], _cells(cells)[held])
    return storage


class Frames:
    """A storage of one frame per target, as a scraper fills it: cells without samples are marked.

    ``hints``: with ``gap_ms`` and ``drop_ms``; the columns lie in an order that is not the series'.
    """

    def __init__(self, targets: Sequence[Target], *, hints: bool) -> None:
        self.labels = LabelStore()
        self._frames = [self._frame(target, hints=hints) for target in targets if target.series]

    def _frame(self, target: Target, *, hints: bool) -> Frame:
        series = list(target.series.items())
        values = np.full((len(target.times), 2 * len(series)), 7.0)
        columns = np.arange(2 * len(series) - 1, 0, -2)
        refs = []
        gaps = np.full(2 * len(series), target.times[0] - 1, np.int64)
        drops = gaps.copy()
        for column, (labels, cells) in zip(columns.tolist(), series, strict=True):
            values[:, column] = _cells(cells)
            refs.append(self.labels.intern(labels))
            before: float | None = None
            for time, cell in zip(target.times, cells, strict=True):
                if isinstance(cell, str):
                    gaps[column] = time
                    continue
                if before is not None and cell < before:
                    drops[column] = time
                before = cell
        values.flags.writeable = False
        return Frame(
            np.array(target.times, np.int64),
            values,
            columns,
            np.array(refs, np.int64),
            gaps if hints else None,
            drops if hints else None,
        )

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        frames = []
        for frame in self._frames:
            first, last = np.searchsorted(frame.times, (start_ms, end_ms + 1)).tolist()
            chosen = np.flatnonzero(self.labels.match(matchers, frame.refs))
            if last > first and len(chosen):
                frames.append(
                    Frame(
                        frame.times[first:last],
                        frame.values[first:last],
                        frame.columns[chosen],
                        frame.refs[chosen],
                        frame.gap_ms,
                        frame.drop_ms,
                    )
                )
        return Selection(self.labels, frames)


Stored = MemoryStorage | Frames


def instant(storage: Stored, query: str, at_ms: int) -> dict[Labels, float]:
    """The values of an instant query by label set."""
    return Engine(storage).instant(query, at_ms).values


# -- at random ---------------------------------------------------------------------------------

_VALUES = st.one_of(
    st.integers(0, 50).map(float),
    st.floats(-1e3, 1e3, allow_nan=False).map(lambda value: round(value, 3)),
    st.sampled_from([0.0, float("nan"), float("inf"), float("-inf"), 1e9]),
)


@st.composite
def _counter(draw: st.DrawFn, length: int) -> list[float]:
    value, cells = float(draw(st.integers(0, 100))), []
    for step in draw(st.lists(st.integers(-1, 9), min_size=length, max_size=length)):
        value = float(draw(st.integers(0, 3))) if step < 0 else value + step
        cells.append(value)
    return cells


@st.composite
def cells(draw: st.DrawFn, length: int, *, finite: bool = False) -> list[Cell]:
    """The cells of one series: a counter or a gauge, with holes, ends and new beginnings."""
    values: list[float]
    if draw(st.booleans()):
        values = draw(_counter(length))
    else:
        one = _VALUES.filter(lambda value: abs(value) < 1e6) if finite else _VALUES
        values = draw(st.lists(one, min_size=length, max_size=length))
    marks = draw(
        st.one_of(
            st.just([""] * length),
            st.lists(st.sampled_from(["", "", "", "_", "stale"]), min_size=length, max_size=length),
        )
    )
    return [mark or value for mark, value in zip(marks, values, strict=True)]


@st.composite
def targets(draw: st.DrawFn, *, finite: bool = False) -> list[Target]:
    """Up to three targets, scraped at times that have nothing to do with each other."""
    drawn = []
    for number in range(draw(st.integers(1, 3))):
        length = draw(st.integers(1, 12))
        gaps = draw(st.lists(st.integers(5_000, 40_000), min_size=length, max_size=length))
        times = np.cumsum([draw(st.integers(0, 60_000)), *gaps[1:]]).tolist()
        series = {
            name("m_total", target=str(number), n=str(i), group="ab"[i % 2]): draw(
                cells(length, finite=finite)
            )
            for i in range(draw(st.integers(1, 4)))
        }
        drawn.append(Target(times, series))
    return drawn
