"""Incidents in a store with the default runbook in force, as alerts and people would leave them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, insert, update

from tests.console.asgi import Answer, Answering, Grounds, call
from tests.console.ground import EPISODE, LABELS, NOW, PAGE, grounds_with_runbook, put
from watchkeeper.access.models import Role
from watchkeeper.app import inforce
from watchkeeper.console.console import Console
from watchkeeper.console.server import create_app
from watchkeeper.incidents import gathering, service
from watchkeeper.incidents.models import SYSTEM, Author, Incident
from watchkeeper.playbooks import rows
from watchkeeper.playbooks.models import Record, Run, RunState, StepState, Target
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.models import alerts, escalations, incident_alerts

ADA = Author("responder", "person:responder")
BEN = Author("ben", "person:ben")
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}
CLAUSE = "monitoring.api.error-rate.page"


def runbook_of(on: Grounds) -> Runbook:
    """The runbook in force."""
    loaded = inforce.kept(on.settings)
    assert loaded is not None
    return loaded.runbook


def burning(on: Grounds, fingerprint: str = "f1", name: str = PAGE, **given: Any) -> Incident:
    """A page that fires for five minutes, and the incident that it opened."""
    labels = given.pop("labels", LABELS)
    summary = given.pop("summary", "HTTP error rate is 7.2 %, above 5 %")
    begin = NOW - timedelta(minutes=5)
    put(
        on,
        name,
        fingerprint,
        labels=labels,
        summary=summary,
        clause=CLAUSE,
        group_key=f"k-{fingerprint}",
        **given,
    )
    whole = {"alertname": name, "severity": "page", **labels}
    with on.store.write() as conn:
        facts = {"summary": summary, "severity": "page", "episode": EPISODE}
        journal.append(conn, begin, "alert.firing", "component:monitoring", f"alert:{fingerprint}", facts)
        values: dict[str, Any] = {
            "title": summary,
            "service": labels.get("service"),
            "env": labels.get("env"),
            "region": labels.get("region"),
            "detected_at": begin - timedelta(minutes=2),
        }
        incident = gathering.open_incident(conn, begin, SYSTEM, f"{name} fires: {summary}", values)
        row = {
            "incident_id": incident.id, "fingerprint": fingerprint, "episode": EPISODE, "alertname": name,
            "severity": "page", "summary": summary, "labels": whole, "clause": CLAUSE,
            "active_at": begin - timedelta(minutes=2), "fired_at": begin, "joined_at": begin,
            "because": "it opened the incident", "ended": "", "at_baseline": 0,
        }  # fmt: skip
        conn.execute(insert(incident_alerts).values(**row))
    return incident


def baseline(on: Grounds, fingerprint: str = "f1") -> None:
    """The alert resolved because its signal is well again."""
    with on.store.write() as conn:
        mine = incident_alerts.c.fingerprint == fingerprint
        ended = {"resolved_at": on.clock.now(), "at_baseline": 1, "ended": "it is back within the line"}
        conn.execute(update(incident_alerts).where(mine).values(**ended))
        gone = {"state": "resolved", "resolved_at": on.clock.now()}
        conn.execute(update(alerts).where(alerts.c.fingerprint == fingerprint).values(**gone))


def clocked(folder: Path) -> tuple[Grounds, ManualClock]:
    """Grounds, and their clock."""
    on = grounds_with_runbook(folder)
    assert isinstance(on.clock, ManualClock)
    return on, on.clock


class Watching:
    """One console over the grounds, made once: what it shows is read anew at each question."""

    def __init__(self, on: Grounds, **answers: bytes) -> None:
        self.on = on
        self.roles = Answering(**answers)
        self._console = Console(on.settings, on.store, self.roles, on.clock)
        self._app = create_app(self._console, CollectorRegistry())

    def get(self, path: str, as_: Role | None = Role.RESPONDER) -> Answer:
        """What ``path`` shows to somebody of that role."""
        self._console.pictures.outdated()
        headers = {"Accept": "text/html"}
        return call(self.roles, path, on=self.on, as_=as_, headers=headers, application=self._app)

    def page(self, path: str, as_: Role = Role.RESPONDER) -> str:
        """The page at ``path``, which is there."""
        answer = self.get(path, as_)
        assert answer.status == 200, answer.body
        return answer.body.decode()

    def send(self, path: str, as_: Role = Role.RESPONDER, /, **fields: str) -> Answer:
        """A form, sent from a page of ours."""
        self._console.pictures.outdated()
        return call(
            self.roles, path, method="POST", on=self.on, as_=as_, body=urlencode(fields).encode(),
            headers=FORM, application=self._app,
        )  # fmt: skip

    def ask(
        self,
        path: str,
        body: object = None,
        method: str = "POST",
        as_: Role = Role.RESPONDER,
        token: bool = True,
    ) -> Answer:
        """The API, with a token of that role or as a person."""
        self._console.pictures.outdated()
        sent = b"" if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        return call(
            self.roles, path, method=method, on=self.on, as_=as_, token=token, body=sent, headers=headers,
            application=self._app,
        )  # fmt: skip


def layers(state: str = "page", value: float | None = 0.072) -> bytes:
    """What the role ``watch`` says of the signal that burns."""
    points = [0.001, 0.002, 0.001, 0.004, 0.03, 0.06, 0.072]
    row = {
        "id": "error-rate", "title": "HTTP error rate (5xx)", "unit": "ratio", "value": value,
        "points": points, "state": state, "why": "",
        "warn": ["> 3% over 5m"], "page": ["> 5% over 2m"], "clauses": [CLAUSE],
    }  # fmt: skip
    overview = {"alerts": [], "layers": [{"id": "api", "title": "API", "signals": [row]}], "targets": {}}
    return json.dumps(overview).encode()


def paged(on: Grounds, fingerprint: str = "f1", ago: timedelta = timedelta(minutes=1)) -> None:
    """Somebody was paged for the alert so long ago: the clock of the acknowledgement runs."""
    at = NOW - ago
    row = {
        "dedup_key": f"k-{fingerprint}", "rota": "platform", "state": "open", "paged_at": at,
        "started_at": at, "step": 1, "round": 0, "due_at": None, "scheduled_at": at, "told": [], "about": {},
    }  # fmt: skip
    with on.store.write() as conn:
        conn.execute(insert(escalations).values(**row))


def complete(conn: Connection, now: datetime, runbook: Runbook, number: int) -> None:
    """The document of a resolved incident, so that nothing is missing."""
    service.describe(conn, now, runbook, number, ADA, impact="some checkouts failed for 10 minutes")
    service.write_section(conn, now, runbook, number, ADA, "timeline", "It began, and it ended.")
    service.write_section(conn, now, runbook, number, ADA, "root cause", "A migration held locks.")
    due = now + timedelta(days=7)
    service.add_follow_up(conn, now, runbook, number, ADA, "Limit migrations", owner="ben", due_on=due)


def joined(conn: Connection, number: int, fingerprint: str, at: datetime) -> None:
    """An alert that fires for the incident."""
    row = {
        "incident_id": number, "fingerprint": fingerprint, "episode": EPISODE, "alertname": PAGE,
        "severity": "page", "summary": f"{fingerprint} is bad", "labels": {"service": "api"}, "clause": None,
        "active_at": at, "fired_at": at, "joined_at": at, "because": "of the same service", "ended": "",
        "at_baseline": 0,
    }  # fmt: skip
    conn.execute(insert(incident_alerts).values(**row))


def furnish_incidents(on: Grounds) -> None:
    """Seven incidents: 1 burns, 2 may be closed, 3 is closed, 4 and 5 are open, 6 has two alerts, 7 is
    without any."""
    runbook, now = runbook_of(on), on.clock.now()
    with on.store.write() as conn:
        for number in range(1, 8):
            made = service.open_by_hand(
                conn, now, runbook, ADA, f"thing {number} is broken", severity="SEV-2"
            )
            assert made.id == number
        joined(conn, 1, "i1", now)
        joined(conn, 6, "i6a", now)
        joined(conn, 6, "i6b", now)
        for number in (2, 3):
            service.resolve(conn, now, runbook, number, ADA)
            complete(conn, now, runbook, number)
        service.close(conn, now, runbook, 3, ADA)
        asking_run(conn, now, runbook, 1, "run-1")
        asking_run(conn, now, runbook, 1, "run-2")


def asking_run(conn: Connection, now: datetime, runbook: Runbook, number: int, run_id: str) -> None:
    """A run of the playbook ``api-errors`` for the incident; its first step asks a person."""
    playbook = runbook.playbooks["api-errors"]
    inputs = {"service": "api", "env": "prod"}
    begun = now - timedelta(minutes=2)
    run = Run(
        run_id, "api-errors", playbook, inputs, f"incident:{number}", ADA.actor, begun, RunState.WAITING
    )
    asks = Record(
        state=StepState.WAITING,
        attempts=1,
        begun_at=begun,
        outputs={"deploys": ["backend 1.42, 11:52"]},
        awaits="person",
        about="by hand",
        question="look at the deploys of api, then confirm",
        since=begun,
    )
    definition = playbook.model_dump(mode="json", by_alias=True, exclude_none=True)
    rows.create(conn, begun, run.put(Target("deploys"), asks), definition, "0" * 64)
