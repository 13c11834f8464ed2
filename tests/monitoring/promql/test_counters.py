"""``rate`` and its kin: extrapolation, resets, and the two ways to the same number."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.monitoring.promql.samples import Frames, Target, instant, loaded, name
from watchkeeper.monitoring.labels import LabelStore
from watchkeeper.monitoring.promql import counters
from watchkeeper.monitoring.promql.block import Block
from watchkeeper.monitoring.promql.engine import Engine
from watchkeeper.monitoring.promql.windows import Ranges, Steps

M = name("m_total")


def one(values: list[float | str], query: str, at: int, step: int = 10_000) -> float:
    (value,) = instant(loaded(step, {M: values}), query, at).values()
    return value


def test_a_steady_counter_has_its_slope_as_rate() -> None:
    assert one([float(5 * i) for i in range(10)], "rate(m_total[1m])", 90_000) == pytest.approx(0.5)
    assert one([float(5 * i) for i in range(10)], "increase(m_total[1m])", 90_000) == pytest.approx(30.0)


def test_extrapolation_goes_to_the_ends_only_where_a_sample_is_near() -> None:
    # Samples at 0, 10, 20 s; the window (−40 s, 30 s] is extended half an interval before, 10 s after.
    values: list[float | str] = [100.0, 110.0, 120.0]
    assert one(values, "delta(m_total[70s])", 30_000) == pytest.approx(20.0 * (20 + 5 + 10) / 20)


def test_a_counter_is_not_extrapolated_below_zero() -> None:
    # It grows by 10 in 10 s from 2: two seconds before its first sample it was 0.
    values: list[float | str] = ["_", 2.0, 12.0]
    assert one(values, "increase(m_total[18s])", 20_000) == pytest.approx(12.0)
    assert one(values, "delta(m_total[18s])", 20_000) == pytest.approx(10.0 * (10 + 8) / 10)


def test_a_reset_adds_what_was_lost() -> None:
    values: list[float | str] = [0.0, 10.0, 20.0, 5.0, 15.0]
    assert one(values, "increase(m_total[41s])", 40_000) == pytest.approx(35.0)
    assert one(values, "delta(m_total[40s])", 40_000) == pytest.approx(5.0 * 40 / 30)
    assert one(values, "resets(m_total[41s])", 40_000) == 1.0


def test_one_sample_is_not_enough_for_a_rate() -> None:
    storage = loaded(10_000, {M: [1.0, 2.0]})
    for function in ("rate", "increase", "delta", "irate", "idelta", "deriv"):
        assert instant(storage, f"{function}(m_total[10s])", 10_000) == {}


def test_irate_and_idelta_look_at_the_last_two_samples() -> None:
    values: list[float | str] = [0.0, 100.0, 105.0, "_", 115.0]
    assert one(values, "irate(m_total[1m])", 40_000) == pytest.approx(0.5)
    assert one(values, "idelta(m_total[1m])", 40_000) == 10.0
    assert one([100.0, 20.0], "irate(m_total[1m])", 10_000) == pytest.approx(2.0)


def test_changes_takes_nan_to_nan_for_no_change() -> None:
    nan = math.nan
    assert one([1.0, 1.0, 2.0, nan, nan, 2.0, "_", 2.0], "changes(m_total[2m])", 70_000) == 3.0


def test_a_new_series_in_a_full_frame_is_measured_by_its_own_samples() -> None:
    times = [10_000 * i for i in range(7)]
    target = Target(
        times,
        {
            name("m_total", n="old"): [float(10 * i) for i in range(7)],
            name("m_total", n="new"): ["_", "_", "_", "_", 1.0, 3.0, 5.0],
            name("m_total", n="gone"): [1.0, 2.0, 3.0, "stale", "_", "_", "_"],
        },
    )
    expected = {
        labels: value
        for series in target.series.items()
        for labels, value in instant(
            loaded(10_000, {series[0]: series[1]}), "rate(m_total[1m])", 60_000
        ).items()
    }
    assert len(expected) == 3
    for hints in (True, False):
        found = instant(Frames([target], hints=hints), "rate(m_total[1m])", 60_000)
        assert found == pytest.approx(expected)


@settings(max_examples=100, deadline=None)
@given(
    cells=st.lists(st.lists(st.integers(0, 30), min_size=3, max_size=3), min_size=2, max_size=14),
    steps=st.lists(st.integers(0, 150_000), min_size=1, max_size=5),
    range_ms=st.integers(10_000, 90_000),
    kind=st.sampled_from([(True, True), (True, False), (False, False)]),
)
def test_first_and_last_row_give_what_every_sample_gives(
    cells: list[list[int]], steps: list[int], range_ms: int, kind: tuple[bool, bool]
) -> None:
    """The fast path (full windows) and the general one on the same samples."""
    matrix = np.array(cells, np.float64)
    times = np.arange(len(cells), dtype=np.int64) * 10_000
    until = np.array(steps, np.int64)
    windows = Steps(until - range_ms, until)
    drops = np.full(3, -1, np.int64)
    for column in range(3):
        fell = np.flatnonzero(matrix[1:, column] < matrix[:-1, column])
        drops[column] = times[fell[-1] + 1] if len(fell) else -1
    refs = np.arange(3, dtype=np.int64)
    labels = LabelStore()
    fast = Block(labels, refs, times, matrix, marked=True, gap_ms=np.full(3, -1), drop_ms=drops)
    # The same, but one sample outside of all windows is said to be missing: no window may be taken for full.
    slow = Block(labels, refs, times, matrix, marked=True, gap_ms=np.full(3, 10**9), drop_ms=None)
    counter, per_second = kind
    quick, thorough = (
        counters.extrapolated(Ranges([block], windows), range_ms, counter=counter, per_second=per_second)
        for block in (fast, slow)
    )
    there = np.ones(quick[0].shape, bool) if quick[1] is None else quick[1]
    also = np.ones(quick[0].shape, bool) if thorough[1] is None else thorough[1]
    assert (there == also).all()
    assert np.allclose(quick[0][there], thorough[0][there], rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("metric", "told"),
    [("a_total", False), ("a_sum", False), ("a_count", False), ("a_bucket", False), ("a", True)],
)
def test_a_rate_of_what_does_not_look_like_a_counter_says_so(metric: str, told: bool) -> None:
    storage = loaded(10_000, {name(metric): [1.0, 2.0, 3.0]})
    for function in ("rate", "increase"):
        infos = Engine(storage).instant(f"1 + {function}({metric}[1m])", 20_000).infos
        expected = (
            "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "
            f'"{metric}" (1:{6 + len(function)})'
        )
        assert infos == ([expected] if told else [])
    assert Engine(storage).instant(f"delta({metric}[1m])", 20_000).infos == []
