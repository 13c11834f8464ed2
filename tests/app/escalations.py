"""A store with alerts in it, people on call, and what is told to them: what the tests of escalation share."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert, select, update

from tests.fakes.smtp import FakeSmtp
from watchkeeper.app.escalating import Escalating
from watchkeeper.monitoring.acknowledgements import acknowledge
from watchkeeper.notify.delivery import Deliverer
from watchkeeper.notify.enqueue import enqueue_notification
from watchkeeper.notify.models import Kind, Notification
from watchkeeper.notify.receivers import build_receivers
from watchkeeper.notify.transport import HttpTransport
from watchkeeper.runbook.loading import load_bytes
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store, open_store
from watchkeeper.store.models import alerts, outbox

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)  # Monday, in Ada's week
KEY = "watchkeeper/abc/1"
TEXT = """
runbook: 1
platform: Island
notifications:
  receivers:
    - id: mail
      email: {host: 127.0.0.1, port: PORT, security: none, sender: wk@example.org, to: ops@example.org}
contacts:
  - {id: ada, name: Ada, email: ada@example.org}
  - {id: ben, name: Ben, email: ben@example.org}
  - {id: cleo, name: Cleo, email: cleo@example.org}
oncall:
  acknowledgement_lasts: 1h
  rotas:
    - id: platform
      title: Platform
      layers:
        - {id: weekly, participants: [ada, ben, cleo], start: "2026-01-05T09:00:00+00:00"}
incidents:
  severities: [{id: SEV-1, definition: All is lost}]
  deadlines: {acknowledge: 5m, update: {every: 15m, severities: [SEV-1], channel: "#status"}, document: 24h}
"""


def runbook_of(text: str = TEXT, port: int = 1) -> Runbook:
    """The runbook, with its mail server on ``port``."""
    return load_bytes("runbook.yaml", text.replace("PORT", str(port)).encode()).runbook


def notification(kind: Kind = Kind.TRIGGER, key: str = KEY) -> Notification:
    """What monitoring tells the receivers of the page."""
    return Notification(
        kind=kind,
        dedup_key=key,
        order_key=key,
        subject="alert:one",
        alertname="ApiErrorRatePage",
        severity="page",
        summary="7.3 % of requests fail",
        starts_at=NOW,
    )


class Watch:
    """The role ``work`` without its process, over a real store, and what monitoring does beside it."""

    def __init__(self, directory: Path | str, text: str = TEXT, smtp: FakeSmtp | None = None) -> None:
        self.clock = ManualClock(NOW)
        self.store: Store = open_store(directory, self.clock)
        self.smtp = smtp
        self.use(runbook_of(text, smtp.port if smtp else 1))

    def use(self, runbook: Runbook) -> None:
        """Begin with ``runbook``, as after a restart."""
        self.runbook = runbook
        self.escalating = Escalating(self.store, self.clock, runbook)
        receivers, _ = build_receivers(
            runbook.notifications.receivers, HttpTransport(), {}, platform="Island"
        )
        self.deliverer = Deliverer(
            self.store, receivers.values(), self.clock, owner="test", chance=random.Random(7)
        )

    def fire(
        self, fingerprint: str = "one", key: str | None = KEY, told: bool = True, **given: object
    ) -> None:
        """An alert fires, and its route is told."""
        now = self.clock.now()
        values = {
            "fingerprint": fingerprint,
            "rule": "R",
            "alertname": "ApiErrorRatePage",
            "severity": "page",
            "labels": {"alertname": "ApiErrorRatePage"},
            "annotations": {"summary": "7.3 % of requests fail"},
            "state": "firing",
            "group_key": key,
            "episode": fingerprint,
            "active_at": now,
            "fired_at": now,
            "last_sent_at": now if key else None,
        }
        with self.store.write() as conn:
            conn.execute(insert(alerts).values(**{**values, **given}))
            if key is not None and told:
                enqueue_notification(conn, now, ["mail"], notification(key=key))

    def change(self, fingerprint: str = "one", **values: object) -> None:
        """What monitoring writes of an alert."""
        with self.store.write() as conn:
            conn.execute(update(alerts).where(alerts.c.fingerprint == fingerprint).values(**values))

    def resolve(self, fingerprint: str = "one", *, told: bool = True) -> None:
        """An alert ends, and its route is told."""
        self.change(fingerprint, state="resolved", resolved_at=self.clock.now())
        if told:
            with self.store.write() as conn:
                enqueue_notification(conn, self.clock.now(), ["mail"], notification(Kind.RESOLVE))

    def acknowledge(self, person: str = "ben", fingerprint: str = "one") -> None:
        """Somebody takes the alert, here."""
        with self.store.write() as conn:
            acknowledge(conn, self.clock.now(), [fingerprint], person)

    def look(self, after: timedelta = timedelta(0)) -> int:
        """Let time pass, then look."""
        self.clock.advance(after.total_seconds())
        return self.escalating.look()

    def mails(self) -> list[tuple[str, str]]:
        """Deliver what waits; who got which kind of mail since the last time, in order of the address."""
        assert self.smtp is not None
        self.smtp.mails.clear()
        self.deliverer.run_once()
        return sorted(
            (mail.recipients[0], str(mail.message["Subject"]).split()[0]) for mail in self.smtp.mails
        )

    def entries(self, kind: str) -> list[journal.Entry]:
        """The journal's entries of a kind; the whole journal is intact."""
        with self.store.read() as conn:
            assert journal.verify(conn).intact
            return journal.entries(conn, journal.Filter(kind=kind), 1000)

    def evidence(self) -> list[tuple[str, str]]:
        """What the clause on acknowledging was proved by, oldest first."""
        found = self.entries("*")
        return [pair for entry in found for pair in entry.evidence if pair[0] == "incidents.acknowledge"]

    def told(self) -> list[tuple[str | None, str]]:
        """Everything that was put in the outbox: to whom, and what kind."""
        with self.store.read() as conn:
            rows = conn.execute(select(outbox.c.payload).order_by(outbox.c.id)).scalars()
            return [(row.get("to"), row["kind"]) for row in rows]
