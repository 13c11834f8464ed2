"""Measures what does not publish metrics by itself, anew at every scrape, under its usual exporter's names.

``/postgres`` and ``/standby`` speak as postgres_exporter, ``/node`` as node_exporter, ``/objects/NAME`` as
MinIO's metrics v3, ``/probes`` as blackbox_exporter. What cannot be measured is left out, never zero.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import psycopg
from aiohttp import web
from aiohttp.typedefs import Handler

from watchkeeper.demo import seaweed
from watchkeeper.demo.database import Pool
from watchkeeper.demo.exposition import CONTENT_TYPE, Family, Gauge, Measured, render
from watchkeeper.demo.service import (
    PAGE_BYTES,
    TICKS_PER_SECOND,
    ProcessMetrics,
    metrics_handler,
    run,
    serve,
    usage_of,
)
from watchkeeper.demo.settings import BUCKET, Cluster, Settings
from watchkeeper.demo.tls import common_name, shown_certificate
from watchkeeper.store.clock import to_us

_S3_REQUESTS = re.compile(r"^SeaweedFS_s3_request_total\{([^}]*)\} ([0-9.e+]+)$", re.MULTILINE)
_CPU_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_LABEL = re.compile(r'(\w+)="([^"]*)"')

DATABASES = """
SELECT d.datname, s.numbackends, pg_database_size(d.oid), s.xact_commit, s.xact_rollback
FROM pg_database AS d JOIN pg_stat_database AS s ON s.datid = d.oid WHERE NOT d.datistemplate
"""
STATES = """
SELECT state, count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY state
"""
LAG = """
SELECT CASE WHEN NOT pg_is_in_recovery() THEN 0
            WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
            ELSE greatest(0, extract(epoch FROM now() - pg_last_xact_replay_timestamp())) END
"""


class PostgresExporter:
    """The primary and its standby, asked through connections that PostgreSQL holds back for the superuser."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._primary = Pool(settings.dsn(superuser=True), size=1)
        self._standby = Pool(settings.dsn(superuser=True, standby=True), size=1)

    async def primary(self) -> list[Family]:
        """What the primary says now; ``pg_up 0`` alone when it says nothing."""
        up = Gauge("pg_up", "Whether the server could be asked.")
        try:
            async with self._primary.connection() as connection:
                databases = await (await connection.execute(DATABASES)).fetchall()
                settings = await (await connection.execute("SHOW max_connections")).fetchone()
                states = await (await connection.execute(STATES)).fetchall()
        except psycopg.Error:
            up.set(0)
            return [up]
        assert settings is not None
        up.set(1)
        return [
            up,
            *_database_families(databases, int(settings[0])),
            _quota(self._settings.database_quota_bytes),
            _activity(states),
            *self._process("primary"),
        ]

    async def standby(self) -> list[Family]:
        """What the standby says now: above all how far it is behind."""
        up = Gauge("pg_up", "Whether the server could be asked.")
        try:
            async with self._standby.connection() as connection:
                lag = await (await connection.execute(LAG)).fetchone()
        except psycopg.Error:
            up.set(0)
            return [up]
        assert lag is not None
        up.set(1)
        behind = Gauge("pg_replication_lag_seconds", "Replication lag behind the primary in seconds.")
        behind.set(float(lag[0]))
        return [up, behind, *self._process("standby")]

    def _process(self, name: str) -> list[Family]:
        """CPU and memory of the server's processes together."""
        cpu = Measured("process_cpu_seconds_total", "CPU time of the server and its sessions.")
        memory = Gauge("process_resident_memory_bytes", "Resident memory of the server, shared pages once.")
        try:
            pid = int((self._settings.path / "pg" / name / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return []
        usage = tree_usage(pid)
        cpu.set(usage[0])
        memory.set(usage[1])
        return [cpu, memory]

    async def close(self) -> None:
        """Give the connections back."""
        await self._primary.close()
        await self._standby.close()


def _database_families(rows: list[tuple[object, ...]], max_connections: int) -> list[Family]:
    backends = Gauge("pg_stat_database_numbackends", "Sessions connected to this database.", ("datname",))
    size = Gauge("pg_database_size_bytes", "Disk space used by the database.", ("datname",))
    commits = Measured("pg_stat_database_xact_commit", "Committed transactions.", ("datname",))
    rollbacks = Measured("pg_stat_database_xact_rollback", "Transactions rolled back.", ("datname",))
    limit = Gauge("pg_settings_max_connections", "The most concurrent connections.")
    for name, *figures in rows:
        for family, figure in zip((backends, size, commits, rollbacks), figures, strict=True):
            family.set(float(str(figure)), datname=str(name))
    limit.set(max_connections)
    return [backends, limit, size, commits, rollbacks]


def _quota(quota_bytes: int) -> Family:
    family = Gauge("pg_storage_quota_bytes", "What the databases together may hold.")
    family.set(quota_bytes)
    return family


def _activity(rows: list[tuple[object, ...]]) -> Family:
    family = Gauge("pg_stat_activity_count", "Sessions by state.", ("state",))
    for usual in ("active", "idle", "idle in transaction"):
        family.touch(state=usual)
    for state, count in rows:
        family.set(float(str(count)), state=str(state or ""))
    return family


async def objects(session: aiohttp.ClientSession, cluster: Cluster) -> list[Family]:
    """What a cluster's own APIs say, under MinIO's names. One node and one drive are expected."""
    nodes_offline = Gauge("minio_cluster_health_nodes_offline_count", "Nodes that do not answer.")
    drives_offline = Gauge("minio_cluster_health_drives_offline_count", "Drives that are not usable.")
    try:
        usage = await seaweed.usage(session, cluster)
        async with session.get(
            f"http://127.0.0.1:{cluster.metrics}/metrics", timeout=aiohttp.ClientTimeout(total=3)
        ) as response:
            own = await response.text()
    except (aiohttp.ClientError, TimeoutError):
        nodes_offline.set(1)
        drives_offline.set(1)
        return [nodes_offline, drives_offline]
    nodes_offline.set(max(0, 1 - usage.nodes))
    drives_offline.set(max(0, 1 - usage.drives))
    total = Gauge("minio_cluster_health_capacity_usable_total_bytes", "Usable capacity.")
    free = Gauge("minio_cluster_health_capacity_usable_free_bytes", "Usable capacity that is free.")
    total.set(cluster.capacity_bytes)
    free.set(max(0, cluster.capacity_bytes - usage.used_bytes))
    size = Gauge("minio_bucket_usage_total_bytes", "Bytes in the bucket.", ("bucket",))
    count = Gauge("minio_bucket_usage_object_total", "Objects in the bucket.", ("bucket",))
    size.touch(bucket=BUCKET)
    count.touch(bucket=BUCKET)
    for bucket, figure in usage.bucket_bytes.items():
        if bucket:
            size.set(figure, bucket=bucket)
            count.set(usage.bucket_objects[bucket], bucket=bucket)
    return [nodes_offline, drives_offline, total, free, size, count, *request_families(own)]


def request_families(own: str) -> list[Family]:
    """MinIO's request counters out of SeaweedFS' own exposition."""
    requests = Measured("minio_bucket_requests_total", "Requests.", ("bucket", "name"))
    errors = {
        "4": Measured("minio_bucket_requests_4xx_errors_total", "Requests refused.", ("bucket", "name")),
        "5": Measured("minio_bucket_requests_5xx_errors_total", "Requests failed.", ("bucket", "name")),
    }
    sums: dict[tuple[Measured, str, str], float] = {}
    for family in errors.values():
        family.touch(bucket=BUCKET, name="PUT")
    for match in _S3_REQUESTS.finditer(own):
        labels = dict(_LABEL.findall(match[1]))
        bucket, name = labels.get("bucket", ""), labels.get("type", "")
        if not bucket:
            continue
        for counted in (requests, errors.get(labels.get("code", "")[:1])):
            if counted is not None:
                sums[counted, bucket, name] = sums.get((counted, bucket, name), 0.0) + float(match[2])
    for (family, bucket, name), figure in sums.items():
        family.set(figure, bucket=bucket, name=name)
    return [requests, *errors.values()]


async def probes(settings: Settings) -> list[Family]:
    """The TLS handshake with the backend."""
    success = Gauge("probe_success", "Whether the handshake succeeded.")
    try:
        shown = await shown_certificate(settings.tls_port)
    except (OSError, TimeoutError):
        success.set(0)
        return [success]
    success.set(1)
    earliest = Gauge("probe_ssl_earliest_cert_expiry", "When the first certificate ends, in Unix seconds.")
    earliest.set(to_us(shown.not_valid_after_utc) / 1e6)
    names = ("subject_CN", "serial_number")
    after = Gauge("x509_cert_not_after", "When the certificate ends, in Unix seconds.", names)
    before = Gauge("x509_cert_not_before", "When the certificate begins, in Unix seconds.", names)
    labels = {"subject_CN": common_name(shown), "serial_number": str(shown.serial_number)}
    after.set(to_us(shown.not_valid_after_utc) / 1e6, **labels)
    before.set(to_us(shown.not_valid_before_utc) / 1e6, **labels)
    return [success, earliest, after, before]


def node() -> list[Family]:
    """The machine that the database runs on: CPU time by mode, and memory."""
    cpu = Measured("node_cpu_seconds_total", "Seconds the CPUs spent in each mode.", ("cpu", "mode"))
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name != "cpu":
            for mode, figure in zip(_CPU_MODES, ticks, strict=False):
                cpu.set(int(figure) / TICKS_PER_SECOND, cpu=name[3:], mode=mode)
    memory = dict(line.split()[:2] for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    families: list[Family] = [cpu]
    for key in ("MemTotal", "MemAvailable"):
        if f"{key}:" in memory:
            family = Gauge(f"node_memory_{key}_bytes", f"{key} of /proc/meminfo.")
            family.set(int(memory[f"{key}:"]) * 1024)
            families.append(family)
    return families


def tree_usage(pid: int) -> tuple[float, int]:
    """CPU seconds and resident bytes of a process and its children, the ended children's CPU included."""
    ticks, private, shared = 0.0, 0, 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            if int(entry.name) != pid and int(stat[1]) != pid:
                continue
            pages = (entry / "statm").read_text(encoding="ascii").split()
        except OSError:  # it ended between listing and reading
            continue
        ticks += usage_of(int(entry.name))[0]
        if int(entry.name) == pid:
            ticks += (int(stat[13]) + int(stat[14])) / TICKS_PER_SECOND
        private += (int(pages[1]) - int(pages[2])) * PAGE_BYTES
        shared = max(shared, int(pages[2]) * PAGE_BYTES)
    return ticks, private + shared


def measured_handler(measure: Callable[[], Awaitable[list[Family]]]) -> Handler:
    """A handler that measures, then writes what it found."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=render(await measure()).encode(), headers={"Content-Type": CONTENT_TYPE})

    return answer


async def _node() -> list[Family]:
    return node()


async def main() -> None:
    settings = Settings.of_process()
    async with aiohttp.ClientSession() as session:
        postgres = PostgresExporter(settings)
        measurements: dict[str, Callable[[], Awaitable[list[Family]]]] = {
            "/postgres": postgres.primary,
            "/standby": postgres.standby,
            "/node": _node,
            "/probes": lambda: probes(settings),
            "/objects/primary": lambda: objects(session, settings.primary),
            "/objects/dr": lambda: objects(session, settings.dr),
        }
        app = web.Application()
        for path, measure in measurements.items():
            app.router.add_get(path, measured_handler(measure))
        app.router.add_get("/metrics", metrics_handler(ProcessMetrics().families))
        await serve(app, settings.exporter_port)
        await postgres.close()


if __name__ == "__main__":
    run(main)
