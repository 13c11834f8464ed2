"""The real platform: it measures what the default runbook asks for, and each fault is seen in a metric.

One demo serves all tests of this module, in their order; each mends what it breaks.
"""

from __future__ import annotations

import importlib.resources
import os
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.demo.running import Demo, Series, cli, dump, eventually, needs_packages, total
from watchkeeper.runbook.loading import load
from watchkeeper.runbook.models.monitoring import Signal

pytestmark = [needs_packages(), pytest.mark.timeout(180)]

BACKEND, WORKER, POSTGRES, MINIO = (
    "treazrisland-backend",
    "treazrisland-worker",
    "treazrisland-postgres",
    "treazrisland-minio",
)
NO_SOURCE = {"infrastructure.node-pressure", "infrastructure.unschedulable-pods"}
"""Clauses about Kubernetes: nothing of the demo could honestly feed them, so they stay unknown."""
COUNT = "http_server_request_duration_seconds_count"


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    running = Demo()
    try:
        running.wait_ready()
        yield running
    finally:
        running.close()


def test_it_says_that_it_is_ready_and_what_to_do_next(demo: Demo) -> None:
    assert re.search(r"\[ *[0-9.]+ s\] ready; break it with: watchkeeper demo break", demo.said())


def metric_names(expr: str) -> set[str]:
    """The metrics that a PromQL expression selects."""
    text = re.sub(r'"[^"]*"', "", expr)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", text)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", text)
    words = re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\(|[a-zA-Z0-9_:])", text)
    return set(words) - {"or", "and", "unless", "bool", "offset"}


def test_metric_names_are_found_in_an_expression() -> None:
    expr = '0 * sum by (a, b) (rate(x_total{c=~"5.."}[$window])) or y_bytes unless on (a) count(z) > 3'
    assert metric_names(expr) == {"x_total", "y_bytes", "z"}


def test_every_threshold_of_the_default_runbook_has_a_source(demo: Demo, tmp_path: Path) -> None:
    present: dict[str, set[str]] = {}
    for group in demo.targets():
        for name, labels in demo.scrape(group["job_name"]):
            present.setdefault(name, set()).add(dict(labels)["service"])
    path = tmp_path / "runbook.yaml"
    path.write_bytes(importlib.resources.files("watchkeeper.runbook").joinpath("default.yaml").read_bytes())

    def has_source(signal: Signal) -> bool:
        return any(metric_names(str(expr)) <= present.keys() for expr in signal.expr)

    silent = {
        f"{layer.id}.{signal.id}"
        for layer in load(path).runbook.monitoring.layers
        for signal in layer.signals
        if (signal.warn or signal.page) and not has_source(signal)
    }
    assert silent == NO_SOURCE
    assert {BACKEND, "treazrisland-idp"} == present[COUNT]


def test_every_target_has_the_three_labels_and_answers(demo: Demo) -> None:
    for group in demo.targets():
        series = demo.scrape(group["job_name"])
        assert series, group
        for _, labels in series:
            assert {"service", "env", "region"} <= dict(labels).keys()


def test_the_figures_are_measured(demo: Demo) -> None:
    tls = demo.scrape("treazrisland-tls")
    days = (total(tls, "probe_ssl_earliest_cert_expiry") - time.time()) / 86400
    assert 89 < days < 91
    postgres = demo.scrape(POSTGRES)
    assert total(postgres, "pg_settings_max_connections") == 50
    assert 5 <= total(postgres, "pg_stat_database_numbackends") <= 20
    assert 5e6 < total(postgres, "pg_database_size_bytes") < 64e6
    assert total(demo.scrape("treazrisland-postgres-standby"), "pg_replication_lag_seconds") < 30
    for job in (MINIO, "treazrisland-minio-dr"):
        objects = demo.scrape(job)
        used = total(objects, "minio_cluster_health_capacity_usable_total_bytes") - total(
            objects, "minio_cluster_health_capacity_usable_free_bytes"
        )
        assert used == total(objects, "minio_bucket_usage_total_bytes") > 0
        assert total(objects, "minio_cluster_health_nodes_offline_count") == 0


def test_the_load_is_steady_and_healthy(demo: Demo) -> None:
    before = demo.scrape(BACKEND)
    time.sleep(2)
    after = demo.scrape(BACKEND)
    assert 20 < (total(after, COUNT) - total(before, COUNT)) / 2 < 80
    assert failed_share(before, after) == 0


def failed_share(before: Series, after: Series) -> float:
    """The share of requests between two scrapes that ended with 5xx."""

    def count(series: Series, pattern: str) -> float:
        return sum(
            value
            for (name, labels), value in series.items()
            if name == COUNT and re.match(pattern, dict(labels)["http_response_status_code"])
        )

    every = count(after, "") - count(before, "")
    assert every > 20, "too little traffic between the scrapes to say anything"
    return (count(after, "5") - count(before, "5")) / every


def over(
    demo: Demo, job: str, measure: Callable[[Series, Series], float], seconds: float
) -> Callable[[], float]:
    """``measure`` between a scrape now and one ``seconds`` later."""

    def once() -> float:
        before = demo.scrape(job)
        time.sleep(seconds)
        return measure(before, demo.scrape(job))

    return once


def keep(seen: list[float], figure: float) -> float:
    """Note a figure for a failure's message."""
    seen.append(figure)
    return figure


def api_errors(demo: Demo) -> Callable[[], float]:
    return over(demo, BACKEND, failed_share, 1.5)


def job_failures(demo: Demo) -> Callable[[], float]:
    def measure(before: Series, after: Series) -> float:
        labels = {"job_type": "thumbnail"}
        failed = total(after, "jobs_total", outcome="failure", **labels) - total(
            before, "jobs_total", outcome="failure", **labels
        )
        every = total(after, "jobs_total", **labels) - total(before, "jobs_total", **labels)
        return failed / every if every else 0.0

    return over(demo, WORKER, measure, 1.5)


def queue_depth(demo: Demo) -> Callable[[], float]:
    return lambda: total(demo.scrape(WORKER), "job_queue_depth")


def connections(demo: Demo) -> Callable[[], float]:
    def measure() -> float:
        series = demo.scrape(POSTGRES)
        limit = total(series, "pg_settings_max_connections")
        return total(series, "pg_stat_database_numbackends") / limit

    return measure


def capacity(demo: Demo) -> Callable[[], float]:
    def measure() -> float:
        series = demo.scrape(MINIO)
        free = total(series, "minio_cluster_health_capacity_usable_free_bytes")
        return 1 - free / total(series, "minio_cluster_health_capacity_usable_total_bytes")

    return measure


def slow_share(demo: Demo) -> Callable[[], float]:
    """The share of requests that took longer than 1 s: above 5 % the p95 lies in the bucket up to 2.5 s."""

    def measure(before: Series, after: Series) -> float:
        every = total(after, COUNT) - total(before, COUNT)
        bucket = "http_server_request_duration_seconds_bucket"
        quick = total(after, bucket, le="1") - total(before, bucket, le="1")
        return 1 - quick / every

    return over(demo, BACKEND, measure, 2.2)


def failed_logins(demo: Demo) -> Callable[[], float]:
    def measure(before: Series, after: Series) -> float:
        def count(**labels: str) -> float:
            name = "treazr_auth_attempts_total"
            return total(after, name, **labels) - total(before, name, **labels)

        failed = count(outcome="failure", reason="provider_unavailable")
        every = failed + count(outcome="success")
        return failed / every if every else 0.0

    return over(demo, BACKEND, measure, 1.5)


@pytest.mark.parametrize(
    ("fault", "measure", "threshold", "mended"),
    [
        ("api", api_errors, 0.05, 0.0),
        ("jobs", job_failures, 0.05, 0.0),
        ("jobs", queue_depth, 100, 100),
        ("database", connections, 0.80, 0.5),
        ("storage", capacity, 0.85, 0.70),
        ("latency", slow_share, 0.05, 0.05),
        ("auth", failed_logins, 0.03, 0.0),
    ],
)
def test_a_fault_moves_its_metric_over_the_threshold_and_mend_brings_it_back(
    demo: Demo,
    fault: str,
    measure: Callable[[Demo], Callable[[], float]],
    threshold: float,
    mended: float,
) -> None:
    figure = measure(demo)
    assert figure() <= mended
    try:
        assert demo.ask("POST", "/break", {"name": fault})["changed"]
        seen: list[float] = []
        eventually(lambda: keep(seen, figure()) > threshold, 15, lambda: seen)
        assert [each["name"] for each in demo.ask("GET", "/status")["faults"]] == [fault]
    finally:
        demo.ask("POST", "/mend", {"name": fault})
    seen = []
    eventually(lambda: keep(seen, figure()) <= mended, 20, lambda: seen)
    assert demo.ask("GET", "/status")["faults"] == []


def test_all_faults_at_once_are_mended_together(demo: Demo) -> None:
    names = ["database", "api", "jobs", "latency", "auth"]  # storage only costs time here
    for name in names:
        assert cli("break", name, directory=demo.directory).returncode == 0
    shown = cli("status", directory=demo.directory).stdout
    assert all(f": {name}: " in shown for name in names)
    assert re.search(r"idp +is down", shown)
    mended = cli("mend", directory=demo.directory)
    assert mended.returncode == 0, mended.stderr
    assert mended.stdout.split() == [word for name in names for word in ("mended:", name)]
    eventually(lambda: api_errors(demo)() == 0, 15)


def test_the_command_line_names_what_is_wrong(demo: Demo) -> None:
    unknown = cli("break", "storge", directory=demo.directory)
    assert unknown.returncode == 1
    assert "Did you mean storage?" in unknown.stderr
    idle = cli("mend", "api", directory=demo.directory)
    assert (idle.returncode, idle.stdout.strip()) == (0, "api is not broken.")
    second = cli("start", "--platform-only", directory=demo.directory)
    assert second.returncode == 1
    assert "runs in" in second.stderr


def test_who_does_not_know_the_token_is_refused(demo: Demo) -> None:
    for path in ("/status", "/break"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{demo.settings.control_port}{path}", timeout=5)
        assert refused.value.code == 401
        refused.value.close()


def test_no_secret_is_in_an_argument_list_or_a_log(demo: Demo) -> None:
    settings = demo.settings
    secrets = (
        settings.app_password,
        settings.superuser_password,
        settings.control_token,
        settings.password_seed,
        *(cluster.secret_key for cluster in settings.clusters),
    )
    texts = [path.read_text(errors="replace") for path in (demo.directory / "logs").iterdir()]
    for pid in demo.family_pids():
        texts.append(Path(f"/proc/{pid}/cmdline").read_text(errors="replace"))
    assert len(texts) > 15, dump(texts)
    for secret in secrets:
        assert not any(secret in text for text in texts)


def test_a_process_that_ends_by_itself_is_started_again(demo: Demo) -> None:
    before = demo.state["processes"]["worker"]
    os.kill(before, signal.SIGKILL)
    eventually(lambda: demo.state["processes"].get("worker", before) != before, 10, demo.said)
    assert "worker ended with code -9 and is started again" in demo.said()
