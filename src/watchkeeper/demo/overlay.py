"""The overlay: where this demo's targets are and who is told, beside the default runbook, which stays as is.

Every target carries ``service``, ``env`` and ``region``, as the runbook's monitoring hygiene asks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from watchkeeper.demo.settings import DR_REGION, ENV, REGION, Settings, write_private

INTERVAL = "5s"
"""Of scrapes and evaluations: the demo should be seen to react."""


def overlay(settings: Settings) -> dict[str, Any]:
    """The overlay's content: ``metrics`` and ``notifications``."""
    return {
        "metrics": {
            "scrape_interval": INTERVAL,
            "scrape_timeout": "4s",
            "evaluation_interval": INTERVAL,
            "scrape_configs": targets(settings),
        },
        "notifications": {
            "receivers": [
                {
                    "id": "demo-pager",
                    "title": "The demo's pager",
                    "webhook": {
                        "url": f"http://127.0.0.1:{settings.control_port}/pager",
                        "secret": {"file": str(settings.path / "pager-secret")},
                    },
                }
            ],
            "routes": [],
            "default_receivers": ["demo-pager"],
        },
    }


def targets(settings: Settings) -> list[dict[str, Any]]:
    """One scrape group for each thing that is watched."""
    backend, exporter = "treazrisland-backend", settings.exporter_port
    return [
        _target(backend, backend, settings.backend_port),
        _target("treazrisland-worker", "treazrisland-worker", settings.worker_port),
        _target("treazrisland-idp", "treazrisland-idp", settings.idp_port),
        _target("treazrisland-postgres", "treazrisland-postgres", exporter, "/postgres"),
        _target("treazrisland-postgres-standby", "treazrisland-postgres", exporter, "/standby"),
        _target("treazrisland-postgres-node", "treazrisland-postgres", exporter, "/node"),
        _target("treazrisland-minio", "treazrisland-minio", exporter, "/objects/primary"),
        _target("treazrisland-minio-dr", "treazrisland-minio", exporter, "/objects/dr", DR_REGION),
        _target("treazrisland-tls", backend, exporter, "/probes"),
        _target("demo-exporter", "demo-exporter", exporter),
        _target("demo-load", "demo-load", settings.load_port),
    ]


def write_overlay(settings: Settings, path: Path) -> None:
    """Write the overlay as YAML."""
    write_private(path, yaml.safe_dump(overlay(settings), sort_keys=False))


def _target(
    job: str, service: str, port: int, metrics_path: str = "/metrics", region: str = REGION
) -> dict[str, Any]:
    labels = {"service": service, "env": ENV, "region": region}
    return {
        "job_name": job,
        "metrics_path": metrics_path,
        "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": labels}],
    }
