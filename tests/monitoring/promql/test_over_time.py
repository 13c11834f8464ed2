"""Functions over time on values where a plain implementation goes wrong."""

from __future__ import annotations

import math

import pytest

from tests.monitoring.promql.samples import Cell, instant, loaded, name
from watchkeeper.monitoring.promql.engine import Engine

NAN, INF = math.nan, math.inf


def of(cells: list[Cell], call: str, at: int | None = None) -> float:
    """``call`` with X standing for all the samples, ten seconds apart."""
    storage = loaded(10_000, {name("m"): cells})
    range_s = 10 * len(cells) + 1
    found = instant(
        storage, call.replace("X", f"m[{range_s}s]"), 10_000 * (len(cells) - 1) if at is None else at
    )
    (value,) = found.values()
    return value


def test_sums_do_not_lose_small_numbers_between_large_ones() -> None:
    assert of([1e100, 1.0, -1e100], "sum_over_time(X)") == 1.0
    assert of([1.0, 1e100, 1.0, -1e100], "sum_over_time(X)") == 2.0
    assert of([5e307, 1.0, 5e307, -1e308], "avg_over_time(X)") == 0.25


def test_an_average_of_numbers_too_large_to_add_is_still_right() -> None:
    big = 9.988465674311579e307
    assert of([big] * 4, "avg_over_time(X)") == pytest.approx(big)
    assert of([-big, -big, big, big], "avg_over_time(X)") == 0.0
    assert of([big] * 4, "sum_over_time(X)") == INF


def test_infinities_add_up_as_they_should() -> None:
    assert of([INF, 1.0], "sum_over_time(X)") == INF
    assert of([1.0, -INF], "avg_over_time(X)") == -INF
    assert math.isnan(of([INF, -INF], "sum_over_time(X)"))
    assert math.isnan(of([NAN, 1.0], "avg_over_time(X)"))


def test_minimum_and_maximum_ignore_nan_unless_there_is_nothing_else() -> None:
    assert of([NAN, 1.0, 3.0], "max_over_time(X)") == 3.0
    assert of([3.0, NAN, 1.0], "min_over_time(X)") == 1.0
    assert math.isnan(of([NAN, NAN], "min_over_time(X)"))


def test_the_variance_of_a_constant_is_exactly_zero() -> None:
    for constant in (0.1, 1e9 + 0.1, 1e-300):
        assert of([constant] * 7, "stdvar_over_time(X)") == 0.0
        assert of([constant] * 7, "stddev_over_time(X)") == 0.0


def test_a_small_variance_around_a_large_number_is_not_lost() -> None:
    assert of([1e9 + 1, 1e9 + 2, 1e9 + 3], "stdvar_over_time(X)") == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("quantile", "value"),
    [("-1", -INF), ("0", 1.0), ("0.5", 2.5), ("0.75", 3.25), ("1", 4.0), ("2", INF), ("NaN", NAN)],
)
def test_a_quantile_lies_between_two_samples(quantile: str, value: float) -> None:
    found = of([4.0, 2.0, 1.0, 3.0], f"quantile_over_time({quantile}, X)")
    assert found == value or (math.isnan(found) and math.isnan(value))


def test_a_quantile_that_cannot_be_is_warned_of() -> None:
    storage = loaded(10_000, {name("m"): [1.0]})
    for quantile, shown in (("2", "2"), ("-0.5", "-0.5"), ("NaN", "NaN")):
        (warning,) = Engine(storage).instant(f"quantile_over_time({quantile}, m[1m])", 0).warnings
        text = f"PromQL warning: quantile value should be between 0 and 1, got {shown} (1:20)"
        assert warning == text


def test_a_line_is_fitted_by_least_squares() -> None:
    assert of([0.0, 10.0, 20.0, 30.0], "deriv(X)") == pytest.approx(1.0)
    assert of([0.0, 10.0, 20.0, 30.0], "predict_linear(X, 60)") == pytest.approx(90.0)
    assert of([3.0, 3.0, 3.0], "deriv(X)") == 0.0
    assert of([3.0, 3.0, 3.0], "predict_linear(X, 1e6)") == 3.0
    assert math.isnan(of([INF, INF, INF], "deriv(X)"))


def test_the_slope_is_exact_far_from_the_epoch() -> None:
    start = 1_493_712_816_000
    storage = loaded(15_000, {name("m"): [float(i) for i in range(40)]}, start_ms=start)
    at = start + 39 * 15_000
    assert instant(storage, "deriv(m[10m])", at) == {(): pytest.approx(1 / 15, rel=1e-12)}
    assert instant(storage, "predict_linear(m[10m], 15)", at) == {(): pytest.approx(40.0, rel=1e-12)}


def test_a_prediction_counts_from_the_time_of_the_query_not_of_the_window() -> None:
    storage = loaded(10_000, {name("m"): [float(i) for i in range(100)]})
    assert instant(storage, "predict_linear(m[100s] offset 200s, 0)", 900_000) == {(): pytest.approx(90.0)}


def test_absent_over_time_is_there_exactly_when_nothing_else_is() -> None:
    storage = loaded(10_000, {name("m", job="a"): [1.0, "_", "_", "_", 1.0]})
    (series,) = Engine(storage).range('absent_over_time(m{job="a",x=~"y|"}[15s])', 0, 40_000, 10_000).series
    assert series.labels == (("job", "a"),)
    assert [time for time, _ in series.points] == [20_000, 30_000]


def test_windows_of_many_series_and_steps_do_not_mix() -> None:
    storage = loaded(10_000, {name("m", n=str(n)): [float(n * i) for i in range(50)] for n in range(5)})
    for series in Engine(storage).range("sum_over_time(m[20s])", 100_000, 400_000, 30_000).series:
        factor = int(dict(series.labels)["n"])
        assert [value for _, value in series.points] == [
            factor * (2 * (time // 10_000) - 1) for time, _ in series.points
        ]
