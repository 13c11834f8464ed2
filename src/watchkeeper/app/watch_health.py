"""How the role ``watch`` does: whether it is ready, and its own metrics.

Ready means that pages can be relied on right now; when they cannot, each reason is a sentence
(tests/app/test_watch_health.py).
"""

from __future__ import annotations

import json
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from watchkeeper.app.evaluating import Evaluating
from watchkeeper.app.metrics import families_json
from watchkeeper.app.wire import Handler
from watchkeeper.monitoring.alerts import AlertState
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.monitoring.scrape import Scraper
from watchkeeper.store.clock import Clock

LATE_EVALUATIONS = 3
"""So many intervals without an evaluation mean that the rules are not being watched."""
GRACE_SECONDS = 5.0
"""And so much more: with intervals of a second, a busy machine alone takes that long."""


class WatchHealth:
    """Answers ``ready`` and ``metrics``."""

    def __init__(
        self,
        evaluating: Evaluating,
        scraper: Scraper,
        samples: SampleStore,
        clock: Clock,
        registry: CollectorRegistry,
    ) -> None:
        self._evaluating = evaluating
        self._service = evaluating.service
        self._scraper = scraper
        self._samples = samples
        self._clock = clock
        self._started = clock.monotonic()
        self._registry = registry
        registry.register(self)

    def handlers(self) -> dict[str, Handler]:
        """By the name of the question."""
        return {"ready": self._ready, "metrics": self._metrics}

    def problems(self) -> list[str]:
        """Why pages cannot be relied on right now, in sentences; empty when all is well."""
        found = []
        halted = self.halted()
        seen = self._service.seen
        if halted:
            found.append(halted)
        elif self._evaluating.recorded_at is None:
            found.append("no rule was evaluated yet")
        elif seen is not None and seen.unreachable:
            found.append(f"no rule can be evaluated: {seen.unreachable}")
        return found

    def notes(self) -> list[str]:
        """What somebody should look at, though pages can be relied on."""
        found = [problem.text for problem in self._samples.health().problems]
        found += self._scraper.problems()
        if self._service.stands_by:
            found.append(f"the rules are evaluated by {self._service.stands_by}; this one stands by")
        if self._evaluating.problem:
            first = self._evaluating.problem.splitlines()[0]
            found.append(f"the runbook on disk cannot be used, the one before it is in force: {first}")
        return found

    def halted(self) -> str | None:
        """Why the rules are not being evaluated, None where they are or have only just begun to be."""
        recorded = self._evaluating.recorded_at
        late = self._clock.monotonic() - (self._started if recorded is None else recorded)
        if late <= LATE_EVALUATIONS * self._service.interval.total_seconds() + GRACE_SECONDS:
            return None
        return f"no evaluation of the rules was recorded for {late:.0f} s; the log says why"

    async def _ready(self, _: dict[str, Any]) -> bytes:
        return json.dumps({"problems": self.problems(), "notes": self.notes()}).encode()

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
            (
                "watchkeeper_samples_problems",
                "Things that are wrong with the sample store now. /readyz says which.",
                len(self._samples.health().problems),
            ),
        )
        return [GaugeMetricFamily(name, text, value=value) for name, text, value in gauges]

    def _rules(self) -> list[Metric]:
        service = self._service
        totals = service.totals
        counters = (
            ("watchkeeper_evaluations", "Evaluations of all rules.", totals["evaluations"]),
            ("watchkeeper_evaluations_missed", "Evaluations left out.", totals["missed"]),
            ("watchkeeper_rule_failures", "Rules that could not be evaluated.", totals["failures"]),
            ("watchkeeper_evaluations_not_recorded", "Evaluations lost to the store.", totals["not_written"]),
            (
                "watchkeeper_evaluation_cpu_seconds",
                "CPU time of the thread that evaluates and records.",
                self._evaluating.cpu_seconds,
            ),
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
        refused = GaugeMetricFamily(
            "watchkeeper_runbook_refused",
            "1 where the runbook on disk cannot be used and the one before it is in force.",
            value=1 if self._evaluating.problem else 0,
        )
        return [
            *(CounterMetricFamily(name, text, value=value) for name, text, value in counters),
            alerts,
            last,
            refused,
        ]
