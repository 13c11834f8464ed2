"""Quantiles and fractions of classic histograms."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.monitoring.promql.samples import Cell, bare, instant, loaded, name
from watchkeeper.monitoring.labels import Labels
from watchkeeper.monitoring.promql.engine import Engine
from watchkeeper.monitoring.samples.memory import MemoryStorage

NAN, INF = math.nan, math.inf


def histogram(*buckets: tuple[str, float], **labels: str) -> dict[Labels, list[Cell]]:
    return {name("h_bucket", le=bound, **labels): [count] for bound, count in buckets}


def quantile(q: str, *buckets: tuple[str, float]) -> float:
    (value,) = instant(loaded(10_000, histogram(*buckets)), f"histogram_quantile({q}, h_bucket)", 0).values()
    return value


FULL = (("0.1", 10.0), ("0.5", 40.0), ("1", 90.0), ("+Inf", 100.0))


@pytest.mark.parametrize(
    ("q", "value"),
    [
        ("0", 0.0),
        ("0.05", 0.05),
        ("0.1", 0.1),
        ("0.25", 0.3),
        ("0.65", 0.75),
        ("0.9", 1.0),
        ("0.95", 1.0),
        ("1", 1.0),
        ("-0.1", -INF),
        ("1.1", INF),
        ("NaN", NAN),
    ],
)
def test_a_quantile_is_interpolated_in_its_bucket(q: str, value: float) -> None:
    assert quantile(q, *FULL) == pytest.approx(value, nan_ok=True)


def test_the_lowest_bucket_starts_at_zero_unless_its_bound_is_not_positive() -> None:
    assert quantile("0.5", ("2", 10.0), ("+Inf", 10.0)) == 1.0
    assert quantile("0.1", ("-1", 10.0), ("1", 20.0), ("+Inf", 20.0)) == -1.0
    assert quantile("0.75", ("-1", 10.0), ("1", 20.0), ("+Inf", 20.0)) == 0.0


@pytest.mark.parametrize(
    "buckets",
    [
        pytest.param((("1", 5.0), ("2", 6.0)), id="no +Inf bucket"),
        pytest.param((("+Inf", 5.0),), id="only the +Inf bucket"),
        pytest.param((("1", 0.0), ("+Inf", 0.0)), id="nothing observed"),
    ],
)
def test_what_has_no_quantile_is_nan(buckets: tuple[tuple[str, float], ...]) -> None:
    assert math.isnan(quantile("0.9", *buckets))


def test_bounds_written_differently_are_one_bucket() -> None:
    assert quantile("0.5", ("1", 2.0), ("1.0", 3.0), ("1e0", 5.0), ("+Inf", 20.0)) == 1.0


def test_every_histogram_is_its_own_and_keeps_its_labels_but_le() -> None:
    storage = loaded(
        10_000,
        {
            **histogram(("1", 1.0), ("+Inf", 1.0), job="a"),
            **histogram(("1", 0.0), ("2", 1.0), ("+Inf", 1.0), job="b"),
        },
    )
    found = instant(storage, "histogram_quantile(0.5, h_bucket)", 0)
    assert found == {bare(job="a"): 0.5, bare(job="b"): 1.5}


def test_histograms_of_other_names_are_not_mixed() -> None:
    storage = loaded(
        10_000,
        {name(metric, le=le): [count] for metric in ("a", "b") for le, count in (("2", 4.0), ("+Inf", 4.0))},
    )
    with pytest.raises(ValueError, match="vector cannot contain metrics with the same labelset"):
        instant(storage, 'histogram_quantile(0.5, {__name__=~"a|b"})', 0)
    query = 'label_replace(histogram_quantile(0.5, {__name__=~"a|b"}), "was", "$1", "__name__", "(.*)")'
    assert instant(storage, query, 0) == {bare(was="a"): 1.0, bare(was="b"): 1.0}


def test_counts_that_go_down_are_raised_and_it_is_said() -> None:
    buckets = (("1", 10.0), ("2", 4.0), ("3", 7.0), ("4", 20.0), ("+Inf", 20.0))
    result = Engine(loaded(10_000, histogram(*buckets))).instant("histogram_quantile(0.75, h_bucket)", 0)
    assert list(result.values.values()) == [3.5]
    assert result.infos == [
        "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see "
        "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile) "
        'for metric name "h_bucket", from buckets 2 to 3, with a max diff of 6, over 1 samples '
        "from 1970-01-01T00:00:00Z to 1970-01-01T00:00:00Z (1:26)"
    ]


def test_rounding_is_smoothed_without_a_word() -> None:
    buckets = (("1", 10.0), ("2", 10.0 - 1e-12), ("3", 10.0 + 1e-12), ("+Inf", 10.0))
    result = Engine(loaded(10_000, histogram(*buckets))).instant("histogram_quantile(0.5, h_bucket)", 0)
    assert list(result.values.values()) == [0.5]
    assert result.annotations == ()


@pytest.mark.parametrize("bound", ["", "abc", "1_0", " 1", "0x"])
def test_a_series_without_a_usable_bound_is_left_out_and_named(bound: str) -> None:
    series: dict[Labels, list[Cell]] = {**histogram(*FULL), name("h_bucket", le=bound, x="odd"): [5.0]}
    result = Engine(loaded(10_000, series)).instant("histogram_quantile(0.9, h_bucket)", 0)
    assert result.values == {(): 1.0}
    assert result.warnings == [
        f'PromQL warning: bucket label "le" is missing or has a malformed value of "{bound}" '
        'for metric name "h_bucket" (1:25)'
    ]


def test_buckets_that_come_and_go_take_part_while_they_are_there() -> None:
    storage = loaded(
        10_000,
        {
            name("h_bucket", le="1"): [10.0, 10.0, "stale"],
            name("h_bucket", le="2"): ["_", 30.0, 30.0],
            name("h_bucket", le="+Inf"): [10.0, 40.0, 40.0],
        },
    )
    (series,) = Engine(storage).range("histogram_quantile(0.5, h_bucket)", 0, 20_000, 10_000).series
    assert series.points == [(0, 0.5), (10_000, 1.5), (20_000, pytest.approx(4 / 3))]


def _by_the_book(q: float, buckets: list[tuple[float, float]]) -> float:
    """Prometheus' bucketQuantile for sorted, monotonic, finite buckets."""
    if len(buckets) < 2 or buckets[-1][1] == 0:
        return NAN
    rank = q * buckets[-1][1]
    index = next((i for i, (_, count) in enumerate(buckets[:-1]) if count >= rank), len(buckets) - 1)
    if index == len(buckets) - 1:
        return buckets[-2][0]
    if index == 0 and buckets[0][0] <= 0:
        return buckets[0][0]
    start, under = buckets[index - 1] if index else (0.0, 0.0)
    bound, count = buckets[index]
    if count == under:
        return NAN if rank == under else start
    return start + (bound - start) * ((rank - under) / (count - under))


def _stored(histograms: list[list[int]]) -> MemoryStorage:
    series = {}
    for number, counts in enumerate(histograms):
        total = 0
        for i, count in enumerate(counts):
            total += count
            bound = "+Inf" if i == len(counts) - 1 else str(i - 1)
            series[name("h_bucket", n=str(number), le=bound)] = [float(total)]
    return loaded(10_000, series)


HISTOGRAMS = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=6), min_size=1, max_size=5)


@settings(max_examples=80, deadline=None)
@given(histograms=HISTOGRAMS, q=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
def test_quantiles_of_many_histograms_are_those_of_each(histograms: list[list[int]], q: float) -> None:
    found = instant(_stored(histograms), f"histogram_quantile({q}, h_bucket)", 0)
    for number, counts in enumerate(histograms):
        total = 0
        buckets = []
        for i, count in enumerate(counts):
            total += count
            buckets.append((INF if i == len(counts) - 1 else float(i - 1), float(total)))
        assert found[bare(n=str(number))] == pytest.approx(_by_the_book(q, buckets), nan_ok=True)


@pytest.mark.parametrize(
    ("lower", "upper", "fraction"),
    [
        ("0", "0.1", 0.1),
        ("0", "0.3", 0.25),
        ("0.1", "1", 0.8),
        ("-Inf", "+Inf", 1.0),
        ("0.75", "+Inf", 0.35),
        ("2", "+Inf", 0.1),
        ("-5", "0.05", 0.05),
        ("1", "0.5", 0.0),
        ("NaN", "1", NAN),
    ],
)
def test_a_fraction_is_what_lies_between_two_bounds(lower: str, upper: str, fraction: float) -> None:
    found = instant(loaded(10_000, histogram(*FULL)), f"histogram_fraction({lower}, {upper}, h_bucket)", 0)
    assert found == {(): pytest.approx(fraction, nan_ok=True)}


@settings(max_examples=80, deadline=None)
@given(histograms=HISTOGRAMS, q=st.sampled_from([0.2, 0.5, 0.8]))
def test_the_fraction_below_a_quantile_is_that_quantile(histograms: list[list[int]], q: float) -> None:
    storage = _stored([[0, *counts] for counts in histograms])
    quantiles = instant(storage, f"histogram_quantile({q}, h_bucket)", 0)
    for labels, value in quantiles.items():
        highest = len(histograms[int(dict(labels)["n"])]) - 2
        if math.isnan(value) or value >= highest:
            continue  # in the last bucket, whose quantile is its lower bound
        fractions = instant(storage, f"histogram_fraction(-Inf, {value!r}, h_bucket)", 0)
        assert fractions[labels] == pytest.approx(q)


def test_functions_of_native_histograms_have_nothing_to_say_about_floats() -> None:
    storage = loaded(10_000, {name("m"): [1.0]})
    for function in ("avg", "count", "sum", "stddev", "stdvar"):
        assert instant(storage, f"histogram_{function}(m)", 0) == {}
