"""The storage that tests and small jobs use."""

from __future__ import annotations

import numpy as np
import pytest

from tests.monitoring.promql.samples import name
from watchkeeper.monitoring.promql.parser import parse_selector
from watchkeeper.monitoring.samples.memory import MemoryStorage


def test_series_with_the_same_times_share_a_frame() -> None:
    storage = MemoryStorage()
    storage.add(name("a"), [0, 10], [1.0, 2.0])
    storage.add({"__name__": "b"}, np.array([0, 10]), np.array([3.0, 4.0]))
    storage.add(name("c"), [5], [5.0])
    frames = storage.select(parse_selector('{__name__=~".+"}').matchers, 0, 10).frames
    assert sorted(len(frame.refs) for frame in frames) == [1, 2]


def test_samples_are_put_in_order_and_the_last_one_given_for_a_time_stays() -> None:
    storage = MemoryStorage()
    storage.add(name("a"), [20, 0], [3.0, 1.0])
    storage.add(name("a"), [10, 20], [2.0, 4.0])
    (frame,) = storage.select(parse_selector("a").matchers, 0, 100).frames
    assert frame.times.tolist() == [0, 10, 20]
    assert frame.values[:, frame.columns[0]].tolist() == [1.0, 2.0, 4.0]


def test_a_series_without_a_sample_in_the_time_is_not_there() -> None:
    storage = MemoryStorage()
    storage.add(name("a"), [10, 20], [1.0, 2.0])
    matchers = parse_selector("a").matchers
    assert storage.select(matchers, 0, 9).frames == []
    assert storage.select(matchers, 21, 30).frames == []
    assert len(storage.select(matchers, 20, 30).frames) == 1
    assert len(storage.select(matchers, 0, 10).frames) == 1


def test_as_many_values_as_times_must_be_given() -> None:
    with pytest.raises(ValueError, match="2 times, but 1 values"):
        MemoryStorage().add(name("a"), [0, 1], [1.0])
