"""A store with the default runbook in force, and alerts put in it as the role ``watch`` would leave them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from tests.console.asgi import Grounds
from watchkeeper.app import inforce
from watchkeeper.app.policy import load_policy
from watchkeeper.notify.enqueue import enqueue_notification
from watchkeeper.notify.models import Kind, Notification
from watchkeeper.runbook.loading import default_text
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.models import alerts

NOW = datetime.fromisoformat("2026-01-05T12:00:00+00:00")
LABELS = {"service": "api", "env": "prod", "region": "eu"}
PAGE = "ApiErrorRatePage"
EPISODE = "e1"


def grounds_with_runbook(folder: Path) -> Grounds:
    """Everything a console needs, at noon of a Monday."""
    on = Grounds(folder, ManualClock(NOW))
    on.settings.runbook.write_text(default_text())
    inforce.keep(on.settings, load_policy(on.settings))
    return on


def put(on: Grounds, name: str, fingerprint: str, **given: Any) -> None:
    """An alert: firing for five minutes, unless something else is ``given``."""
    labels: Mapping[str, str] = given.pop("labels", LABELS)
    severity = given.pop("severity", "page")
    row = {
        "fingerprint": fingerprint,
        "rule": name,
        "alertname": name,
        "clause": None,
        "severity": severity,
        "labels": {"alertname": name, "severity": severity, **labels},
        "annotations": {"summary": given.pop("summary", f"{name} is bad")},
        "state": "firing",
        "active_at": NOW - timedelta(minutes=5),
        "fired_at": NOW - timedelta(minutes=5),
        "last_value": 0.072,
        "episode": EPISODE,
        "episode_starts_at": NOW - timedelta(minutes=5),
        **given,
    }
    with on.store.write() as conn:
        conn.execute(insert(alerts).values(**row))


def tell(on: Grounds, name: str, fingerprint: str, key: str) -> None:
    """The receiver ``pager`` is told of it."""
    said = Notification(Kind.TRIGGER, key, key, f"alert:{fingerprint}", name, "page", f"{name} is bad", NOW)
    with on.store.write() as conn:
        enqueue_notification(conn, NOW, ["pager"], said)


def end(on: Grounds, name: str, fingerprint: str, episode: str, at: datetime, **facts: Any) -> None:
    """The journal says that a life of the alert is over."""
    said = {
        "summary": f"{name} was bad",
        "alertname": name,
        "severity": "page",
        "labels": LABELS,
        "value": 0.01,
        "episode": episode,
        "active_at": at - timedelta(minutes=20),
        "fired_at": at - timedelta(minutes=18),
        "because": "it is back within the line",
        **facts,
    }
    with on.store.write() as conn:
        journal.append(conn, at, "alert.resolved", "component:monitoring", f"alert:{fingerprint}", said)


HOSTILE = "<script>alert(1)</script>\x1b[2J\u202e'\"&"
"""A text that wants to be more than a text."""
