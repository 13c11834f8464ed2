"""``rate``, ``increase``, ``delta``, ``irate``, ``idelta``, ``changes`` and ``resets``.

Always true: the two ways to the same number - reading the first and the last row of a block whose
windows are full, and going through every sample - agree to the last bit but for the order in which
corrections for counter resets are added (tests/monitoring/promql/test_counters.py). The extrapolation is
Prometheus' (promql/functions.go, ``extrapolatedRate``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from watchkeeper.monitoring.labels import Ints, Mask
from watchkeeper.monitoring.promql.block import Block, Rows, Rowwise, Steps, Windows, rowwise
from watchkeeper.monitoring.samples.frame import Floats

Outcome = tuple[Floats, Mask | None]
"""Values [T, S], and where there are any (None: everywhere)."""


def extrapolated(
    blocks: Sequence[Block], steps: Steps, range_ms: int, *, counter: bool, per_second: bool
) -> Outcome:
    """``rate`` (a counter, per second), ``increase`` (a counter) or ``delta`` of every window.

    The samples at the ends of all windows are collected block by block, the rest is done once for all;
    series that miss samples are then done again, sample by sample.
    """
    ends = [_Ends.of(block, steps) for block in blocks]
    with np.errstate(invalid="ignore"):  # of cells without samples, which are overwritten below
        gained = np.concatenate([each.last - each.first for each in ends], axis=1)
    if counter:
        offset = 0
        for block, each in zip(blocks, ends, strict=True):
            _correct(block, each.rows, gained[:, offset : offset + len(block)])
            offset += len(block)
    sizes = [len(block) for block in blocks]
    first = np.concatenate([each.first for each in ends], axis=1)
    extent = _common_extent(ends, steps, sizes)
    values = _extrapolate(gained, first, extent, range_ms, counter=counter, per_second=per_second)
    enough = np.stack([each.rows.last - each.rows.first >= 2 for each in ends], axis=1)
    present = None if enough.all() else np.repeat(enough, sizes, axis=1)
    columns, holed = holes(blocks, [each.rows for each in ends], steps)
    if holed:
        some = _of_windows(Windows.of(holed, steps), steps, range_ms, counter=counter, per_second=per_second)
        return overlaid((values, present), columns, some)
    return values, present


def holes(blocks: Sequence[Block], rows: Sequence[Rowwise], steps: Steps) -> tuple[Rows, list[Block]]:
    """Which series (of all in ``blocks``) miss samples in some window, and those series."""
    columns, holed = [], []
    offset = 0
    after_ms = int(steps.after_ms.min())
    for block, windows in zip(blocks, rows, strict=True):
        low, high = int(windows.first.min()), int(windows.last.max())
        full = block.full_since(after_ms, low, high) if high > low else None
        if full is not None:
            missing = np.flatnonzero(~full)
            holed.append(block.series(missing))
            columns.append(missing + offset)
        offset += len(block)
    return (np.concatenate(columns) if columns else np.zeros(0, np.intp)), holed


def overlaid(outcome: Outcome, columns: Rows, some: Outcome) -> Outcome:
    """``outcome`` with the series ``columns`` replaced by ``some``."""
    values, present = outcome
    fresh, there = some
    values[:, columns] = fresh
    if present is None and there is None:
        return values, None
    present = np.ones(values.shape, np.bool_) if present is None else present
    present[:, columns] = True if there is None else there
    return values, present


class _Ends(NamedTuple):
    """The first and the last row of every window of a block, and the windows themselves.

    Where a window has no rows these are some rows or other.
    """

    rows: Rowwise
    first: Floats
    last: Floats
    first_ms: Ints
    last_ms: Ints

    @classmethod
    def of(cls, block: Block, steps: Steps) -> _Ends:
        rows = rowwise(block.times, steps)
        first, last = np.minimum(rows.first, len(block.times) - 1), np.maximum(rows.last - 1, 0)
        return cls(rows, block.rows(first), block.rows(last), block.times[first], block.times[last])


class Extent(NamedTuple):
    """In seconds: between the first and the last sample, and what is added before and after."""

    sampled: Floats
    before: Floats
    after: Floats


def _extent(first_ms: Ints, last_ms: Ints, intervals: Ints, steps: Steps) -> Extent:
    """Up to the window's ends where a sample is close to them (1.1 times the average interval), else half
    an interval further."""
    sampled = (last_ms - first_ms) / 1000
    interval = sampled / intervals
    near = interval * 1.1
    before = (first_ms - steps.after_ms) / 1000
    after = (steps.until_ms - last_ms) / 1000
    return Extent(
        sampled,
        np.where(before >= near, interval / 2, before),
        np.where(after >= near, interval / 2, after),
    )


def _common_extent(ends: Sequence[_Ends], steps: Steps, sizes: Sequence[int]) -> Extent:
    """Per step and series, from what is the same for all series of a block."""
    first = np.stack([each.first_ms for each in ends], axis=1)
    last = np.stack([each.last_ms for each in ends], axis=1)
    intervals = np.stack([np.maximum(each.rows.last - each.rows.first - 1, 1) for each in ends], axis=1)
    per_block = _extent(first, last, intervals, Steps(steps.after_ms[:, None], steps.until_ms[:, None]))
    return Extent(*(np.repeat(part, sizes, axis=1) for part in per_block))


def _correct(block: Block, rows: Rowwise, gained: Floats) -> None:
    """Add to ``gained`` what counters lost in resets."""
    low, high = int(rows.first.min()), int(rows.last.max())
    if high - low < 2:
        return
    suspects: Rows | None = None
    if block.drop_ms is not None:
        suspects = np.flatnonzero(block.drop_ms > block.times[low])
        if not len(suspects):
            return
        block = block.series(suspects)
    cells = block.between(low, high)
    fell = cells[1:] < cells[:-1]
    resets = np.flatnonzero(fell.any(axis=0))
    if not len(resets):
        return
    lost = np.zeros((high - low + 1, len(resets)))
    lost[1:-1] = np.where(fell[:, resets], cells[:-1, resets], 0.0)
    steps = np.flatnonzero(rows.last - rows.first >= 2)
    columns = resets if suspects is None else suspects[resets]
    gained[steps[:, None], columns] += spans(lost, rows.first[steps] - low + 1, rows.last[steps] - low)


def _of_windows(windows: Windows, steps: Steps, range_ms: int, *, counter: bool, per_second: bool) -> Outcome:
    """Where series have samples at times of their own."""
    counts = windows.counts
    chosen = np.flatnonzero(counts >= 2)
    first, last = windows.first[chosen], windows.last[chosen]
    start = windows.values[first]
    gained = windows.values[last - 1] - start
    if counter and len(chosen):
        fell = windows.values[1:] < windows.values[:-1]
        if fell.any():
            lost = np.zeros(len(windows.values) + 1)
            lost[1:-1] = np.where(fell, windows.values[:-1], 0.0)
            gained += spans(lost, first + 1, last)
    step = chosen % windows.steps
    extent = _extent(
        windows.times[first],
        windows.times[last - 1],
        counts[chosen] - 1,
        Steps(steps.after_ms[step], steps.until_ms[step]),
    )
    results = _extrapolate(gained, start, extent, range_ms, counter=counter, per_second=per_second)
    return windows.scattered(chosen, results)


def spans(cells: Floats, first: Ints, last: Ints) -> Floats:
    """Sums of ``cells[first[i]:last[i]]``, none of which is empty; the last row of ``cells`` is spare."""
    bounds = np.empty(2 * len(first), np.intp)
    bounds[::2] = first
    bounds[1::2] = last
    sums: Floats = np.add.reduceat(cells, bounds, axis=0)[::2]
    return sums


def _extrapolate(
    gained: Floats, first: Floats, extent: Extent, range_ms: int, *, counter: bool, per_second: bool
) -> Floats:
    """From what was gained between the first and the last sample to what is gained in the window; a
    counter is not taken to have been below zero."""
    sampled, before, after = extent
    with np.errstate(all="ignore"):
        if counter:
            to_zero = sampled * (first / gained)
            sooner = (gained > 0) & (first >= 0) & (to_zero < before)
            before = np.where(sooner, to_zero, before)
        factor = (sampled + before + after) / sampled
        if per_second:
            factor /= range_ms / 1000
        gained *= factor
    return gained


def instantaneous(blocks: Sequence[Block], steps: Steps, *, counter: bool) -> Outcome:
    """``irate`` (a counter, per second) or ``idelta`` of the last two samples of every window."""
    sizes = [len(block) for block in blocks]
    rows = [rowwise(block.times, steps) for block in blocks]
    last = [np.maximum(each.last - 1, 0) for each in rows]
    older = [np.maximum(each.last - 2, 0) for each in rows]
    apart = [block.times[a] - block.times[b] for block, a, b in zip(blocks, last, older, strict=True)]
    values = _instantaneous(
        np.concatenate([block.rows(each) for block, each in zip(blocks, last, strict=True)], axis=1),
        np.concatenate([block.rows(each) for block, each in zip(blocks, older, strict=True)], axis=1),
        np.repeat(np.stack(apart, axis=1), sizes, axis=1),
        counter=counter,
    )
    enough = np.stack([each.last - each.first >= 2 for each in rows], axis=1)
    present = None if enough.all() else np.repeat(enough, sizes, axis=1)
    columns, holed = holes(blocks, rows, steps)
    if not holed:
        return values, present
    windows = Windows.of(holed, steps)
    chosen = np.flatnonzero(windows.counts >= 2)
    at = windows.last[chosen] - 1
    results = _instantaneous(
        windows.values[at],
        windows.values[at - 1],
        windows.times[at] - windows.times[at - 1],
        counter=counter,
    )
    return overlaid((values, present), columns, windows.scattered(chosen, results))


def _instantaneous(newest: Floats, older: Floats, apart_ms: Ints, *, counter: bool) -> Floats:
    with np.errstate(all="ignore"):
        gained = newest - older
        if not counter:
            return gained
        per_second: Floats = np.where(newest < older, newest, gained) / (apart_ms / 1000)
        return per_second


def changes(blocks: Sequence[Block], steps: Steps, *, resets_only: bool) -> Outcome:
    """How often the value changed (or, ``resets_only``, went down) in every window."""
    windows = Windows.of(blocks, steps)
    chosen = np.flatnonzero(windows.counts > 0)
    values = windows.values
    before = np.zeros(len(values) + 1, np.int64)  # before[i]: changes from sample 0 to sample i
    if resets_only:
        np.cumsum(values[1:] < values[:-1], out=before[1:-1])
    else:
        differs = (values[1:] != values[:-1]) & ~(np.isnan(values[1:]) & np.isnan(values[:-1]))
        np.cumsum(differs, out=before[1:-1])
    results = before[windows.last[chosen] - 1] - before[windows.first[chosen]]
    return windows.scattered(chosen, results.astype(np.float64))
