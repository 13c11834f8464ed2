"""Samples of some series on one time axis, and the windows that range functions see of them.

Always true: a :class:`Block` says which of its cells hold samples either by markers in the values
(frames of the sample store) or by a mask (results of subqueries), never both; a :class:`Windows` holds
samples only. A window is left-open and right-closed, as in Prometheus 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from watchkeeper.monitoring.labels import Ints, LabelStore, Mask
from watchkeeper.monitoring.promql.vector import Vector
from watchkeeper.monitoring.samples.frame import Floats, Frame, is_value

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Block:
    """Series ``refs`` of ``labels``: columns ``columns`` (all, where None) of ``matrix`` [N, C].

    ``marked``: cells may hold the markers of :mod:`watchkeeper.monitoring.samples.frame`. ``valid``:
    which cells [N, S] hold samples (``marked`` is then False). ``gap_ms``, ``drop_ms``: as in
    :class:`Frame`, but per series. ``dropped``: as in :class:`Vector`.
    """

    labels: LabelStore
    refs: Ints
    times: Ints
    matrix: Floats
    columns: Ints | None = None
    marked: bool = False
    valid: Mask | None = None
    gap_ms: Ints | None = None
    drop_ms: Ints | None = None
    dropped: bool | Mask = False

    @classmethod
    def of_frame(cls, labels: LabelStore, frame: Frame) -> Block:
        columns = frame.columns
        whole = len(columns) == frame.values.shape[1] and is_identity(columns)
        gap, drop = frame.gap_ms, frame.drop_ms
        return cls(
            labels,
            frame.refs,
            frame.times,
            frame.values,
            None if whole else columns,
            marked=True,
            gap_ms=gap if gap is None or whole else gap[columns],
            drop_ms=drop if drop is None or whole else drop[columns],
        )

    @classmethod
    def of_vector(cls, vector: Vector, times: Ints) -> Block:
        return cls(
            vector.labels, vector.refs, times, vector.values, valid=vector.present, dropped=vector.dropped
        )

    def __len__(self) -> int:
        return len(self.refs)

    def row(self, row: int) -> Floats:
        """The values of one row, [S]."""
        values: Floats = self.matrix[row]
        return values if self.columns is None else values.take(self.columns)

    def rows(self, rows: Rows | Ints) -> Floats:
        """The values of some rows, [len(rows), S]."""
        if len(rows) == 1:
            return self.row(int(rows[0]))[None, :]
        if self.columns is None:
            return self.matrix[rows]
        return self.matrix[rows[:, None], self.columns[None, :]]

    def between(self, first: int, last: int) -> Floats:
        """The values of the rows from ``first`` up to but not with ``last``, [rows, S]."""
        values = self.matrix[first:last]
        return values if self.columns is None else values.take(self.columns, axis=1)

    def series(self, chosen: Rows) -> Block:
        """Some of the series."""
        columns = chosen if self.columns is None else self.columns[chosen]
        return Block(
            self.labels,
            self.refs[chosen],
            self.times,
            self.matrix,
            columns,
            self.marked,
            None if self.valid is None else self.valid[:, chosen],
            None if self.gap_ms is None else self.gap_ms[chosen],
            None if self.drop_ms is None else self.drop_ms[chosen],
            self.dropped if isinstance(self.dropped, bool) else self.dropped[chosen],
        )

    def full_since(self, after_ms: int, first: int, last: int) -> Mask | None:
        """Per series: does every row from ``first`` (the first after ``after_ms``) to ``last`` hold a
        sample? None: of every series."""
        if not self.marked:
            return None if self.valid is None else every_row(self.valid[first:last])
        if self.gap_ms is not None:
            full: Mask = self.gap_ms <= after_ms
        else:
            full = every_row(is_value(self.between(first, last)))
        return None if full.all() else full

    def valid_between(self, first: int, last: int) -> Mask | None:
        """Which cells of :meth:`between` hold samples; None: all."""
        if self.marked:
            mask = is_value(self.between(first, last))
            return None if mask.all() else mask
        return None if self.valid is None else self.valid[first:last]


class Steps(NamedTuple):
    """The windows of a range selector at every step: times (``after_ms``, ``until_ms``], int64[T]."""

    after_ms: Ints
    until_ms: Ints


class Rowwise(NamedTuple):
    """The same windows on a time axis: rows ``first`` up to but not with ``last``, int64[T]."""

    first: Ints
    last: Ints


def rowwise(times: Ints, steps: Steps) -> Rowwise:
    return Rowwise(
        times.searchsorted(steps.after_ms, side="right"), times.searchsorted(steps.until_ms, side="right")
    )


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows over series with samples at times of their own.

    ``values`` and ``times`` hold the samples of one series after another, in time; window i of the
    W = S * T windows (all steps of the first series, then of the second, ...) are the samples from
    ``first[i]`` up to but not with ``last[i]``.
    """

    values: Floats
    times: Ints
    first: Ints
    last: Ints
    series: int
    steps: int

    @classmethod
    def of(cls, blocks: Sequence[Block], steps: Steps) -> Windows:
        """The windows of every series of ``blocks``, in their order."""
        parts = [_flattened(block, rowwise(block.times, steps)) for block in blocks]
        series = sum(len(block) for block in blocks)
        if len(parts) == 1:
            return cls(*parts[0], series, len(steps.until_ms))
        values = np.concatenate([part[0] for part in parts])
        times = np.concatenate([part[1] for part in parts])
        offset = 0
        first, last = [], []
        for part in parts:
            first.append(part[2] + offset)
            last.append(part[3] + offset)
            offset += len(part[0])
        return cls(values, times, np.concatenate(first), np.concatenate(last), series, len(steps.until_ms))

    @property
    def counts(self) -> Ints:
        """How many samples each window has."""
        return self.last - self.first

    def scattered(self, chosen: Rows, results: Floats) -> tuple[Floats, Mask | None]:
        """``results`` of the windows ``chosen`` as values [T, S] and where there are any."""
        if len(chosen) == len(self.first):
            return results.reshape(self.series, self.steps).T, None
        values = np.zeros(len(self.first))
        values[chosen] = results
        present = np.zeros(len(self.first), np.bool_)
        present[chosen] = True
        return values.reshape(self.series, self.steps).T, present.reshape(self.series, self.steps).T


def _flattened(block: Block, rows: Rowwise) -> tuple[Floats, Ints, Ints, Ints]:
    """The samples of ``block`` in the windows ``rows``: values, times, and each window's first and last."""
    low, high = int(rows.first.min()), int(rows.last.max())
    high = max(high, low)
    values = block.between(low, high)
    valid = block.valid_between(low, high)
    times = block.times[low:high]
    count, series = values.shape
    first, last = rows.first - low, np.maximum(rows.last, rows.first) - low
    if valid is None:
        offsets = np.arange(series, dtype=np.int64)[:, None] * count
        return values.T.ravel(), np.tile(times, series), (offsets + first).ravel(), (offsets + last).ravel()
    before = np.zeros((count + 1, series), np.int64)
    np.cumsum(valid, axis=0, out=before[1:])
    totals = before[-1]
    offsets = (np.cumsum(totals) - totals)[:, None]
    kept = valid.T
    return (
        values.T[kept],
        np.broadcast_to(times, (series, count))[kept],
        (offsets + before[first].T).ravel(),
        (offsets + before[last].T).ravel(),
    )


def every_row(mask: Mask) -> Mask:
    """Per column: is it True in every row?"""
    full: Mask = np.logical_and.reduce(mask, axis=0)
    return full


def is_identity(columns: Ints) -> bool:
    """Are these 0, 1, 2, ... in order?"""
    count = len(columns)
    if not count or columns[0] != 0 or columns[-1] != count - 1:
        return False
    return bool((columns == np.arange(count)).all())
