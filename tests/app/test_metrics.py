"""Families of several roles become one exposition, every line under its role."""

from __future__ import annotations

import json
import math

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.parser import text_string_to_metric_families

from watchkeeper.app.metrics import families_json, new_registry, render


def _document(name: str, value: float) -> bytes:
    registry = CollectorRegistry()
    Gauge(name, "Help.", ["a"], registry=registry).labels("x").set(value)
    return families_json(registry)


def test_what_several_roles_have_stands_together() -> None:
    body, kind = render({"watch": _document("g", 1), "work": _document("g", 2)}, "")
    text = body.decode()
    assert kind.startswith("text/plain")
    assert text.count("# TYPE g gauge") == 1
    (family,) = text_string_to_metric_families(text)
    assert {(s.labels["role"], s.labels["a"], s.value) for s in family.samples} == {
        ("watch", "x", 1),
        ("work", "x", 2),
    }


def test_values_that_are_no_numbers_cross_the_wire() -> None:
    for value in (math.inf, -math.inf, math.nan):
        body, _ = render({"watch": _document("g", value)}, "")
        (family,) = text_string_to_metric_families(body.decode())
        found = family.samples[0].value
        assert found == value or (math.isnan(found) and math.isnan(value))


def test_a_registry_knows_its_process_and_is_nobody_elses() -> None:
    one, other = new_registry(), new_registry()
    Counter("watchkeeper_x", "X.", registry=one)
    names = {family["name"] for family in json.loads(families_json(one))}
    assert {"process_cpu_seconds", "process_resident_memory_bytes", "process_open_fds"} <= names
    assert "watchkeeper_x" not in {family["name"] for family in json.loads(families_json(other))}
