"""A whole monitoring section on a clock that only moves when told: real exposition text in, pages out.

Everything is the real thing (parser, sample store on disk, engine, rules, SQLite store, outbox); only time
is not. A process that dies and starts again is :meth:`Stage.restart`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from watchkeeper.app.policy import check_expr
from watchkeeper.monitoring.alerts import AlertState
from watchkeeper.monitoring.evaluation import Decision
from watchkeeper.monitoring.ingest import Intake, ingest
from watchkeeper.monitoring.labels import label_set
from watchkeeper.monitoring.promql.engine import Engine
from watchkeeper.monitoring.rules import SERIES_GROUP, AlertSeries
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.monitoring.service import Findings, MonitoringService
from watchkeeper.monitoring.source import EmbeddedSource, Source
from watchkeeper.monitoring.targets import Limits, ScrapeJob, Target
from watchkeeper.runbook.loading import LoadedRunbook, default_text, load_bytes
from watchkeeper.runbook.models.metrics import ScrapeConfig
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock, to_ms
from watchkeeper.store.database import open_store
from watchkeeper.store.models import alerts, outbox

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
INTERVAL = timedelta(seconds=15)
TEXT = "text/plain; version=0.0.4"
JOB = ScrapeJob(ScrapeConfig(job_name="stage"), 15.0, 10.0, Limits())
PLACE = {"service": "shop", "env": "prod", "region": "eu"}


def load_text(text: str) -> LoadedRunbook:
    """A runbook from its YAML."""
    return load_bytes("runbook.yaml", text.encode(), check_expr=check_expr)


def default_runbook() -> LoadedRunbook:
    """The shipped runbook."""
    return load_text(default_text())


def target(labels: Mapping[str, str] | None = None, instance: str = "shop:80") -> Target:
    """Something that is scraped, with the labels of one service unless told otherwise."""
    own = {"job": "stage", "instance": instance, **(PLACE if labels is None else labels)}
    return Target(JOB, label_set(own.items()), f"http://{instance}/metrics", 15.0, 10.0, ())


class Stage:
    """Scrape, evaluate, look."""

    def __init__(
        self,
        directory: Path,
        loaded: LoadedRunbook | None = None,
        *,
        source: Source | None = None,
        findings: tuple[Findings, ...] = (),
        place: Path | str | None = None,
        owner: str | None = None,
    ) -> None:
        self.directory = directory
        self.loaded = loaded or default_runbook()
        self.clock = ManualClock(START)
        self.place = place or directory
        self._source = source
        self._owner = owner
        self._findings = findings
        self.restart()

    def restart(self) -> None:
        """Every object of the process anew; what was on disk is all that is left."""
        if hasattr(self, "samples"):
            self.close()
        self.samples = SampleStore.open(self.directory / "samples", clock=self.clock, threads=False)
        self.store = open_store(self.place, self.clock)
        self.engine = Engine(self.samples, default_step_ms=15_000)
        self._intakes: dict[str, Intake] = {}
        self.service = MonitoringService(
            self.store,
            self.clock,
            self._source or EmbeddedSource(self.engine),
            self.loaded,
            external_url="http://127.0.0.1:8321",
            series=AlertSeries(self.samples.group(SERIES_GROUP)),
            findings=self._findings,
            owner=self._owner,
        )

    def close(self) -> None:
        self.samples.close()
        self.store.close()

    # -- time ----------------------------------------------------------------------------------

    def scrape(self, text: str, where: Target | None = None) -> None:
        """One answer of a target, now."""
        where = where or target()
        intake = self._intakes.get(where.key)
        if intake is None:
            intake = self._intakes[where.key] = Intake(where, self.samples)
        ingest(intake, text.encode(), TEXT, to_ms(self.clock.now()))

    def evaluate(self) -> Decision | None:
        """One evaluation, now."""
        return asyncio.run(self.service.evaluate(self.clock.now()))

    def tick(self, text: str | None = None, where: Target | None = None) -> Decision | None:
        """Fifteen seconds later: a scrape of ``text``, and an evaluation."""
        self.clock.advance(INTERVAL.total_seconds())
        if text is not None:
            self.scrape(text, where)
        return self.evaluate()

    @property
    def second(self) -> float:
        """Seconds since the start."""
        return (self.clock.now() - START).total_seconds()

    # -- looking -------------------------------------------------------------------------------

    def firing(self) -> list[str]:
        """The names of the alerts that fire."""
        return sorted(
            dict(alert.labels)["alertname"]
            for alert in self.service.alerts()
            if alert.state is AlertState.FIRING
        )

    def entries(self, kind: str = "*", limit: int = 1000) -> list[journal.Entry]:
        """The journal's entries of ``kind``, oldest first."""
        with self.store.read() as conn:
            return journal.entries(conn, journal.Filter(kind=kind), limit)

    def told(self) -> list[tuple[str, str, str]]:
        """What was put in the outbox: kind, alert name, receiver's key of the incident."""
        with self.store.read() as conn:
            rows = conn.execute(select(outbox.c.payload, outbox.c.dedup_key).order_by(outbox.c.id)).all()
        return [(row.payload["kind"], row.payload["alertname"], row.dedup_key) for row in rows]

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the alerts table."""
        with self.store.read() as conn:
            return [dict(row) for row in conn.execute(select(alerts)).mappings()]

    def verdict(self, clause: str) -> str | None:
        """The newest verdict of a clause in the journal."""
        with self.store.read() as conn:
            found = journal.entries(conn, journal.Filter(clause=clause), 1)
        return dict(found[-1].evidence)[clause] if found else None
