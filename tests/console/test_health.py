"""Healthy, ready, and our own metrics in both formats, whatever of the roles answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from tests.console.asgi import Answering, call
from watchkeeper.app.metrics import families_json
from watchkeeper.app.wire import WireError

GOOD = b'{"problems": [], "notes": []}'
OPENMETRICS = {
    "Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
}


def test_healthy_is_whoever_answers() -> None:
    assert call(Answering(), "/healthz").body == b"ok\n"


def test_ready_is_when_every_role_is() -> None:
    answer = call(Answering(ready=GOOD), "/readyz")
    assert (answer.status, answer.body) == (200, b"ready\n")


def test_a_role_that_does_not_answer_makes_us_not_ready_by_name() -> None:
    answer = call(
        Answering(watch_ready=GOOD, work_ready=WireError("the role work is not running")), "/readyz"
    )
    assert answer.status == 503
    assert answer.body == b"not ready\nwork: the role work is not running\n"


def test_problems_make_us_not_ready_and_notes_do_not() -> None:
    noted = json.dumps({"problems": [], "notes": ["a file was set aside"]}).encode()
    answer = call(Answering(watch_ready=noted, work_ready=GOOD), "/readyz")
    assert (answer.status, answer.body) == (200, b"ready\nnote: watch: a file was set aside\n")
    troubled = json.dumps({"problems": ["no rule was evaluated yet"], "notes": []}).encode()
    answer = call(Answering(watch_ready=troubled, work_ready=noted), "/readyz")
    assert answer.status == 503
    assert answer.body.splitlines()[1:] == [
        b"watch: no rule was evaluated yet",
        b"note: work: a file was set aside",
    ]


def role_metrics() -> bytes:
    """A registry with every kind of metric, and with labels that want to break out."""
    registry = CollectorRegistry()
    Counter("watchkeeper_scrapes", "Visits.", registry=registry).inc(7)
    hostile = Gauge("hostile", 'Help with \\ and "quotes"\nand a line.', ["label"], registry=registry)
    hostile.labels('"} 1\nfake 2 <b> \\ ü').set(float("nan"))
    hostile.labels("plain").set(float("inf"))
    seconds = Histogram("seconds", "How long.", ["what"], buckets=(0.1, 1), registry=registry)
    for what in ("a", "b"):
        seconds.labels(what).observe(0.5)
    return families_json(registry)


def roles_up(found: dict[str, Any]) -> dict[str, float]:
    return {sample.labels["asked"]: sample.value for sample in found["watchkeeper_role_up"].samples}


def families(accept: dict[str, str] | None, parse: Any) -> dict[str, Any]:
    answer = call(Answering(metrics=role_metrics()), "/metrics", headers=accept or {})
    assert answer.status == 200
    return {family.name: family for family in parse(answer.body.decode())}


@pytest.mark.parametrize(
    ("accept", "parse", "kind"),
    [
        (None, text_families, "text/plain; version="),
        (OPENMETRICS, openmetrics_families, "application/openmetrics-text; version=1.0.0"),
    ],
)
def test_metrics_are_valid_in_both_formats_and_name_their_role(
    accept: dict[str, str] | None, parse: Any, kind: str
) -> None:
    answer = call(Answering(metrics=role_metrics()), "/metrics", headers=accept or {})
    assert answer.headers["content-type"].startswith(kind)
    found = families(accept, parse)
    scrapes = found["watchkeeper_scrapes"].samples
    assert {(s.name, s.labels["role"], s.value) for s in scrapes if not s.name.endswith("_created")} == {
        ("watchkeeper_scrapes_total", "watch", 7),
        ("watchkeeper_scrapes_total", "work", 7),
    }
    assert {s.labels["label"] for s in found["hostile"].samples} == {'"} 1\nfake 2 <b> \\ ü', "plain"}
    buckets = [s for s in found["seconds"].samples if s.name == "seconds_bucket"]
    assert len(buckets) == 2 * 2 * 3
    assert {s.labels["asked"]: s.value for s in found["watchkeeper_role_up"].samples} == {
        "watch": 1,
        "work": 1,
    }
    (build,) = found["watchkeeper_build_info"].samples
    assert build.labels.keys() == {"version", "role"}
    assert "fake" not in found


def test_the_metrics_of_a_role_that_does_not_answer_are_missing_and_that_is_one() -> None:
    answer = call(Answering(work_metrics=role_metrics()), "/metrics")
    found = {family.name: family for family in text_families(answer.body.decode())}
    assert {s.labels["asked"]: s.value for s in found["watchkeeper_role_up"].samples} == {
        "watch": 0,
        "work": 1,
    }
    assert {s.labels["role"] for s in found["watchkeeper_scrapes"].samples} == {"work"}
