"""The windows that range functions see.

Always true: a window is left-open and right-closed, as in Prometheus 3; a :class:`Windows` holds samples
only, no markers and no holes. What several functions ask of the same :class:`Ranges` is worked out once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from watchkeeper.monitoring.labels import Ints, Mask
from watchkeeper.monitoring.promql.block import Block, Rows
from watchkeeper.monitoring.samples.frame import Floats

Scalar = TypeVar("Scalar", np.float64, np.int64, np.bool_)
Outcome = tuple[Floats, Mask | None]
"""Values [T, S], and where there are any (None: everywhere)."""


class Steps(NamedTuple):
    """The windows of a range selector at every step: times (``after_ms``, ``until_ms``], int64[T]."""

    after_ms: Ints
    until_ms: Ints


class Rowwise(NamedTuple):
    """Windows on a time axis: rows ``first`` up to but not with ``last``, int64[T]; ``low`` and ``high``
    bound them all."""

    first: Ints
    last: Ints
    low: int
    high: int

    @classmethod
    def of(cls, times: Ints, steps: Steps) -> Rowwise:
        first = times.searchsorted(steps.after_ms, side="right")
        last = times.searchsorted(steps.until_ms, side="right")
        if len(first) == 1:
            return cls(first, last, int(first[0]), int(last[0]))
        low = int(first.min())
        return cls(first, last, low, max(low, int(last.max())))


class Piece(NamedTuple):
    """A block and the windows on its time axis."""

    block: Block
    rows: Rowwise


class Ends(NamedTuple):
    """The first and the last row of every window of a block; of an empty window, some rows or other."""

    first: Floats
    last: Floats
    first_ms: Ints
    last_ms: Ints


class Holes(NamedTuple):
    """Series that miss samples: their places among all series, and themselves."""

    columns: Rows
    pieces: list[Piece]


class Extrapolation(NamedTuple):
    """What was gained between the first and the last sample of each window, and the factor that makes of
    it what is gained in the window; ``present``: where there are two samples (None: everywhere)."""

    gained: Floats
    factor: Floats
    present: Mask | None


class Ranges:
    """The windows of all steps over all blocks of a range selector or subquery."""

    def __init__(self, blocks: Iterable[Block], steps: Steps) -> None:
        self.steps = steps
        self.earliest_ms = int(steps.after_ms.min())
        self.pieces = [Piece(block, Rowwise.of(block.times, steps)) for block in blocks]
        self.sizes = [len(piece.block) for piece in self.pieces]
        self.extrapolations: dict[bool, Extrapolation] = {}

    @property
    def refs(self) -> Ints:
        """Of all series, in the order of the blocks."""
        blocks = [piece.block for piece in self.pieces]
        return blocks[0].refs if len(blocks) == 1 else np.concatenate([block.refs for block in blocks])

    def counts(self) -> Ints:
        """How many rows each window has, per step and block."""
        return np.stack([rows.last - rows.first for _, rows in self.pieces], axis=1)

    def per_series(self, per_block: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """What is known per step and block, per step and series."""
        return np.repeat(per_block, self.sizes, axis=1)

    def where_at_least(self, rows: int) -> Mask | None:
        """Per step and series: has the window that many rows? None: all have."""
        enough = self.counts() >= rows
        return None if enough.all() else self.per_series(enough)

    @cached_property
    def ends(self) -> list[Ends]:
        """Per block."""
        ends = []
        for block, rows in self.pieces:
            first, last = np.minimum(rows.first, len(block.times) - 1), np.maximum(rows.last - 1, 0)
            ends.append(Ends(block.rows(first), block.rows(last), block.times[first], block.times[last]))
        return ends

    @cached_property
    def holes(self) -> Holes:
        """The series that have not a sample in every row of every window."""
        columns, pieces = [], []
        offset = 0
        for piece in self.pieces:
            block, rows = piece
            full = block.full_since(self.earliest_ms, rows.low, rows.high) if rows.high > rows.low else None
            if full is not None:
                missing = np.flatnonzero(~full)
                columns.append(missing + offset)
                pieces.append(Piece(block.series(missing), rows))
            offset += len(block)
        return Holes(np.concatenate(columns or [np.zeros(0, np.intp)]), pieces)

    @cached_property
    def holed_windows(self) -> Windows:
        """Of the series in :attr:`holes`."""
        return Windows.of(self.holes.pieces, len(self.steps.until_ms))

    def windows(self) -> Windows:
        """Of all series."""
        return Windows.of(self.pieces, len(self.steps.until_ms))


def overlaid(outcome: Outcome, columns: Rows, some: Outcome) -> Outcome:
    """``outcome`` with the series ``columns`` replaced by ``some``."""
    values, present = outcome
    values[:, columns], there = some
    if present is None and there is None:
        return values, None
    present = np.ones(values.shape, np.bool_) if present is None else present
    present[:, columns] = True if there is None else there
    return values, present


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
    def of(cls, pieces: Sequence[Piece], steps: int) -> Windows:
        """The windows of every series of ``pieces``, in their order."""
        parts = [_flattened(block, rows) for block, rows in pieces]
        series = sum(len(block) for block, _ in pieces)
        if len(parts) == 1:
            return cls(*parts[0], series, steps)
        values = np.concatenate([part[0] for part in parts])
        times = np.concatenate([part[1] for part in parts])
        offset = 0
        first, last = [], []
        for part in parts:
            first.append(part[2] + offset)
            last.append(part[3] + offset)
            offset += len(part[0])
        return cls(values, times, np.concatenate(first), np.concatenate(last), series, steps)

    @property
    def counts(self) -> Ints:
        """How many samples each window has."""
        return self.last - self.first

    def scattered(self, chosen: Rows, results: Floats) -> Outcome:
        """``results`` of the windows ``chosen``, as values per step and series."""
        if len(chosen) == len(self.first):
            return results.reshape(self.series, self.steps).T, None
        values = np.zeros(len(self.first))
        values[chosen] = results
        present = np.zeros(len(self.first), np.bool_)
        present[chosen] = True
        return values.reshape(self.series, self.steps).T, present.reshape(self.series, self.steps).T


def _flattened(block: Block, rows: Rowwise) -> tuple[Floats, Ints, Ints, Ints]:
    """The samples of ``block`` in the windows ``rows``: values, times, and each window's first and last."""
    values, valid = block.samples_between(rows.low, rows.high)
    times = block.times[rows.low : rows.high]
    count, series = values.shape
    first, last = rows.first - rows.low, np.maximum(rows.last, rows.first) - rows.low
    if valid is None:
        offsets = np.arange(series, dtype=np.int64)[:, None] * count
        return values.T.ravel(), np.tile(times, series), (offsets + first).ravel(), (offsets + last).ravel()
    kept = valid.T
    samples, stamps = values.T[kept], np.broadcast_to(times, (series, count))[kept]
    if len(first) == 1:  # the one window is all that was read
        totals = np.count_nonzero(valid, axis=0)
        ends = np.cumsum(totals)
        return samples, stamps, ends - totals, ends
    before = np.zeros((count + 1, series), np.int64)
    np.cumsum(valid, axis=0, out=before[1:])
    totals = before[-1]
    offsets = (np.cumsum(totals) - totals)[:, None]
    return samples, stamps, (offsets + before[first].T).ravel(), (offsets + before[last].T).ravel()
