"""Samples of some series on one time axis.

Always true: a :class:`Block` says which of its cells hold samples either by markers in the values
(frames of the sample store) or by a mask (results of subqueries), never both.
"""

from __future__ import annotations

from dataclasses import dataclass

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

    def samples_between(self, first: int, last: int) -> tuple[Floats, Mask | None]:
        """:meth:`between`, and which of those cells hold samples (None: all)."""
        values = self.between(first, last)
        if self.marked:
            mask = is_value(values)
            return values, None if mask.all() else mask
        return values, None if self.valid is None else self.valid[first:last]


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
