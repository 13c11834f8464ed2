"""``rate``, ``increase``, ``delta``, ``irate``, ``idelta``, ``changes`` and ``resets``.

Always true: the two ways to the same number - reading the first and the last row of a block whose
windows are full, and going through every sample - agree to the last bit but for the order in which
corrections for counter resets are added (tests/monitoring/promql/test_counters.py). The extrapolation is
Prometheus' (promql/functions.go, ``extrapolatedRate``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from watchkeeper.monitoring.labels import Ints
from watchkeeper.monitoring.promql.block import Rows
from watchkeeper.monitoring.promql.windows import (
    Extrapolation,
    Outcome,
    Piece,
    Ranges,
    Steps,
    Windows,
    overlaid,
)
from watchkeeper.monitoring.samples.frame import Floats


def extrapolated(ranges: Ranges, range_ms: int, *, counter: bool, per_second: bool) -> Outcome:
    """``rate`` (a counter, per second), ``increase`` (a counter) or ``delta`` of every window."""
    known = ranges.extrapolations.get(counter)
    if known is None:
        known = ranges.extrapolations[counter] = _extrapolation(ranges, counter=counter)
    with np.errstate(all="ignore"):
        factor = known.factor / (range_ms / 1000) if per_second else known.factor
        return known.gained * factor, known.present


def _extrapolation(ranges: Ranges, *, counter: bool) -> Extrapolation:
    """The samples at the ends of all windows are collected block by block, the rest is done once for all;
    series that miss samples are then done again, sample by sample."""
    with np.errstate(invalid="ignore"):  # of cells without samples, which are overwritten below
        gained = np.concatenate([ends.last - ends.first for ends in ranges.ends], axis=1)
    if counter:
        offset = 0
        for piece in ranges.pieces:
            _correct(piece, gained[:, offset : offset + len(piece.block)])
            offset += len(piece.block)
    first = np.concatenate([ends.first for ends in ranges.ends], axis=1)
    factor = _factor(gained, first, _common_extent(ranges), counter=counter)
    present = ranges.where_at_least(2)
    if not ranges.holes.pieces:
        return Extrapolation(gained, factor, present)
    windows = ranges.holed_windows
    chosen = np.flatnonzero(windows.counts >= 2)
    some_gained, some_factor = _of_windows(windows, chosen, ranges.steps, counter=counter)
    gained[:, ranges.holes.columns] = windows.scattered(chosen, some_gained)[0]
    some = windows.scattered(chosen, some_factor)
    return Extrapolation(gained, *overlaid((factor, present), ranges.holes.columns, some))


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


def _common_extent(ranges: Ranges) -> Extent:
    """Per step and series, from what is the same for all series of a block."""
    first = np.stack([ends.first_ms for ends in ranges.ends], axis=1)
    last = np.stack([ends.last_ms for ends in ranges.ends], axis=1)
    intervals = np.maximum(ranges.counts() - 1, 1)
    after_ms, until_ms = ranges.steps
    per_block = _extent(first, last, intervals, Steps(after_ms[:, None], until_ms[:, None]))
    return Extent(*(ranges.per_series(part) for part in per_block))


def _correct(piece: Piece, gained: Floats) -> None:
    """Add to ``gained`` what counters lost in resets."""
    block, rows = piece
    low, high = rows.low, rows.high
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


def _of_windows(windows: Windows, chosen: Rows, steps: Steps, *, counter: bool) -> tuple[Floats, Floats]:
    """What was gained and the factor, where series have samples at times of their own."""
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
        last - first - 1,
        Steps(steps.after_ms[step], steps.until_ms[step]),
    )
    return gained, _factor(gained, start, extent, counter=counter)


def _factor(gained: Floats, first: Floats, extent: Extent, *, counter: bool) -> Floats:
    """By how much more a window has than lies between its samples; a counter is not taken to have been
    below zero."""
    sampled, before, after = extent
    with np.errstate(all="ignore"):
        if counter:
            to_zero = sampled * (first / gained)
            sooner = (gained > 0) & (first >= 0) & (to_zero < before)
            before = np.where(sooner, to_zero, before)
        factor: Floats = (sampled + before + after) / sampled
    return factor


def spans(cells: Floats, first: Ints, last: Ints) -> Floats:
    """Sums of ``cells[first[i]:last[i]]``, none of which is empty; the last row of ``cells`` is spare."""
    bounds = np.empty(2 * len(first), np.intp)
    bounds[::2] = first
    bounds[1::2] = last
    sums: Floats = np.add.reduceat(cells, bounds, axis=0)[::2]
    return sums


def instantaneous(ranges: Ranges, *, counter: bool) -> Outcome:
    """``irate`` (a counter, per second) or ``idelta`` of the last two samples of every window."""
    newest, older, apart = [], [], []
    for block, rows in ranges.pieces:
        last, before = np.maximum(rows.last - 1, 0), np.maximum(rows.last - 2, 0)
        newest.append(block.rows(last))
        older.append(block.rows(before))
        apart.append(block.times[last] - block.times[before])
    values = _instantaneous(
        np.concatenate(newest, axis=1),
        np.concatenate(older, axis=1),
        ranges.per_series(np.stack(apart, axis=1)),
        counter=counter,
    )
    outcome = values, ranges.where_at_least(2)
    if not ranges.holes.pieces:
        return outcome
    windows = ranges.holed_windows
    chosen = np.flatnonzero(windows.counts >= 2)
    at = windows.last[chosen] - 1
    apart_ms = windows.times[at] - windows.times[at - 1]
    results = _instantaneous(windows.values[at], windows.values[at - 1], apart_ms, counter=counter)
    return overlaid(outcome, ranges.holes.columns, windows.scattered(chosen, results))


def _instantaneous(newest: Floats, older: Floats, apart_ms: Ints, *, counter: bool) -> Floats:
    with np.errstate(all="ignore"):
        gained = newest - older
        if not counter:
            return gained
        per_second: Floats = np.where(newest < older, newest, gained) / (apart_ms / 1000)
        return per_second


def changes(ranges: Ranges, *, resets_only: bool) -> Outcome:
    """How often the value changed (or, ``resets_only``, went down) in every window."""
    windows = ranges.windows()
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
