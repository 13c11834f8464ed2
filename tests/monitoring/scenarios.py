"""One scenario for each threshold of the reference runbook: what a target shows, and when the alert is due.

A scenario is a table of values, one every 15 seconds; it is scraped by us and loaded by promtool. Prometheus
2.42 reads closed windows [t-r, t], we (as Prometheus 3) half-open ones (t-r, t], so a window of five minutes
holds 20 increments there and 19 here. Shares of bad events are chosen so that both cross the line at the
same evaluation: on the way up floor(19 r) = floor(20 r), on the way down floor(20 r) = floor(19 r) + 1,
where r is the line divided by the share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

STEP = 15
BAD, WORSE, GOOD = 40, 80, 120
"""Steps at which events turn bad, change their share, and turn good again."""
STEPS = 150
DAY = 86_400

Value = float | None
Series = Callable[[int, int], Value]
"""The value at a step (None: the series is not there), given the Unix time of step 0."""


@dataclass(frozen=True)
class Scenario:
    """``alert`` fires at second ``fires`` and resolves at second ``resolves``; ``labels`` are its own."""

    alert: str
    says: str
    series: Mapping[str, Series]
    fires: int
    resolves: int
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def service(self) -> str:
        return self.alert.lower()

    def text(self, step: int, base: int) -> str:
        """What the target answers at ``step``."""
        values = ((name, series(step, base)) for name, series in self.series.items())
        return "".join(f"{name} {value!r}\n" for name, value in values if value is not None)


def level(normal: float, bad: float, begin: int, end: int) -> Series:
    """A gauge that is ``bad`` from step ``begin`` to before step ``end``."""
    return lambda step, base: float(bad if begin <= step < end else normal)


def constant(value: float) -> Series:
    return lambda step, base: float(value)


def counter(*per_step: int) -> Series:
    """A counter that grows by so many in each step of the four phases that BAD, WORSE and GOOD divide."""
    counts = [0]
    for step in range(STEPS):
        phase = (step >= BAD) + (step >= WORSE) + (step >= GOOD)
        counts.append(counts[-1] + per_step[phase])
    return lambda step, base: float(counts[step])


def shares(total: int, first: int, second: int) -> tuple[Series, Series]:
    """Counters of the good and the bad among ``total`` events per step; ``first`` and ``second`` are bad."""
    return (
        counter(total, total - first, total - second, total),
        counter(0, first, second, 0),
    )


def histogram(
    name: str, bounds: Sequence[str], total: int, first: int, second: int, slow: str
) -> dict[str, Series]:
    """A histogram whose events are in the lowest bucket, but for the slow ones, which are in ``slow``."""
    fast_only = counter(total, total - first, total - second, total)
    everything = counter(total, total, total, total)
    reached = False
    series: dict[str, Series] = {}
    for bound in (*bounds, "+Inf"):
        reached = reached or bound == slow
        series[f'{name}_bucket{{le="{bound}"}}'] = everything if reached else fast_only
    series[f"{name}_count"] = everything
    series[f"{name}_sum"] = everything
    return series


def _requests(first: int, second: int) -> dict[str, Series]:
    good, bad = shares(1000, first, second)
    return {'http_requests_total{status="200"}': good, 'http_requests_total{status="500"}': bad}


def _jobs() -> dict[str, Series]:
    good, bad = shares(500, 65, 49)
    return {
        'jobs_total{job_type="scan",outcome="success"}': good,
        'jobs_total{job_type="scan",outcome="failure"}': bad,
        'jobs_total{job_type="mail",outcome="success"}': counter(500, 500, 500, 500),
    }


def _logins() -> dict[str, Series]:
    good, bad = shares(1000, 80, 58)
    name = "treazr_auth_attempts_total"
    return {
        f'{name}{{method="password",outcome="success"}}': good,
        f'{name}{{method="password",outcome="failure"}}': bad,
    }


def _at(step: int, hold: int = 0) -> int:
    return step * STEP + hold


_CONDITION = 'kube_node_status_condition{condition="MemoryPressure",node="n1",status="true"}'
_POD = 'kube_pod_status_unschedulable{namespace="prod",pod="web-1"}'

SCENARIOS = (
    Scenario("ApiErrorRateWarn", "3% 5xx over 5 minutes", _requests(80, 58), _at(BAD + 8), _at(GOOD + 10)),
    Scenario("ApiErrorRatePage", "5% 5xx over 2 minutes", _requests(110, 95), _at(BAD + 4), _at(GOOD + 4)),
    Scenario(
        "ApiLatencyP95Warn",
        "p95 > 1.5s for 10 minutes",
        histogram("http_request_duration_seconds", ("0.5", "1", "1.5", "2.5"), 500, 400, 480, "2.5"),
        _at(BAD + 2, 600),
        _at(GOOD + 19),
    ),
    Scenario(
        "JobsQueueDepthWarn",
        "queue depth > 100 for 10 minutes",
        {'job_queue_depth{queue="scans"}': level(100, 101, 10, 70)},
        _at(10, 600),
        _at(70),
        {"queue": "scans"},
    ),
    Scenario(
        "JobsFailureRatePage",
        "any job type fails > 5% in 5 minutes",
        _jobs(),
        _at(BAD + 8),
        _at(GOOD + 10),
        {"job_type": "scan"},
    ),
    Scenario(
        "DatabaseStorageWarn",
        "storage > 75%",
        {
            'pg_database_size_bytes{datname="shop"}': level(75, 76, 10, 20),
            "pg_storage_quota_bytes": constant(100),
        },
        _at(10),
        _at(20),
        {"instance": "*"},
    ),
    Scenario(
        "DatabaseStoragePage",
        "storage > 90%",
        {
            'pg_database_size_bytes{datname="shop"}': level(90, 91, 10, 20),
            "pg_storage_quota_bytes": constant(100),
        },
        _at(10),
        _at(20),
        {"instance": "*"},
    ),
    Scenario(
        "DatabaseConnectionsWarn",
        "connections > 80%",
        {
            'pg_stat_database_numbackends{datname="shop"}': level(60, 61, 12, 30),
            'pg_stat_database_numbackends{datname="jobs"}': constant(20),
            "pg_settings_max_connections": constant(100),
        },
        _at(12),
        _at(30),
        {"instance": "*"},
    ),
    Scenario(
        "DatabaseReplicationLagPage",
        "replication lag > 30s",
        {"pg_replication_lag_seconds": level(30, 30.5, 8, 9)},
        _at(8),
        _at(9),
        {"instance": "*"},
    ),
    Scenario(
        "ObjectsCapacityWarn",
        "capacity > 70%",
        {
            "minio_cluster_health_capacity_usable_free_bytes": level(31, 29, 10, 25),
            "minio_cluster_health_capacity_usable_total_bytes": constant(100),
        },
        _at(10),
        _at(25),
    ),
    Scenario(
        "ObjectsCapacityPage",
        "capacity > 85%",
        {
            "minio_cluster_capacity_usable_free_bytes": level(16, 14, 10, 25),
            "minio_cluster_capacity_usable_total_bytes": constant(100),
        },
        _at(10),
        _at(25),
    ),
    Scenario(
        "ObjectsNodeHealthPage",
        "node health degraded",
        {
            "minio_cluster_health_nodes_offline_count": constant(0),
            "minio_cluster_health_drives_offline_count": level(0, 1, 6, 7),
        },
        _at(6),
        _at(7),
    ),
    Scenario(
        "InfrastructureNodePressureWarn",
        "nodes under pressure > 10 minutes",
        {_CONDITION: level(0, 1, 10, 60)},
        _at(10, 600),
        _at(60),
        {"node": "n1", "condition": "MemoryPressure"},
    ),
    Scenario(
        "InfrastructureUnschedulablePodsPage",
        "unschedulable pods > 15 minutes",
        {
            'kube_pod_info{pod="web-1"}': constant(1),
            _POD: lambda step, base: 1.0 if 10 <= step < 90 else None,
        },
        _at(10, 900),
        _at(90),
        {"namespace": "prod", "pod": "web-1"},
    ),
    Scenario(
        "InfrastructureCertificateExpiryWarn",
        "< 21 days cert validity",
        {
            "probe_ssl_earliest_cert_expiry": lambda step, base: float(
                base + (21 * DAY + 300 if step < 60 else 90 * DAY)
            )
        },
        315,
        _at(60),
        {"instance": "*"},
    ),
    Scenario(
        "UsersLcpWarn",
        "LCP > 3s for 5 minutes",
        histogram("rum_lcp_seconds", ("1", "2", "3", "5"), 500, 450, 400, "5"),
        _at(BAD + 6, 300),
        _at(GOOD + 14),
    ),
    Scenario("UsersAuthSuccessPage", "auth success rate < 97%", _logins(), _at(BAD + 8), _at(GOOD + 10)),
)
