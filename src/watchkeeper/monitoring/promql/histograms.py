"""``histogram_quantile`` and ``histogram_fraction`` of classic histograms.

Always true: a histogram is the series that agree in all labels but ``le`` (the metric name included);
only the buckets that are there at a step take part in it. The numbers are Prometheus' (promql/quantile.go):
buckets with equal bounds are added, differences below 1e-12 are rounding, buckets that go down are
raised, and said to have been.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from watchkeeper.monitoring.labels import METRIC_NAME, Ints, LabelStore, Mask, RefMap
from watchkeeper.monitoring.promql.annotations import (
    Forced,
    bad_bucket_label,
    forced_monotonicity,
    invalid_quantile,
)
from watchkeeper.monitoring.promql.ast import Call
from watchkeeper.monitoring.promql.evaluation import Evaluation, ScalarNode, VectorNode, Workspace
from watchkeeper.monitoring.promql.numbers import parse_float
from watchkeeper.monitoring.promql.projection import Projection
from watchkeeper.monitoring.promql.vector import Grid, Vector, empty_vector
from watchkeeper.monitoring.samples.frame import Floats

BOUND = "le"
_TOLERANCE = 1e-12
_SMALLEST_NORMAL = 2.2250738585072014e-308


@dataclass(frozen=True, slots=True)
class Buckets:
    """The buckets of many histograms, each a run: ``starts[i]`` up to but not with ``starts[i] + counts[i]``.

    ``bounds`` ascend strictly within a run; ``values`` are cumulative counts. ``keys`` tells which step
    and group each run is: step * groups + group.
    """

    bounds: Floats
    values: Floats
    starts: Ints
    counts: Ints
    keys: Ints

    @property
    def ends(self) -> Ints:
        """The last bucket of each run."""
        return self.starts + self.counts - 1

    def runs(self) -> Ints:
        """Per bucket, which run it belongs to."""
        return np.repeat(np.arange(len(self.counts)), self.counts)


class _Layout:
    """How series make histograms, remembered as long as the series stay the same."""

    def __init__(self, workspace: Workspace) -> None:
        self.histograms = Projection(workspace.derived, (BOUND,), keep=False)
        self._bounds: list[float] = [math.nan]  # number 0: no usable bound
        self._numbers: dict[str, int] = {}
        self._maps: dict[int, tuple[LabelStore, RefMap]] = {}
        self._known: tuple[Ints, Ints, tuple[Ints, Ints, Floats, Ints]] | None = None

    def of(self, vector: Vector) -> tuple[Ints, Ints, Floats, Ints]:
        """An order of the series (by histogram, then bound; without the unusable), the group and bound of
        each in that order, and the unusable series."""
        labels, refs = vector.labels, vector.refs
        if id(labels) not in self._maps:
            self._maps[id(labels)] = (labels, RefMap(labels, lambda fresh: self._number(labels, fresh)))
        numbers = self._maps[id(labels)][1].get(refs)
        groups = self.histograms.numbers(labels, refs)
        known = self._known
        if known is not None and np.array_equal(known[0], numbers) and np.array_equal(known[1], groups):
            return known[2]
        bounds = np.array(self._bounds)[numbers]
        order = np.lexsort((bounds, groups))
        order = order[numbers[order] > 0]
        layout = (order, groups[order], bounds[order], np.flatnonzero(numbers == 0))
        self._known = (numbers, groups, layout)
        return layout

    def _number(self, labels: LabelStore, refs: Ints) -> Ints:
        texts = labels.decode(BOUND, labels.codes(BOUND, refs).tolist())
        numbers = []
        for text in texts:
            number = self._numbers.get(text)
            if number is None:
                bound = parse_float(text)
                if bound is None:
                    number = 0
                else:
                    number = len(self._bounds)
                    self._bounds.append(bound)
                self._numbers[text] = number
            numbers.append(number)
        return np.array(numbers, np.int64)


class _HistogramFunction(VectorNode):
    def __init__(
        self, expr: Call, workspace: Workspace, argument: VectorNode, *parameters: ScalarNode
    ) -> None:
        super().__init__(expr, argument, *parameters)
        self.argument = argument
        self.parameters = parameters
        self._layout = _Layout(workspace)

    def _buckets(self, evaluation: Evaluation, grid: Grid) -> Buckets | None:
        vector = evaluation.vector(self.argument, grid)
        if not len(vector):
            return None
        order, groups, bounds, bad = self._layout.of(vector)
        for series in bad[:20].tolist():
            ref = np.array([vector.refs[series]])
            name, bound = (vector.labels.value(int(ref[0]), label) for label in (METRIC_NAME, BOUND))
            evaluation.annotate(bad_bucket_label(name, bound, self.argument.expr))
        if not len(order):
            return None
        values = vector.values[:, order]
        present = None if vector.present is None else vector.present[:, order]
        keys = np.arange(grid.steps)[:, None] * len(self._layout.histograms) + groups
        return gathered(values, present, np.broadcast_to(bounds, values.shape), keys)

    def _outcome(self, grid: Grid, keys: Ints, results: Floats, labels: LabelStore) -> Vector:
        groups = len(self._layout.histograms)
        values = np.zeros(grid.steps * groups)
        present = np.zeros(grid.steps * groups, np.bool_)
        values[keys] = results
        present[keys] = True
        vector = Vector(
            labels,
            self._layout.histograms.refs.copy(),
            values.reshape(grid.steps, groups),
            present.reshape(grid.steps, groups),
            dropped=True,
        )
        return vector.normal()


class HistogramQuantile(_HistogramFunction):
    """``histogram_quantile(q, buckets)``."""

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        quantile = evaluation.scalar(self.parameters[0], grid)
        derived = evaluation.workspace.derived
        outside = np.isnan(quantile) | (quantile < 0) | (quantile > 1)
        if outside.any():
            wrong = float(quantile[np.argmax(outside)])
            evaluation.annotate(invalid_quantile(wrong, self.parameters[0].expr))
        buckets = self._buckets(evaluation, grid)
        if buckets is None:
            return empty_vector(derived, grid.steps)
        groups = len(self._layout.histograms)
        wanted = quantile[buckets.keys // groups]
        inside = (wanted >= 0) & (wanted <= 1) & np.isposinf(buckets.bounds[buckets.ends])
        forced = make_monotonic(buckets, inside)
        for run, change in forced.items():
            step, group = divmod(int(buckets.keys[run]), groups)
            time = grid.start_ms + step * grid.step_ms
            name = derived.value(int(self._layout.histograms.refs[group]), METRIC_NAME)
            found = Forced(time, time, *change, 1)
            evaluation.annotate(forced_monotonicity(name, found, self.argument.expr))
        return self._outcome(grid, buckets.keys, bucket_quantiles(buckets, wanted), derived)


class HistogramFraction(_HistogramFunction):
    """``histogram_fraction(lower, upper, buckets)``."""

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        lower, upper = (evaluation.scalar(parameter, grid) for parameter in self.parameters)
        derived = evaluation.workspace.derived
        buckets = self._buckets(evaluation, grid)
        if buckets is None:
            return empty_vector(derived, grid.steps)
        step = buckets.keys // len(self._layout.histograms)
        results = bucket_fractions(buckets, lower[step], upper[step])
        return self._outcome(grid, buckets.keys, results, derived)


def gathered(values: Floats, present: Mask | None, bounds: Floats, keys: Ints) -> Buckets | None:
    """The buckets of cells [T, S] that are sorted by key and bound in each row; None: there are none."""
    if present is None:
        values, bounds, keys = values.ravel(), bounds.ravel(), keys.ravel()
    else:
        values, bounds, keys = values[present], bounds[present], keys[present]
    if not len(values):
        return None
    fresh = np.ones(len(values), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=fresh[1:])
    apart = fresh.copy()
    apart[1:] |= bounds[1:] != bounds[:-1]
    if not apart.all():
        merged = np.flatnonzero(apart)
        values = np.add.reduceat(values, merged)
        bounds, keys, fresh = bounds[merged], keys[merged], fresh[merged]
    starts = np.flatnonzero(fresh)
    counts = np.diff(np.append(starts, len(values)))
    return Buckets(bounds, values.copy(), starts, counts, keys[starts])


def make_monotonic(buckets: Buckets, inside: Mask) -> dict[int, tuple[float, float, float]]:
    """Raise counts that go down, in the runs marked ``inside``, in place.

    Returns the runs in which that was more than rounding: lowest bound, highest bound, largest difference.
    """
    values = buckets.values
    if len(values) < 2:
        return {}
    same_run = np.ones(len(values) - 1, np.bool_)
    same_run[buckets.starts[1:] - 1] = False
    with np.errstate(all="ignore"):
        rise = values[1:] - values[:-1]
        odd = ~(rise > _TOLERANCE * (np.abs(values[1:]) + np.abs(values[:-1]))) & (rise != 0) & same_run
    if not odd.any():
        return {}
    runs = np.unique(np.searchsorted(buckets.starts, np.flatnonzero(odd) + 1, side="right") - 1)
    forced = {}
    for run in runs[inside[runs]].tolist():
        start = int(buckets.starts[run])
        change = _raise(values[start : start + int(buckets.counts[run])], buckets.bounds[start:])
        if change is not None:
            forced[run] = change
    return forced


def _raise(values: Floats, bounds: Floats) -> tuple[float, float, float] | None:
    """One run of :func:`make_monotonic`, as Prometheus goes through it."""
    before = float(values[0])
    low, high, most = math.inf, -math.inf, 0.0
    for i, now in enumerate(values.tolist()):
        if now == before:
            continue
        if _almost_equal(before, now):
            values[i] = before
        elif now < before:
            values[i] = before
            bound = float(bounds[i])
            low, high, most = min(low, bound), max(high, bound), max(most, before - now)
        else:
            before = now
    return None if high == -math.inf and low == math.inf else (low, high, most)


def _almost_equal(a: float, b: float) -> bool:
    if math.isnan(a) and math.isnan(b):
        return True
    total, difference = abs(a) + abs(b), abs(a - b)
    if a == 0 or b == 0 or total < _SMALLEST_NORMAL:
        return difference < _TOLERANCE * _SMALLEST_NORMAL
    return difference / min(total, 1.7976931348623157e308) < _TOLERANCE


def bucket_quantiles(buckets: Buckets, quantile: Floats) -> Floats:
    """Per run, its ``quantile``, interpolated within the bucket that it falls into.

    NaN where there are fewer than two buckets, the last is not ``+Inf``, or nothing was observed.
    """
    bounds, values, starts, ends = buckets.bounds, buckets.values, buckets.starts, buckets.ends
    with np.errstate(all="ignore"):
        observed = values[ends]
        rank = quantile * observed
        below = ~(values >= np.repeat(rank, buckets.counts))
        below[ends] = False
        index = np.add.reduceat(below.astype(np.int64), starts)
        at = starts + index
        previous = np.maximum(at - 1, starts)
        first = index == 0
        lower = np.where(first, 0.0, bounds[previous])
        under = np.where(first, 0.0, values[previous])
        result = lower + (bounds[at] - lower) * ((rank - under) / (values[at] - under))
        result = np.where(first & (bounds[starts] <= 0), bounds[starts], result)
        result = np.where(at == ends, bounds[np.maximum(ends - 1, starts)], result)
        unknown = ~np.isposinf(bounds[ends]) | (buckets.counts < 2) | (observed == 0)
        result = np.where(unknown, np.nan, result)
        result = np.where(quantile < 0, -np.inf, result)
        result = np.where(quantile > 1, np.inf, result)
        return np.where(np.isnan(quantile), np.nan, result)


def bucket_fractions(buckets: Buckets, lower: Floats, upper: Floats) -> Floats:
    """Per run, the fraction of observations between ``lower`` and ``upper``."""
    observed = buckets.values[buckets.ends]
    with np.errstate(all="ignore"):
        low, high = (_ranks(buckets, limit) for limit in (lower, upper))
        low = np.where(low > observed, observed, low)
        high = np.where(high > observed, observed, high)
        result = np.where(lower >= upper, 0.0, (high - low) / observed)
    unknown = ~np.isposinf(buckets.bounds[buckets.ends]) | (observed == 0)
    return np.where(unknown | np.isnan(lower) | np.isnan(upper), np.nan, result)


def _ranks(buckets: Buckets, limit: Floats) -> Floats:
    """Per run, how many observations are below ``limit``, interpolated."""
    bounds, values, starts = buckets.bounds, buckets.values, buckets.starts
    reached = bounds <= np.repeat(limit, buckets.counts)
    index = np.add.reduceat(reached.astype(np.int64), starts)
    at = np.minimum(starts + index, buckets.ends)
    previous: npt.NDArray[np.int64] = np.maximum(at - 1, starts)
    first = index == 0
    natural = np.where(bounds[starts] <= 0, -np.inf, 0.0)  # without negative bounds, nothing is below 0
    below = np.where(first, natural, bounds[previous])
    under = np.where(first, 0.0, values[previous])
    inside = under + (values[at] - under) * (limit - below) / (bounds[at] - below)
    inside = np.where(np.isneginf(below), values[at], inside)
    ranks = np.where(below >= limit, under, inside)
    return np.where(index >= buckets.counts, values[buckets.ends], ranks)
