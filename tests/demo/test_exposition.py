"""What the demo writes is what a strict parser reads."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from watchkeeper.demo.exposition import Counter, Gauge, Histogram, render


def read(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@given(st.dictionaries(st.text(), st.floats(), max_size=5))
def test_any_label_value_and_any_float_is_read_back(values: dict[str, float]) -> None:
    gauge = Gauge("g", 'a "help" with \\ and\nlines', ("label",))
    for label, value in values.items():
        gauge.set(value, label=label)
    found = read(render([gauge]))
    assert len(found) == len(values)
    for label, value in values.items():
        back = found["g", (("label", label),)]
        assert back == value or (math.isnan(back) and math.isnan(value))


@given(st.lists(st.floats(min_value=0, max_value=100), max_size=50))
def test_a_bucket_counts_what_is_at_most_its_bound(observed: list[float]) -> None:
    histogram = Histogram("h", "help", (0.5, 1.0, 5.0))
    histogram.touch()
    for value in observed:
        histogram.observe(value)
    found = read(render([histogram]))
    for bound in (0.5, 1.0, 5.0):
        written = str(int(bound)) if bound == int(bound) else str(bound)
        assert found["h_bucket", (("le", written),)] == sum(value <= bound for value in observed)
    assert found["h_bucket", (("le", "+Inf"),)] == len(observed) == found["h_count", ()]
    assert found["h_sum", ()] == pytest.approx(sum(observed))


def test_a_counter_refuses_to_go_down_and_a_wrong_label_is_refused() -> None:
    counter = Counter("c_total", "help", ("outcome",))
    with pytest.raises(ValueError, match="cannot go down"):
        counter.add(-1, outcome="success")
    with pytest.raises(KeyError):
        counter.add(1, result="success")
    with pytest.raises(KeyError):
        counter.add(1)


def test_a_declared_series_is_there_with_zero_and_an_unused_metric_is_not_written() -> None:
    counter = Counter("c_total", "help", ("outcome",))
    assert render([counter]) == ""
    counter.touch(outcome="failure")
    counter.add(2, outcome="success")
    counter.touch(outcome="success")
    assert read(render([counter])) == {
        ("c_total", (("outcome", "failure"),)): 0,
        ("c_total", (("outcome", "success"),)): 2,
    }
