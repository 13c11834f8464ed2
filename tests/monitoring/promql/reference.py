"""PromQL once more, one sample at a time: slow, plain, and written from the documentation.

Always true: nothing here is shared with the engine; the tests compare the two.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from tests.monitoring.promql.samples import Target
from watchkeeper.monitoring.labels import Labels

Points = list[tuple[int, float]]

LOOKBACK = 300_000


def without_name(labels: Labels) -> Labels:
    return tuple(pair for pair in labels if pair[0] != "__name__")


def newest(targets: Sequence[Target], at: int) -> dict[Labels, tuple[int, float]]:
    """What an instant selector of everything sees."""
    found = {}
    for target in targets:
        for labels, cells in target.series.items():
            last = None
            for time, cell in zip(target.times, cells, strict=True):
                if cell != "_" and at - LOOKBACK < time <= at:
                    last = (time, cell)
            if last is not None and not isinstance(last[1], str):
                found[labels] = (last[0], last[1])
    return found


def window(targets: Sequence[Target], after: int, until: int) -> dict[Labels, Points]:
    """What a range selector of everything sees."""
    found: dict[Labels, Points] = {}
    for target in targets:
        for labels, cells in target.series.items():
            points = [
                (time, cell)
                for time, cell in zip(target.times, cells, strict=True)
                if not isinstance(cell, str) and after < time <= until
            ]
            if points:
                found[labels] = points
    return found


def _extrapolated(points: Points, after: int, until: int, *, counter: bool) -> float | None:
    if len(points) < 2:
        return None
    gained = points[-1][1] - points[0][1]
    if counter:
        for (_, before), (_, value) in itertools.pairwise(points):
            if value < before:
                gained += before
    to_start = (points[0][0] - after) / 1000
    to_end = (until - points[-1][0]) / 1000
    sampled = (points[-1][0] - points[0][0]) / 1000
    interval = sampled / (len(points) - 1)
    if to_start >= interval * 1.1:
        to_start = interval / 2
    if counter and gained > 0 and points[0][1] >= 0:
        to_start = min(to_start, sampled * (points[0][1] / gained))
    if to_end >= interval * 1.1:
        to_end = interval / 2
    return gained * ((sampled + to_start + to_end) / sampled)


def rate(points: Points, after: int, until: int) -> float | None:
    increased = increase(points, after, until)
    return None if increased is None else increased / ((until - after) / 1000)


def increase(points: Points, after: int, until: int) -> float | None:
    return _extrapolated(points, after, until, counter=True)


def delta(points: Points, after: int, until: int) -> float | None:
    return _extrapolated(points, after, until, counter=False)


def irate(points: Points, after: int, until: int) -> float | None:
    if len(points) < 2:
        return None
    (older_time, older), (time, value) = points[-2:]
    return (value if value < older else value - older) / ((time - older_time) / 1000)


def idelta(points: Points, after: int, until: int) -> float | None:
    return points[-1][1] - points[-2][1] if len(points) > 1 else None


def changes(points: Points, after: int, until: int) -> float:
    pairs = itertools.pairwise(points)
    return float(sum(a != b and not (math.isnan(a) and math.isnan(b)) for (_, a), (_, b) in pairs))


def resets(points: Points, after: int, until: int) -> float:
    return float(sum(b < a for (_, a), (_, b) in itertools.pairwise(points)))


def _of(function: Callable[[list[float]], float]) -> Callable[[Points, int, int], float]:
    return lambda points, after, until: function([value for _, value in points])


def total(values: list[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) + sum(value for value in values if not math.isfinite(value))


def mean(values: list[float]) -> float:
    return total(values) / len(values)


def least(values: list[float]) -> float:
    return min((value for value in values if not math.isnan(value)), default=math.nan)


def most(values: list[float]) -> float:
    return max((value for value in values if not math.isnan(value)), default=math.nan)


def variance(values: list[float]) -> float:
    if not all(map(math.isfinite, values)):
        return math.nan
    centre = mean(values)
    return math.fsum((value - centre) ** 2 for value in values) / len(values)


def quantile(wanted: float) -> Callable[[list[float]], float]:
    def of(values: list[float]) -> float:
        ordered = sorted(values, key=lambda value: (not math.isnan(value), value))
        rank = wanted * (len(values) - 1)
        lower = math.floor(rank)
        upper = min(lower + 1, len(values) - 1)
        weight = rank - lower
        return ordered[lower] * (1 - weight) + ordered[upper] * weight

    return of


def deriv(points: Points, after: int, until: int) -> float | None:
    if len(points) < 2:
        return None
    values = [value for _, value in points]
    if all(value == values[0] for value in values):
        return 0.0 if math.isfinite(values[0]) else math.nan
    if not all(map(math.isfinite, values)):
        return math.nan
    seconds = [(time - points[0][0]) / 1000 for time, _ in points]
    x, y = mean(seconds), mean(values)
    covariance = math.fsum((s - x) * (v - y) for s, v in zip(seconds, values, strict=True))
    return covariance / math.fsum((s - x) ** 2 for s in seconds)


RANGE_FUNCTIONS: dict[str, Callable[[Points, int, int], float | None]] = {
    "rate": rate,
    "increase": increase,
    "delta": delta,
    "irate": irate,
    "idelta": idelta,
    "changes": changes,
    "resets": resets,
    "deriv": deriv,
    "sum_over_time": _of(total),
    "avg_over_time": _of(mean),
    "min_over_time": _of(least),
    "max_over_time": _of(most),
    "count_over_time": _of(lambda values: float(len(values))),
    "present_over_time": _of(lambda values: 1.0),
    "last_over_time": _of(lambda values: values[-1]),
    "first_over_time": _of(lambda values: values[0]),
    "stdvar_over_time": _of(variance),
    "stddev_over_time": _of(lambda values: math.sqrt(variance(values))),
}

AGGREGATIONS: dict[str, Callable[[list[float]], float]] = {
    "sum": total,
    "avg": mean,
    "min": least,
    "max": most,
    "count": lambda values: float(len(values)),
    "group": lambda values: 1.0,
    "stdvar": variance,
    "stddev": lambda values: math.sqrt(variance(values)),
}


def range_function(function: str, targets: Sequence[Target], after: int, until: int) -> dict[Labels, float]:
    """``function(everything[range])``, with names only where they are kept."""
    found = {}
    for labels, points in window(targets, after, until).items():
        value = RANGE_FUNCTIONS[function](points, after, until)
        if value is not None:
            kept = function in ("last_over_time", "first_over_time")
            found[labels if kept else without_name(labels)] = value
    return found


def aggregated(
    function: Callable[[list[float]], float], vector: dict[Labels, float], by: Sequence[str]
) -> dict[Labels, float]:
    groups: dict[Labels, list[float]] = {}
    for labels, value in vector.items():
        groups.setdefault(tuple(pair for pair in labels if pair[0] in by), []).append(value)
    return {labels: function(values) for labels, values in groups.items()}


def same(left: dict[Labels, float], right: dict[Labels, float]) -> bool:
    """Equal label sets, and values equal but for rounding."""
    return left.keys() == right.keys() and all(close(left[labels], right[labels]) for labels in left)


def close(left: float, right: float) -> bool:
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    return left == right or math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-9)
