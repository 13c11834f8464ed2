"""An empty store on each database, a clock that a test moves, and notifications to send."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.pagerduty import FakePagerDuty
from watchkeeper.notify.models import Kind, Link, Notification
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store, open_store

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
Make = Callable[..., Notification]


@pytest.fixture
def store(place: Path | str) -> Iterator[Store]:
    with open_store(place) as opened:
        yield opened


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def fake(clock: ManualClock) -> Iterator[FakePagerDuty]:
    """A PagerDuty with its real limit, on the test's clock."""
    with FakePagerDuty(limit_per_minute=120, now=lambda: clock.now().timestamp()) as server:
        yield server


@pytest.fixture
def make() -> Make:
    """A notification of the alert ``name``; any field can be given."""

    def build(name: str = "alert-1", kind: Kind = Kind.TRIGGER, **given: Any) -> Notification:
        fields: dict[str, Any] = {
            "kind": kind,
            "dedup_key": f"watchkeeper/{name}/e1",
            "order_key": name,
            "subject": f"alert:{name}",
            "alertname": "ApiErrorRatePage",
            "severity": "page",
            "summary": f"{name}: 7.3 % of requests fail",
            "starts_at": NOW,
            "clause": "monitoring.api.error-rate.page",
            "labels": {"service": "api", "env": "prod", "region": "eu-1", "severity": "page"},
            "annotations": {"summary": "7.3 % of requests fail"},
            "value": 0.073,
            "playbook": "api-errors",
            "links": (Link("https://wk.example/playbooks/api-errors", "Playbook"),),
        }
        return Notification(**{**fields, **given})

    return build
