"""The ``*_over_time`` functions, ``deriv`` and ``predict_linear``.

Always true: a series has a result at a step exactly when its window there holds enough samples (two for
the regressions, one for the rest); work grows with the number of samples in all windows together, and no
loop goes over series.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from watchkeeper.monitoring.labels import Ints
from watchkeeper.monitoring.promql.block import Block, Rows, Steps, Windows, rowwise
from watchkeeper.monitoring.promql.counters import Outcome, holes, overlaid
from watchkeeper.monitoring.promql.summation import means, positions, segment_sums, sums
from watchkeeper.monitoring.samples.frame import Floats

Kernel = Callable[[Floats, Rows, Ints], Floats]
"""(samples, where each window begins, how many it has) -> one result per window, none of them empty."""


def over_time(blocks: Sequence[Block], steps: Steps, kernel: Kernel) -> Outcome:
    """``kernel`` of every window that holds a sample."""
    windows = Windows.of(blocks, steps)
    counts = windows.counts
    chosen = np.flatnonzero(counts > 0)
    if not len(chosen):
        return windows.scattered(chosen, np.zeros(0))
    return windows.scattered(chosen, kernel(windows.values, windows.first[chosen], counts[chosen]))


def newest_or_oldest(blocks: Sequence[Block], steps: Steps, *, newest: bool) -> Outcome:
    """``last_over_time`` or ``first_over_time``."""
    sizes = [len(block) for block in blocks]
    rows = [rowwise(block.times, steps) for block in blocks]
    picked = [
        np.maximum(each.last - 1, 0) if newest else np.minimum(each.first, len(block.times) - 1)
        for block, each in zip(blocks, rows, strict=True)
    ]
    values = np.concatenate([block.rows(row) for block, row in zip(blocks, picked, strict=True)], axis=1)
    enough = np.stack([each.last > each.first for each in rows], axis=1)
    there = None if enough.all() else np.repeat(enough, sizes, axis=1)
    columns, holed = holes(blocks, rows, steps)
    if not holed:
        return values, there
    if newest:
        some = over_time(holed, steps, lambda values, starts, counts: values[starts + counts - 1])
    else:
        some = over_time(holed, steps, lambda values, starts, counts: values[starts])
    return overlaid((values, there), columns, some)


def present(blocks: Sequence[Block], steps: Steps) -> Outcome:
    """``present_over_time``: 1 where the window holds a sample."""
    return over_time(blocks, steps, lambda values, starts, counts: np.ones(len(starts)))


def count(values: Floats, starts: Rows, counts: Ints) -> Floats:
    return counts.astype(np.float64)


def total(values: Floats, starts: Rows, counts: Ints) -> Floats:
    return sums(values, starts, counts)


def average(values: Floats, starts: Rows, counts: Ints) -> Floats:
    return means(values, starts, counts)


def lowest(values: Floats, starts: Rows, counts: Ints) -> Floats:
    """The least value; NaN only where all are."""
    return _extreme(np.fmin, values, starts, counts)


def highest(values: Floats, starts: Rows, counts: Ints) -> Floats:
    """The greatest value; NaN only where all are."""
    return _extreme(np.fmax, values, starts, counts)


def _extreme(pick: np.ufunc, values: Floats, starts: Rows, counts: Ints) -> Floats:
    bounds = np.empty(2 * len(starts), np.intp)
    bounds[::2] = starts
    bounds[1::2] = starts + counts
    extremes: Floats = pick.reduceat(np.append(values, 0.0), bounds)[::2]
    return extremes


def variance(values: Floats, starts: Rows, counts: Ints) -> Floats:
    """The population variance, from distances to the first value: exactly 0 for a constant."""
    members = values[positions(starts, counts)]
    begins = np.cumsum(counts) - counts
    with np.errstate(all="ignore"):
        distance = members - np.repeat(values[starts], counts)
        centre = segment_sums(distance, begins, counts) / counts
        spread = distance - np.repeat(centre, counts)
        result: Floats = segment_sums(spread * spread, begins, counts) / counts
    return result


def deviation(values: Floats, starts: Rows, counts: Ints) -> Floats:
    with np.errstate(all="ignore"):
        root: Floats = np.sqrt(variance(values, starts, counts))
    return root


def quantiles(values: Floats, starts: Rows, counts: Ints, quantile: Floats) -> Floats:
    """Per segment its quantile (``quantile``: one per segment), interpolated; NaN counts as the least."""
    members = values[positions(starts, counts)]
    segment = np.repeat(np.arange(len(counts)), counts)
    ordered = members[np.lexsort((members, ~np.isnan(members), segment))]
    begins = np.cumsum(counts) - counts
    with np.errstate(all="ignore"):
        rank = quantile * (counts - 1)
        lower = np.floor(np.nan_to_num(rank, nan=0.0, posinf=0.0, neginf=0.0))
        lower = np.clip(lower, 0, counts - 1).astype(np.int64)
        upper = np.minimum(lower + 1, counts - 1)
        weight = rank - np.floor(rank)
        result = ordered[begins + lower] * (1 - weight) + ordered[begins + upper] * weight
    result = np.where(quantile < 0, -np.inf, result)
    result = np.where(quantile > 1, np.inf, result)
    return np.where(np.isnan(quantile), np.nan, result)


def quantile_over_time(blocks: Sequence[Block], steps: Steps, quantile: Floats) -> Outcome:
    """``quantile`` has one value per step."""
    windows = Windows.of(blocks, steps)
    counts = windows.counts
    chosen = np.flatnonzero(counts > 0)
    if not len(chosen):
        return windows.scattered(chosen, np.zeros(0))
    wanted = quantile[chosen % windows.steps]
    results = quantiles(windows.values, windows.first[chosen], counts[chosen], wanted)
    return windows.scattered(chosen, results)


def regression(
    blocks: Sequence[Block], steps: Steps, *, at_ms: Ints | None = None, ahead: Floats | None = None
) -> Outcome:
    """``deriv`` (the slope of the least-squares line) or ``predict_linear``: that line ``ahead`` seconds
    after ``at_ms``, both one per step."""
    windows = Windows.of(blocks, steps)
    counts = windows.counts
    chosen = np.flatnonzero(counts > 1)
    if not len(chosen):
        return windows.scattered(chosen, np.zeros(0))
    starts, counts = windows.first[chosen], counts[chosen]
    members = positions(starts, counts)
    begins = np.cumsum(counts) - counts
    y = windows.values[members]
    seconds = (windows.times[members] - np.repeat(windows.times[starts], counts)) / 1000
    with np.errstate(all="ignore"):
        first = windows.values[starts]
        rise = y - np.repeat(first, counts)
        mean_x = segment_sums(seconds, begins, counts) / counts
        mean_y = segment_sums(rise, begins, counts) / counts
        x = seconds - np.repeat(mean_x, counts)
        slope = segment_sums(x * (rise - np.repeat(mean_y, counts)), begins, counts)
        slope /= segment_sums(x * x, begins, counts)
        level = segment_sums(np.abs(rise), begins, counts) == 0.0
        slope = np.where(level, 0.0, slope)
        if at_ms is None or ahead is None:
            results = slope
        else:
            step = chosen % windows.steps
            seconds_until = (at_ms[step] - windows.times[starts]) / 1000 + ahead[step]
            results = first + mean_y + slope * (seconds_until - mean_x)
            results = np.where(level, first, results)
    return windows.scattered(chosen, results)
