"""How the role ``watch`` does: whether it is ready, and its own metrics."""

from __future__ import annotations

import json
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from watchkeeper.app.metrics import families_json
from watchkeeper.app.wire import Handler
from watchkeeper.monitoring.alerts import AlertState
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.monitoring.scrape import Scraper
from watchkeeper.monitoring.service import MonitoringService
from watchkeeper.store.clock import Clock

LATE_EVALUATIONS = 3
"""So many intervals without an evaluation mean that the rules are not being watched."""


class WatchHealth:
    """Answers ``ready`` and ``metrics``."""

    def __init__(
        self,
        service: MonitoringService,
        scraper: Scraper,
        samples: SampleStore,
        clock: Clock,
        registry: CollectorRegistry,
    ) -> None:
        self._service = service
        self._scraper = scraper
        self._samples = samples
        self._clock = clock
        self._started = clock.monotonic()
        self._evaluations = 0
        self._progress = self._started
        self._registry = registry
        registry.register(self)

    def handlers(self) -> dict[str, Handler]:
        """By the name of the question."""
        return {"ready": self._ready, "metrics": self._metrics}

    def problems(self) -> list[str]:
        """Why pages cannot be relied on right now, in sentences; empty when all is well."""
        found = [problem.text for problem in self._samples.health().problems]
        now = self._clock.monotonic()
        evaluations = self._service.totals["evaluations"]
        if evaluations != self._evaluations:
            self._evaluations, self._progress = evaluations, now
        late = now - self._progress
        if not evaluations:
            found.append("no rule was evaluated yet")
        elif late > LATE_EVALUATIONS * self._service.interval.total_seconds():
            found.append(f"no evaluation of the rules was recorded for {late:.0f} s; the log says why")
        return found

    async def _ready(self, _: dict[str, Any]) -> bytes:
        return json.dumps({"problems": self.problems()}).encode()

    async def _metrics(self, _: dict[str, Any]) -> bytes:
        return families_json(self._registry)

    def collect(self) -> list[Metric]:
        """The role's own metrics, for the registry."""
        return [*self._scrapes(), *self._store(), *self._rules()]

    def _scrapes(self) -> list[Metric]:
        totals = self._scraper.totals
        counters = (
            ("watchkeeper_scrapes", "Visits to targets.", totals.scrapes),
            ("watchkeeper_scrapes_failed", "Visits that failed.", totals.failed),
            ("watchkeeper_scraped_samples", "Samples that were stored.", totals.samples),
            ("watchkeeper_samples_out_of_order", "Samples refused as too old.", totals.out_of_order),
            ("watchkeeper_samples_duplicate", "Samples refused for another value.", totals.duplicates),
        )
        targets = GaugeMetricFamily("watchkeeper_targets", "Targets by health.", labels=["health"])
        statuses = [status.health for status in self._scraper.statuses()]
        for health in ("up", "down", "unknown"):
            targets.add_metric([health], statuses.count(health))
        return [*(CounterMetricFamily(name, text, value=value) for name, text, value in counters), targets]

    def _store(self) -> list[Metric]:
        stats = self._samples.stats()
        gauges = (
            ("watchkeeper_series", "Series in memory.", stats.series),
            ("watchkeeper_samples_memory_bytes", "Memory of the sample store.", stats.memory_bytes),
            ("watchkeeper_samples_disk_bytes", "Disk space of the sample store.", stats.disk_bytes),
        )
        return [GaugeMetricFamily(name, text, value=value) for name, text, value in gauges]

    def _rules(self) -> list[Metric]:
        service = self._service
        totals = service.totals
        counters = (
            ("watchkeeper_evaluations", "Evaluations of all rules.", totals["evaluations"]),
            ("watchkeeper_evaluations_missed", "Evaluations left out.", totals["missed"]),
            ("watchkeeper_rule_failures", "Rules that could not be evaluated.", totals["failures"]),
            ("watchkeeper_notifications_decided", "Notifications decided.", totals["notifications"]),
        )
        alerts = GaugeMetricFamily("watchkeeper_alerts", "Alerts by state.", labels=["severity", "state"])
        number: dict[tuple[str, str], int] = {}
        for alert in service.alerts():
            if alert.state is not AlertState.RESOLVED:
                key = (dict(alert.labels).get("severity", ""), alert.state.value)
                number[key] = number.get(key, 0) + 1
        for key, count in number.items():
            alerts.add_metric(key, count)
        last = GaugeMetricFamily(
            "watchkeeper_evaluation_seconds", "How long the last evaluation took.", value=service.last_seconds
        )
        return [
            *(CounterMetricFamily(name, text, value=value) for name, text, value in counters),
            alerts,
            last,
        ]
