"""What Prometheus' HTTP API says of targets: the ``data`` of ``targets``.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/#targets
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from watchkeeper.monitoring.targets import TargetStatus
from watchkeeper.store.canonical import rfc3339

_NEVER = "0001-01-01T00:00:00Z"


def target_list(statuses: Iterable[TargetStatus], state: str | None) -> dict[str, Any]:
    """What is scraped, and how it does. ``state`` may be ``active``, ``dropped`` or ``any``."""
    active = [] if state == "dropped" else [_target(status) for status in statuses]
    return {"activeTargets": active, "droppedTargets": []}


def _target(status: TargetStatus) -> dict[str, Any]:
    return {
        "discoveredLabels": dict(status.discovered),
        "labels": dict(status.labels),
        "scrapePool": status.job,
        "scrapeUrl": status.url,
        "globalUrl": status.url,
        "lastError": status.error,
        "lastScrape": rfc3339(status.last_scrape) if status.last_scrape else _NEVER,
        "lastScrapeDuration": status.duration_seconds,
        "lastSamples": status.samples,  # of our own: how many the last scrape brought
        "health": status.health,
        "scrapeInterval": f"{status.interval_seconds:g}s",
        "scrapeTimeout": f"{status.timeout_seconds:g}s",
    }
