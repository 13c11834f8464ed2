"""The default runbook's expressions on the series of every exporter that it names, judged by promtool.

The same compiled rules run in our own engine elsewhere; here it is Prometheus that says what they mean.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.runbook.documents import read
from watchkeeper.monitoring.compile import Compiled, compile_runbook
from watchkeeper.runbook.loading import default_text

pytestmark = [
    pytest.mark.needs_prometheus,
    pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed"),
]

WHERE = {"service": "s", "env": "e", "region": "r"}
DAY = 86400


def series(name: str, /, **labels: str) -> str:
    """A series of the test's service."""
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in {**WHERE, **labels}.items()) + "}"


def counted(per_scrape: int) -> str:
    """A counter that grows by that much every 15 s."""
    return f"0+{per_scrape}x200"


def steady(value: float) -> str:
    """A gauge that stays."""
    return f"{value}x200"


@dataclass(frozen=True)
class Case:
    """Series, and what a rule or a signal makes of them at a time."""

    name: str
    given: Mapping[str, str]
    at: str = "10m"
    fires: str = ""
    quiet: str = ""
    where: Mapping[str, str] = field(default_factory=dict)
    signal: str = ""
    value: float = 0


def http(name: str, code: str, failed: int, ok: int) -> dict[str, str]:
    return {series(name, **{code: "500"}): counted(failed), series(name, **{code: "200"}): counted(ok)}


def http_cases() -> Sequence[Case]:
    names = {
        "OpenTelemetry": ("http_server_request_duration_seconds_count", "http_response_status_code"),
        "older OpenTelemetry": ("http_server_duration_milliseconds_count", "http_status_code"),
        "classic": ("http_requests_total", "status"),
    }
    cases: list[Case] = []
    for kind, (name, code) in names.items():
        cases += [
            Case(f"{kind}: 6% page", http(name, code, 6, 94), fires="ApiErrorRatePage"),
            Case(f"{kind}: 5% do not page", http(name, code, 5, 95), quiet="ApiErrorRatePage"),
            Case(f"{kind}: 4% warn", http(name, code, 4, 96), fires="ApiErrorRateWarn"),
            Case(f"{kind}: 3% do not warn", http(name, code, 3, 97), quiet="ApiErrorRateWarn"),
            Case(f"{kind}: too few to judge", http(name, code, 1, 1), quiet="ApiErrorRatePage"),
            Case(
                f"{kind}: no failure is a zero",
                {series(name, **{code: "200"}): counted(9)},
                signal="api.error-rate",
            ),
        ]
    return cases


def latency(name: str, unit: int, *, slow: int) -> dict[str, str]:
    return {
        series(f"{name}_bucket", le=str(1 * unit)): counted(20 - slow),
        series(f"{name}_bucket", le=str(4 * unit)): counted(20),
        series(f"{name}_bucket", le="+Inf"): counted(20),
        series(f"{name}_count"): counted(20),
    }


LATENCIES = [("http_server_request_duration_seconds", 1), ("http_server_duration_milliseconds", 1000)]
LATENCIES += [("http_request_duration_seconds", 1)]


def jobs(failed: int, ok: int, name: str = "a") -> dict[str, str]:
    return {
        series("jobs_total", job_type=name, outcome="failure"): counted(failed),
        series("jobs_total", job_type=name, outcome="success"): counted(ok),
    }


def auth(success: int, failure: int, **reason: str) -> dict[str, str]:
    name = "treazr_auth_attempts_total"
    given = {series(name, method="p", outcome="failure", **reason): counted(failure)}
    return given | ({series(name, method="p", outcome="success"): counted(success)} if success else {})


JOB_A = {"job_type": "a"}
QUEUE_Q = {"queue": "q"}
SERVER_A = {"instance": "a"}
POD = {"namespace": "n", "pod": "p"}
DATA = {"instance": "a", "mountpoint": "/var/lib/postgresql/data"}
CASES = [
    *http_cases(),
    *(
        Case(f"slow: {name}", latency(name, unit, slow=10), at="16m", fires="ApiLatencyP95Warn")
        for name, unit in LATENCIES
    ),
    Case("fast", latency("http_request_duration_seconds", 1, slow=0), at="16m", quiet="ApiLatencyP95Warn"),
    Case("one job type fails", jobs(6, 94) | jobs(0, 900, "b"), fires="JobsFailureRatePage", where=JOB_A),
    Case("jobs at the line", jobs(5, 95), quiet="JobsFailureRatePage"),
    Case("few jobs", jobs(1, 0) | {}, at="2m", quiet="JobsFailureRatePage"),
    Case(
        "Celery fails",
        {
            series("celery_task_failed_total", name="a"): counted(6),
            series("celery_task_succeeded_total", name="a"): counted(94),
        },
        fires="JobsFailureRatePage",
        where=JOB_A,
    ),
    Case(
        "Celery only fails",
        {series("celery_task_failed_total", name="a"): counted(6)},
        fires="JobsFailureRatePage",
        where=JOB_A,
    ),
    Case(
        "BullMQ fails",
        {
            series("bull_queue_failed", queue="a"): counted(6),
            series("bull_queue_complete_duration_count", queue="a"): counted(94),
        },
        fires="JobsFailureRatePage",
        where=JOB_A,
    ),
    Case(
        "Sidekiq fails",
        {
            series("sidekiq_failed_jobs_total"): counted(6),
            series("sidekiq_processed_jobs_total"): counted(100),
        },
        fires="JobsFailureRatePage",
    ),
    Case(
        "queue",
        {series("job_queue_depth", queue="q"): steady(101)},
        fires="JobsQueueDepthWarn",
        where=QUEUE_Q,
    ),
    Case(
        "queue, early",
        {series("job_queue_depth", queue="q"): steady(101)},
        at="9m45s",
        quiet="JobsQueueDepthWarn",
    ),
    Case(
        "queue at 100",
        {series("job_queue_depth", queue="q"): steady(100)},
        at="20m",
        quiet="JobsQueueDepthWarn",
    ),
    Case(
        "BullMQ queue",
        {
            series("bullmq_job_count", queue="q", state="waiting"): steady(101),
            series("bullmq_job_count", queue="q", state="completed"): steady(900),
        },
        fires="JobsQueueDepthWarn",
        where=QUEUE_Q,
    ),
    Case(
        "Celery queue",
        {series("celery_queue_length", queue_name="q"): steady(101)},
        fires="JobsQueueDepthWarn",
        where=QUEUE_Q,
    ),
    Case(
        "a full primary beside an idle replica",
        {
            series("pg_stat_database_numbackends", instance="a", datname="x"): steady(50),
            series("pg_stat_database_numbackends", instance="a", datname="y"): steady(31),
            series("pg_settings_max_connections", instance="a"): steady(100),
            series("pg_stat_database_numbackends", instance="b", datname="x"): steady(1),
            series("pg_settings_max_connections", instance="b"): steady(100),
        },
        fires="DatabaseConnectionsWarn",
        where=SERVER_A,
    ),
    Case(
        "a full file system",
        {
            series("node_filesystem_avail_bytes", fstype="ext4", **DATA): steady(9),
            series("node_filesystem_size_bytes", fstype="ext4", **DATA): steady(100),
        },
        fires="DatabaseStoragePage",
        where=DATA,
    ),
    Case(
        "a full quota",
        {
            series("pg_database_size_bytes", instance="a", datname="x"): steady(76),
            series("pg_storage_quota_bytes", instance="a"): steady(100),
        },
        fires="DatabaseStorageWarn",
        where=SERVER_A,
    ),
    Case(
        "a full volume",
        {
            series("kubelet_volume_stats_used_bytes", persistentvolumeclaim="data-postgres-0"): steady(91),
            series("kubelet_volume_stats_capacity_bytes", persistentvolumeclaim="data-postgres-0"): steady(
                100
            ),
        },
        fires="DatabaseStoragePage",
        where={"persistentvolumeclaim": "data-postgres-0"},
    ),
    Case(
        "lag",
        {series("pg_replication_lag_seconds", instance="a"): steady(31)},
        fires="DatabaseReplicationLagPage",
        where=SERVER_A,
    ),
    Case(
        "lag at the line",
        {series("pg_replication_lag_seconds", instance="a"): steady(30)},
        quiet="DatabaseReplicationLagPage",
    ),
    *(
        Case(
            f"MinIO capacity {version}",
            {series(f"{name}_free_bytes", server=n): steady(14) for n in "12"}
            | {series(f"{name}_total_bytes", server=n): steady(100) for n in "12"},
            fires="ObjectsCapacityPage",
        )
        for version, name in (
            ("v3", "minio_cluster_health_capacity_usable"),
            ("v2", "minio_cluster_capacity_usable"),
        )
    ),
    Case(
        "capacity of another S3 service",
        {
            series("object_storage_used_bytes"): steady(71),
            series("object_storage_capacity_bytes"): steady(100),
        },
        fires="ObjectsCapacityWarn",
    ),
    Case(
        "a MinIO node is off, v2",
        {
            series("minio_cluster_nodes_offline_total"): steady(1),
            series("minio_cluster_drive_offline_total"): steady(0),
        },
        fires="ObjectsNodeHealthPage",
    ),
    Case(
        "a MinIO drive is off, v3",
        {
            series("minio_cluster_health_nodes_offline_count"): steady(0),
            series("minio_cluster_health_drives_offline_count"): steady(1),
        },
        fires="ObjectsNodeHealthPage",
    ),
    Case(
        "a node under pressure",
        {
            series("kube_node_status_condition", node="n", condition="DiskPressure", status="true"): steady(
                1
            ),
            series("kube_node_status_condition", node="n", condition="DiskPressure", status="false"): steady(
                0
            ),
        },
        fires="InfrastructureNodePressureWarn",
        where={"node": "n", "condition": "DiskPressure"},
    ),
    Case(
        "a node that is not ready is not under pressure",
        {series("kube_node_status_condition", node="n", condition="Ready", status="true"): steady(1)},
        at="20m",
        quiet="InfrastructureNodePressureWarn",
    ),
    Case(
        "an unschedulable pod, once",
        {
            series("kube_pod_status_unschedulable", **POD): steady(1),
            series("kube_pod_info", **POD): steady(1),
            series("cluster_autoscaler_unschedulable_pods_count"): steady(1),
        },
        at="15m",
        fires="InfrastructureUnschedulablePodsPage",
        where=POD,
    ),
    Case(
        "an unschedulable pod, only the autoscaler tells",
        {series("cluster_autoscaler_unschedulable_pods_count"): steady(1)},
        at="15m",
        fires="InfrastructureUnschedulablePodsPage",
    ),
    Case(
        "no unschedulable pod is a zero",
        {series("kube_pod_info", **POD): steady(1)},
        signal="infrastructure.unschedulable-pods",
    ),
    Case(
        "a certificate of 20 days",
        {series("probe_ssl_earliest_cert_expiry", instance="a"): steady(20 * DAY)},
        fires="InfrastructureCertificateExpiryWarn",
        where=SERVER_A,
    ),
    Case(
        "a certificate of 22 days",
        {series("probe_ssl_earliest_cert_expiry", instance="a"): steady(22 * DAY)},
        quiet="InfrastructureCertificateExpiryWarn",
    ),
    Case(
        "half of a certificate's life",
        {
            series("x509_cert_not_after", subject_CN="a"): steady(50 * DAY + 600),
            series("x509_cert_not_before", subject_CN="a"): steady(600 - 50 * DAY),
        },
        signal="infrastructure.certificate-life-left",
        where={"subject_CN": "a"},
        value=0.5,
    ),
    Case("slow pages", latency("rum_lcp_seconds", 1, slow=18), at="11m", fires="UsersLcpWarn"),
    Case("4% of logins fail", auth(96, 4), fires="UsersAuthSuccessPage"),
    Case("3% of logins fail", auth(97, 3), quiet="UsersAuthSuccessPage"),
    Case("every login fails", auth(0, 9), fires="UsersAuthSuccessPage"),
    Case("wrong passwords", auth(96, 40, reason="wrong_password"), quiet="UsersAuthSuccessPage"),
]


def recorded(identity: str) -> str:
    return "signal:" + identity.replace(".", ":").replace("-", "_")


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return compile_runbook(read(default_text()).runbook)


def rule_of(case: Case, compiled: Compiled) -> dict[str, Any]:
    """The one rule that a case is about, as a rule file has it."""
    if case.signal:
        signal = next(one for one in compiled.signals if one.identity == case.signal)
        return {"record": recorded(signal.identity), "expr": signal.expr}
    rule = compiled.rule(case.fires or case.quiet)
    assert rule is not None
    hold = f"{int(rule.hold.total_seconds())}s"
    return {"alert": rule.name, "expr": rule.expr, "labels": dict(rule.labels), "for": hold}


def as_promtool(case: Case, rule: Mapping[str, Any]) -> dict[str, Any]:
    test: dict[str, Any] = {
        "name": case.name,
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in case.given.items()],
    }
    if case.signal:
        samples = [{"labels": series(rule["record"], **case.where), "value": case.value}]
        test["promql_expr_test"] = [{"expr": rule["record"], "eval_time": case.at, "exp_samples": samples}]
        return test
    expected = [{"exp_labels": {**rule["labels"], **WHERE, **case.where}}] if case.fires else []
    alert = {"eval_time": case.at, "alertname": rule["alert"], "exp_alerts": expected}
    return {**test, "alert_rule_test": [alert]}


def test_every_alternative_means_what_the_runbook_says(compiled: Compiled, tmp_path: Path) -> None:
    assert len({case.name for case in CASES}) == len(CASES) > 50
    assert {case.fires for case in CASES} - {""} == {rule.name for rule in compiled.rules}
    about: dict[str, list[Case]] = {}
    for case in CASES:
        about.setdefault(case.signal or case.fires or case.quiet, []).append(case)
    files = []
    for name, cases in about.items():
        rule = rule_of(cases[0], compiled)
        groups = [{"name": name, "interval": "15s", "rules": [rule]}]
        (tmp_path / f"{name}.rules.json").write_text(json.dumps({"groups": groups}))
        document = {
            "rule_files": [f"{name}.rules.json"],
            "evaluation_interval": "15s",
            "tests": [as_promtool(case, rule) for case in cases],
        }
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps(document))
    command = ["promtool", "test", "rules", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") == len(files)
