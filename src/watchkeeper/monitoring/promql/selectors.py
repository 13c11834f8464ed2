"""Selectors and subqueries: from the storage's frames to vectors and windows.

Always true: an instant selector gives the newest sample in (t - lookback, t], unless that is a staleness
marker; a range selector gives the samples in (t - range, t] without the markers; ``@`` and ``offset``
move t. Loops go over frames and rows of frames, never over series.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from watchkeeper.monitoring.labels import Ints, Mask
from watchkeeper.monitoring.promql.ast import At, MatrixSelector, Subquery, VectorSelector
from watchkeeper.monitoring.promql.block import Block
from watchkeeper.monitoring.promql.evaluation import Evaluation, Node, VectorNode
from watchkeeper.monitoring.promql.vector import Grid, Vector, empty_vector
from watchkeeper.monitoring.promql.windows import Ranges, Steps
from watchkeeper.monitoring.samples.frame import ABSENT_BITS, STALE_BITS, Floats, Frame


def moved(evaluation: Evaluation, times: Ints, at: At, offset_ms: int) -> Ints:
    """``times`` after ``@`` and ``offset``."""
    if at is None:
        return times - offset_ms
    fixed = {"start": evaluation.grid.start_ms, "end": evaluation.grid.end_ms}
    time = fixed[at] if isinstance(at, str) else at
    return np.full(len(times), time - offset_ms, np.int64)


class InstantSelector(VectorNode):
    """An instant vector selector; with ``own_times`` it gives the samples' times in seconds instead."""

    def __init__(self, expr: VectorSelector, *, own_times: bool = False) -> None:
        super().__init__(expr)
        self.selector = expr
        self.invariant = expr.at is not None
        self._own_times = own_times

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        selector = self.selector
        times = moved(evaluation, grid.times(), selector.at, selector.offset_ms)
        lookback = evaluation.limits.lookback_ms
        selection = evaluation.select(selector.matchers, int(times.min()) - lookback + 1, int(times.max()))
        frames, rows, seen = [], [], []
        for frame in selection.frames:
            if not len(frame.times) or not len(frame.refs):
                continue
            row = frame.times.searchsorted(times, side="right") - 1
            fresh = (row >= 0) & (frame.times[row] > times - lookback)
            if fresh.any():
                frames.append(frame)
                rows.append(row)
                seen.append(fresh)
        if not frames:
            return empty_vector(selection.labels, grid.steps)
        evaluation.spend(grid.steps * sum(len(frame.refs) for frame in frames))
        values, present = newest(frames, rows, times, lookback, own_times=self._own_times)
        if not all(fresh.all() for fresh in seen):
            there = np.repeat(np.stack(seen, axis=1), [len(frame.refs) for frame in frames], axis=1)
            present = there if present is None else present & there
        refs = frames[0].refs if len(frames) == 1 else np.concatenate([frame.refs for frame in frames])
        return Vector(selection.labels, refs, values, present).normal()


def newest(
    frames: Sequence[Frame], rows: Sequence[Ints], times: Ints, lookback_ms: int, *, own_times: bool
) -> tuple[Floats, Mask | None]:
    """Per time and series of ``frames``: its newest sample (or that one's time, in seconds), and where
    there is any (None: everywhere).

    ``rows``: per frame and time, the newest row; it may be too old (or -1), which is not looked at here.
    """
    values = np.concatenate(
        [_cells(frame, np.maximum(row, 0)) for frame, row in zip(frames, rows, strict=True)], axis=1
    )
    stamps: Floats | None = None
    if own_times:
        seconds = [frame.times[row] / 1000 for frame, row in zip(frames, rows, strict=True)]
        stamps = np.repeat(np.stack(seconds, axis=1), [len(frame.refs) for frame in frames], axis=1)
    nan = np.isnan(values)
    if not nan.any():
        return (values if stamps is None else stamps), None
    bits = values.view(np.uint64)
    present = ~(nan & (bits == STALE_BITS))
    missing = np.flatnonzero((nan & (bits == ABSENT_BITS)).any(axis=0))
    if len(missing):
        begins = np.cumsum([0, *(len(frame.refs) for frame in frames)])
        owners = begins.searchsorted(missing, side="right") - 1
        for owner in np.unique(owners).tolist():
            columns = missing[owners == owner]
            frame = frames[owner]
            chosen = frame.columns[columns - begins[owner]]
            older, own, found = _walk_back(frame, chosen, rows[owner], times, lookback_ms)
            values[:, columns] = older
            present[:, columns] = found
            if stamps is not None:
                stamps[:, columns] = own / 1000
    return (values if stamps is None else stamps), present


def _cells(frame: Frame, rows: Ints) -> Floats:
    """The values of the frame's series in ``rows``, [len(rows), S]."""
    if len(rows) == 1:
        row: Floats = frame.values[int(rows[0])]
        return row.take(frame.columns)[None, :]
    cells: Floats = frame.values[rows[:, None], frame.columns[None, :]]
    return cells


def _walk_back(
    frame: Frame, columns: Ints, rows: Ints, times: Ints, lookback_ms: int
) -> tuple[Floats, Ints, Mask]:
    """The same for columns that miss samples: their newest row that is not empty."""
    low = int(np.searchsorted(frame.times, int(times.min()) - lookback_ms, side="right"))
    high = int(rows.max()) + 1
    cells = frame.values[low:high].take(columns, axis=1)
    held = cells.view(np.uint64) != ABSENT_BITS
    last = np.where(held, np.arange(high - low)[:, None], -1)
    np.maximum.accumulate(last, axis=0, out=last)
    chosen = np.where(rows[:, None] >= low, last[np.maximum(rows - low, 0)], -1)
    found = chosen >= 0
    np.maximum(chosen, 0, out=chosen)
    values = np.take_along_axis(cells, chosen, axis=0)
    own = frame.times[low:high][chosen]
    found &= own > (times - lookback_ms)[:, None]
    found &= values.view(np.uint64) != STALE_BITS
    return values, own, found


class RangeSource(Node, ABC):
    """What stands in brackets: a range selector or a subquery."""

    range_ms: int

    def ranges(self, evaluation: Evaluation, grid: Grid) -> Ranges:
        """The windows at every step of ``grid``, worked out once where several functions want them."""
        if self.users < 2:
            return self._ranges(evaluation, grid)
        return evaluation.remembered((id(self), grid), lambda: self._ranges(evaluation, grid))

    @abstractmethod
    def _ranges(self, evaluation: Evaluation, grid: Grid) -> Ranges:
        """The windows at every step of ``grid``, and the samples in them."""


class RangeSelector(RangeSource):
    """``selector[range]``."""

    def __init__(self, expr: MatrixSelector) -> None:
        super().__init__(expr)
        self.selector = expr.selector
        self.range_ms = expr.range_ms
        self.invariant = expr.selector.at is not None

    def _ranges(self, evaluation: Evaluation, grid: Grid) -> Ranges:
        selector = self.selector
        until = moved(evaluation, grid.times(), selector.at, selector.offset_ms)
        steps = Steps(until - self.range_ms, until)
        selection = evaluation.select(selector.matchers, int(steps.after_ms.min()) + 1, int(until.max()))
        return Ranges(evaluation.blocks(selection), steps)


class SubquerySource(RangeSource):
    """``expression[range:step]``: the expression at multiples of the step."""

    def __init__(self, expr: Subquery, inner: VectorNode) -> None:
        super().__init__(expr, inner)
        self.subquery = expr
        self.range_ms = expr.range_ms
        self.inner = inner
        self.invariant = expr.at is not None

    def _ranges(self, evaluation: Evaluation, grid: Grid) -> Ranges:
        subquery = self.subquery
        until = moved(evaluation, grid.times(), subquery.at, subquery.offset_ms)
        steps = Steps(until - self.range_ms, until)
        step = subquery.step_ms or evaluation.limits.default_step_ms
        first = (int(steps.after_ms.min()) // step + 1) * step
        count = (int(until.max()) - first) // step + 1
        if count < 1:
            return Ranges([], steps)
        inner_grid = Grid(first, step, count)
        evaluation.spend(count)
        vector = evaluation.vector(self.inner, inner_grid)
        if not len(vector):
            return Ranges([], steps)
        return Ranges([Block.of_vector(vector, inner_grid.times())], steps)
