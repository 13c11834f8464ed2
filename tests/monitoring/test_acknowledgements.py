"""What people do at the receiver reaches the alert and the journal once, and never resolves an alert."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from watchkeeper.monitoring.acknowledgements import record
from watchkeeper.notify.pagerduty_webhook import Happened, Inbound
from watchkeeper.store import journal
from watchkeeper.store.database import Store, open_store
from watchkeeper.store.models import alerts

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
KEY = "watchkeeper/abc/1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path) as opened:
        with opened.write() as conn:
            for fingerprint, group in (("one", KEY), ("two", KEY), ("other", "watchkeeper/def/1")):
                conn.execute(
                    insert(alerts).values(
                        fingerprint=fingerprint,
                        rule="R",
                        alertname="ApiErrorRatePage",
                        severity="page",
                        labels={"alertname": "ApiErrorRatePage"},
                        annotations={},
                        state="firing",
                        group_key=group,
                        episode="e1",
                    )
                )
        yield opened


def _event(happened: Happened, number: int = 1, key: str = KEY) -> Inbound:
    return Inbound(f"ev-{number}", happened, key, NOW - timedelta(seconds=5), "Ada", "PD1")


def _take(store: Store, event: Inbound) -> int:
    with store.write() as conn:
        return record(conn, NOW, "pagerduty", event)


def _acked(store: Store) -> dict[str, str | None]:
    with store.read() as conn:
        return {row.fingerprint: row.acked_by for row in conn.execute(select(alerts))}


def _kinds(store: Store) -> list[str]:
    with store.read() as conn:
        return [entry.kind for entry in journal.tail(conn, 0)]


def test_an_acknowledgement_names_who_and_when_on_every_alert_of_the_group(store: Store) -> None:
    assert _take(store, _event(Happened.ACKNOWLEDGED)) == 2
    assert _acked(store) == {"one": "Ada", "two": "Ada", "other": None}
    assert _kinds(store) == ["alert.acknowledged"] * 2


def test_the_same_event_delivered_again_changes_nothing(store: Store) -> None:
    _take(store, _event(Happened.ACKNOWLEDGED))
    _take(store, _event(Happened.UNACKNOWLEDGED, 2))
    _take(store, _event(Happened.ACKNOWLEDGED))
    assert _acked(store)["one"] is None
    assert len(_kinds(store)) == 4


def test_resolving_at_the_receiver_leaves_the_alert_firing(store: Store) -> None:
    _take(store, _event(Happened.RESOLVED))
    with store.read() as conn:
        assert {row.state for row in conn.execute(select(alerts))} == {"firing"}
    assert _kinds(store) == ["alert.resolved_at_receiver"] * 2


def test_an_event_about_something_unknown_changes_nothing(store: Store) -> None:
    assert _take(store, _event(Happened.ACKNOWLEDGED, key="somebody else's")) == 0
    assert _kinds(store) == []
