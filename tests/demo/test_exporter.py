"""The exporter measures or is silent: what does not answer is down, and its figures are absent, not zero."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from tests.demo.running import needs_packages
from watchkeeper.demo.exposition import Family, render
from watchkeeper.demo.platform import new_settings

pytestmark = needs_packages()


def samples(families: list[Family]) -> dict[str, float]:
    lines = [line for line in render(families).splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_a_silent_cluster_is_an_offline_node_without_a_capacity(tmp_path: Path) -> None:
    from watchkeeper.demo.exporter import objects

    async def measure() -> list[Family]:
        async with aiohttp.ClientSession() as session:
            return await objects(session, new_settings(tmp_path).primary)

    assert samples(asyncio.run(measure())) == {
        "minio_cluster_health_nodes_offline_count": 1,
        "minio_cluster_health_drives_offline_count": 1,
    }


def test_a_silent_database_is_down_and_nothing_else(tmp_path: Path) -> None:
    from watchkeeper.demo.exporter import PostgresExporter

    async def measure() -> list[dict[str, float]]:
        exporter = PostgresExporter(new_settings(tmp_path))
        return [samples(await exporter.primary()), samples(await exporter.standby())]

    assert asyncio.run(measure()) == [{"pg_up": 0}, {"pg_up": 0}]


def test_a_handshake_that_fails_has_no_expiry(tmp_path: Path) -> None:
    from watchkeeper.demo.exporter import probes

    assert samples(asyncio.run(probes(new_settings(tmp_path)))) == {"probe_success": 0}


def test_requests_are_counted_by_bucket_and_status_class() -> None:
    from watchkeeper.demo.exporter import request_families

    own = "\n".join(
        (
            'SeaweedFS_s3_request_total{bucket="treazr-assets",code="200",type="GET"} 7',
            'SeaweedFS_s3_request_total{bucket="treazr-assets",code="404",type="GET"} 2',
            'SeaweedFS_s3_request_total{bucket="treazr-assets",code="403",type="GET"} 1',
            'SeaweedFS_s3_request_total{bucket="treazr-assets",code="503",type="PUT"} 1.5e+01',
            'SeaweedFS_s3_request_total{bucket="",code="500",type="LIST"} 9',
        )
    )
    found = samples(request_families(own))
    assert found == {
        'minio_bucket_requests_total{bucket="treazr-assets",name="GET"}': 10,
        'minio_bucket_requests_total{bucket="treazr-assets",name="PUT"}': 15,
        'minio_bucket_requests_4xx_errors_total{bucket="treazr-assets",name="PUT"}': 0,
        'minio_bucket_requests_4xx_errors_total{bucket="treazr-assets",name="GET"}': 3,
        'minio_bucket_requests_5xx_errors_total{bucket="treazr-assets",name="PUT"}': 15,
    }


def test_the_machine_is_read_from_proc() -> None:
    from watchkeeper.demo.exporter import node

    found = samples(node())
    assert found['node_cpu_seconds_total{cpu="0",mode="idle"}'] > 0
    assert 0 < found["node_memory_MemAvailable_bytes"] < found["node_memory_MemTotal_bytes"]
