"""The ``*_over_time`` functions, ``deriv`` and ``predict_linear``.

Always true: a series has a result at a step exactly when its window there holds enough samples (two for
the regressions, one for the rest); work grows with the number of samples in all windows together, and no
loop goes over series.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from watchkeeper.monitoring.labels import Ints
from watchkeeper.monitoring.promql.block import Rows
from watchkeeper.monitoring.promql.summation import means, positions, segment_sums, sums
from watchkeeper.monitoring.promql.windows import Outcome, Ranges, overlaid
from watchkeeper.monitoring.samples.frame import Floats

Kernel = Callable[[Floats, Rows, Ints], Floats]
"""(samples, where each window begins, how many it has) -> one result per window, none of them empty."""


def over_time(ranges: Ranges, kernel: Kernel) -> Outcome:
    """``kernel`` of every window that holds a sample."""
    windows = ranges.windows()
    counts = windows.counts
    chosen = np.flatnonzero(counts > 0)
    if not len(chosen):
        return windows.scattered(chosen, np.zeros(0))
    return windows.scattered(chosen, kernel(windows.values, windows.first[chosen], counts[chosen]))


def newest_or_oldest(ranges: Ranges, *, newest: bool) -> Outcome:
    """``last_over_time`` or ``first_over_time``."""
    values = np.concatenate([ends.last if newest else ends.first for ends in ranges.ends], axis=1)
    outcome = values, ranges.where_at_least(1)
    if not ranges.holes.pieces:
        return outcome
    windows = ranges.holed_windows
    chosen = np.flatnonzero(windows.counts > 0)
    at = windows.last[chosen] - 1 if newest else windows.first[chosen]
    return overlaid(outcome, ranges.holes.columns, windows.scattered(chosen, windows.values[at]))


def present(ranges: Ranges) -> Outcome:
    """``present_over_time``: 1 where the window holds a sample."""
    return over_time(ranges, lambda values, starts, counts: np.ones(len(starts)))


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


def quantile_over_time(ranges: Ranges, quantile: Floats) -> Outcome:
    """``quantile`` has one value per step."""
    windows = ranges.windows()
    counts = windows.counts
    chosen = np.flatnonzero(counts > 0)
    if not len(chosen):
        return windows.scattered(chosen, np.zeros(0))
    wanted = quantile[chosen % windows.steps]
    results = quantiles(windows.values, windows.first[chosen], counts[chosen], wanted)
    return windows.scattered(chosen, results)


def regression(ranges: Ranges, *, at_ms: Ints | None = None, ahead: Floats | None = None) -> Outcome:
    """``deriv`` (the slope of the least-squares line) or ``predict_linear``: that line ``ahead`` seconds
    after ``at_ms``, both one per step."""
    windows = ranges.windows()
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
