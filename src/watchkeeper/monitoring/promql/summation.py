"""Sums that stay exact where plain addition would not.

Always true: the result is that of Prometheus' compensated (Kahan-Neumaier) summation up to the last bits
of the *result*; plain addition is used only where nothing can cancel: finite numbers of one sign.
Groups too large to go through one element at a time are added as a tree with the same compensation.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from watchkeeper.monitoring.labels import Ints
from watchkeeper.monitoring.samples.frame import Floats

_SEQUENTIAL = 512
"""Segments longer than this are added as trees: so many passes over the whole array at most."""


def cannot_cancel(values: Floats) -> bool:
    """Are these finite numbers of one sign, whose plain sum is finite?"""
    if not values.size:
        return True
    low, high = float(values.min()), float(values.max())  # NaN comes through
    if not (low >= 0.0 or high <= 0.0):
        return False
    return max(-low, high) * values.size < 1e300


def add(increment: Floats, total: Floats, compensation: Floats) -> tuple[Floats, Floats]:
    """One step of Neumaier's summation: the new total and compensation."""
    fresh = total + increment
    larger = np.abs(total) >= np.abs(increment)
    lost = np.where(larger, (total - fresh) + increment, (increment - fresh) + total)
    compensation = np.where(np.isinf(fresh), 0.0, compensation + lost)
    return fresh, compensation


def sums(values: Floats, starts: npt.NDArray[np.intp], counts: Ints) -> Floats:
    """Per segment ``values[starts[i]:starts[i] + counts[i]]`` (none empty), its sum."""
    if cannot_cancel(values):
        return segment_sums(values, starts, counts)
    with np.errstate(all="ignore"):
        if int(counts.max()) > _SEQUENTIAL:
            total, compensation = _tree(values[positions(starts, counts)], counts)
        else:
            total, compensation = values[starts], np.zeros(len(starts))
            for offset, active in _passes(counts):
                total[active], compensation[active] = add(
                    values[starts[active] + offset], total[active], compensation[active]
                )
        return np.where(np.isinf(total), total, total + compensation)


def means(values: Floats, starts: npt.NDArray[np.intp], counts: Ints) -> Floats:
    """Per segment (none empty) its mean; of numbers whose sum would overflow, the incremental mean."""
    if cannot_cancel(values):
        return segment_sums(values, starts, counts) / counts
    with np.errstate(all="ignore"):
        if int(counts.max()) > _SEQUENTIAL:
            members = values[positions(starts, counts)]
            total, compensation = _tree(members, counts)
            if np.isinf(total).any():
                total, compensation = _tree(members / np.repeat(counts, counts), counts)
                return total + compensation
            return total / counts + compensation / counts
        return _sequential_means(values, starts, counts)


def _sequential_means(values: Floats, starts: npt.NDArray[np.intp], counts: Ints) -> Floats:
    total, compensation = values[starts], np.zeros(len(starts))
    mean = np.zeros(len(starts))
    incremental = np.zeros(len(starts), np.bool_)
    for offset, active in _passes(counts):
        fresh_count = offset + 1.0
        value = values[starts[active] + offset]
        was = incremental[active]
        fresh, rest = add(value, total[active], compensation[active])
        turns = ~was & np.isinf(fresh)
        if turns.any():
            turning = active[turns]
            mean[turning] = total[turning] / offset
            compensation[turning] /= offset
            incremental[turning] = was[turns] = True
        direct = active[~was]
        total[direct], compensation[direct] = fresh[~was], rest[~was]
        if was.any():
            stepping = active[was]
            share = offset / fresh_count
            mean[stepping], compensation[stepping] = add(
                value[was] / fresh_count, share * mean[stepping], share * compensation[stepping]
            )
    return np.where(incremental, mean + compensation, total / counts + compensation / counts)


def _passes(counts: Ints) -> list[tuple[int, npt.NDArray[np.intp]]]:
    """For each position after the first, the segments that reach it."""
    order = np.argsort(counts, kind="stable")
    reach = counts[order]
    most = int(reach[-1])
    begins = np.searchsorted(reach, np.arange(1, most), side="right")
    return [(offset, order[begin:]) for offset, begin in enumerate(begins.tolist(), start=1)]


def _tree(total: Floats, counts: Ints) -> tuple[Floats, Floats]:
    """Totals and compensations of segments that follow each other, neighbours added first."""
    compensation = np.zeros(len(total))
    while int(counts.max()) > 1:
        begins = np.cumsum(counts) - counts
        rank = np.arange(len(total)) - np.repeat(begins, counts)
        left = np.flatnonzero((rank & 1) == 0)
        paired = np.zeros(len(total), np.bool_)
        paired[:-1] = (rank[1:] & 1) == 1
        pairs = left[paired[left]]
        fresh, rest = add(total[pairs + 1], total[pairs], compensation[pairs])
        total[pairs] = fresh
        compensation[pairs] = np.where(np.isinf(fresh), 0.0, rest + compensation[pairs + 1])
        total, compensation = total[left], compensation[left]
        counts = (counts + 1) // 2
    return total, compensation


def positions(starts: npt.NDArray[np.intp], counts: Ints) -> Ints:
    """The positions of every segment's elements, one segment after another."""
    begins = np.cumsum(counts) - counts
    members: Ints = np.arange(int(counts.sum())) + np.repeat(starts - begins, counts)
    return members


def segment_sums(values: Floats, starts: npt.NDArray[np.intp], counts: Ints) -> Floats:
    """Per segment (none empty) its plain sum; segments may overlap and leave gaps."""
    bounds = np.empty(2 * len(starts), np.intp)
    bounds[::2] = starts
    bounds[1::2] = starts + counts
    padded = np.append(values, 0.0)
    totals: Floats = np.add.reduceat(padded, bounds)[::2] if len(starts) else np.zeros(0)
    return totals
