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
                    "id": "pagerduty",  # the default runbook's people are paged through it
                    "title": "The demo's pager, in place of PagerDuty",
                    "webhook": {
                        "url": f"http://127.0.0.1:{settings.control_port}/pager",
                        "secret": {"file": str(settings.path / "pager-secret")},
                    },
                }
            ],
            "routes": [],
            "default_receivers": ["pagerduty"],
        },
    }


def targets(settings: Settings) -> list[dict[str, Any]]:
    """One scrape group for each thing that is watched."""
    backend, postgres, minio = "treazrisland-backend", "treazrisland-postgres", "treazrisland-minio"
    exporter = settings.exporter_port
    return [
        _target(backend, backend, settings.backend_port),
        _target("treazrisland-worker", "treazrisland-worker", settings.worker_port),
        _target("treazrisland-idp", "treazrisland-idp", settings.idp_port),
        _target(postgres, postgres, exporter, "/postgres", "postgres-primary"),
        _target(f"{postgres}-standby", postgres, exporter, "/standby", "postgres-standby"),
        _target(f"{postgres}-node", postgres, exporter, "/node", "postgres-host"),
        _target(minio, minio, exporter, "/objects/primary", "s3-primary"),
        _target(f"{minio}-dr", minio, exporter, "/objects/dr", "s3-dr", DR_REGION),
        _target("treazrisland-tls", backend, exporter, "/probes", f"127.0.0.1:{settings.tls_port}"),
        _target("demo-exporter", "demo-exporter", exporter),
        _target("demo-load", "demo-load", settings.load_port),
    ]


def write_overlay(settings: Settings, path: Path) -> None:
    """Write the overlay as YAML."""
    write_private(path, yaml.safe_dump(overlay(settings), sort_keys=False))


def _target(
    job: str, service: str, port: int, path: str = "/metrics", instance: str = "", region: str = REGION
) -> dict[str, Any]:
    """A scrape group of one target. ``instance`` names what is measured where that is not who answers."""
    labels = {"service": service, "env": ENV, "region": region}
    if instance:
        labels["instance"] = instance
    return {
        "job_name": job,
        "metrics_path": path,
        "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": labels}],
    }
