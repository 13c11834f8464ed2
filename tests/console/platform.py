"""Grounds with something on them: the default runbook in force, alerts, a silence, an override."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from sqlalchemy import insert

from tests.console.asgi import Answering, Grounds
from watchkeeper.monitoring import silencing
from watchkeeper.monitoring.silences import Wanted, matcher
from watchkeeper.oncall import overrides
from watchkeeper.runbook.loading import default_text
from watchkeeper.runbook.models.monitoring import Silencing
from watchkeeper.store import journal
from watchkeeper.store.canonical import rfc3339
from watchkeeper.store.models import alerts

FIRING, PENDING = "a" * 16, "b" * 16
CLAUSE = "monitoring.api.error-rate.page"


def target(number: int, health: str = "up", error: str = "", job: str = "platform") -> dict[str, object]:
    """One row of what ``watch`` says of targets."""
    never = "0001-01-01T00:00:00Z"
    return {
        "discoveredLabels": {},
        "labels": {"job": job, "instance": f"backend{number}:9100", "service": "backend", "env": "prod"},
        "scrapePool": job,
        "scrapeUrl": f"http://backend{number}:9100/metrics",
        "globalUrl": f"http://backend{number}:9100/metrics",
        "lastError": error,
        "lastScrape": never if health == "unknown" else "2026-03-02T11:59:50Z",
        "lastScrapeDuration": 0.012,
        "lastSamples": 321,
        "health": health,
        "scrapeInterval": "15s",
        "scrapeTimeout": "10s",
    }


def rule(name: str, state: str = "inactive", health: str = "ok", **more: object) -> dict[str, object]:
    """One row of what ``watch`` says of rules."""
    return {
        "state": state,
        "name": name,
        "query": "up == 0",
        "duration": 120.0,
        "keepFiringFor": 0.0,
        "labels": {"severity": "page", "layer": "api", "signal": "error-rate"},
        "annotations": {"clause": CLAUSE},
        "alerts": [{}] if state != "inactive" else [],
        "health": health,
        "evaluationTime": 0.002,
        "lastEvaluation": "2026-03-02T11:59:50Z",
        "type": "alerting",
        **more,
    }


def watching(*targets: dict[str, object], rules: list[dict[str, object]] | None = None) -> Answering:
    """A role ``watch`` that says so of targets and rules."""
    groups = [
        {"name": "watchkeeper.api", "rules": rules if rules is not None else [rule("ApiErrorRatePage")]}
    ]
    return Answering(
        overview=b'{"alerts": [], "layers": [], "targets": {"up": 1, "down": 0}}',
        targets=json.dumps(
            {"status": "success", "data": {"activeTargets": list(targets), "droppedTargets": []}}
        ).encode(),
        rules=json.dumps({"status": "success", "data": {"groups": groups}}).encode(),
    )


def furnish(on: Grounds) -> None:
    """Put the default runbook in force, and let something be going on."""
    runbook = on.put_in_force(default_text()).runbook
    now = on.clock.now()
    with on.store.write() as conn:
        conn.execute(insert(alerts), [_alert(FIRING, "firing", now), _alert(PENDING, "pending", now)])
        facts = {"summary": "the API fails", "alertname": "ApiErrorRatePage", "severity": "page"}
        journal.append(
            conn, now, "alert.firing", "component:monitoring", f"alert:{FIRING}", facts, [(CLAUSE, "missed")]
        )
        wanted = Wanted(
            (matcher("service=backend"),), now, now + timedelta(hours=1), "ada", "the disk is being changed"
        )
        silencing.create(conn, now, wanted, "ada", Silencing())
        contact, rota = runbook.contacts[0].id, runbook.oncall.rotas[0].id
        asked = overrides.Wanted(rota, contact, now, now + timedelta(hours=2), "dentist")
        overrides.create(conn, now, runbook, asked, "person:ada")
        resolved = {
            "alertname": "QueueOld",
            "severity": "warn",
            "labels": {"service": "queue"},
            "active_at": rfc3339(now - timedelta(hours=3)),
            "episode": "e0",
            "value": "NaN",
            "summary": "the queue was old",
        }
        journal.append(conn, now, "alert.resolved", "component:monitoring", "alert:cc", resolved)


def _alert(fingerprint: str, state: str, now: datetime) -> dict[str, object]:
    return {
        "fingerprint": fingerprint,
        "rule": "ApiErrorRatePage",
        "alertname": "ApiErrorRatePage",
        "clause": CLAUSE,
        "severity": "page",
        "labels": {"alertname": "ApiErrorRatePage", "service": "backend", "severity": "page"},
        "annotations": {"summary": "the API fails"},
        "state": state,
        "active_at": now - timedelta(minutes=5),
        "fired_at": now - timedelta(minutes=3) if state == "firing" else None,
        "last_value": float("inf"),
        "group_key": f"group-{fingerprint[0]}",
        "episode": f"e-{fingerprint[0]}",
    }
