"""PagerDuty's webhooks are taken in only with a good signature, and refusals hold no secret."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from watchkeeper.app.inbound import InboundAnswers
from watchkeeper.app.wire import RefusedError
from watchkeeper.runbook.loading import load_bytes
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store, open_store
from watchkeeper.store.journal import Filter
from watchkeeper.store.models import alerts

SECRET = "s3cret-of-the-subscription"
RUNBOOK = b"""\
runbook: 1
platform: Test
notifications:
  receivers:
    - id: pd
      pagerduty: {routing_key: {env: KEY}, webhook_secret: {env: PD_WEBHOOK}}
    - id: other
      pagerduty: {routing_key: {env: KEY}}
"""
EVENT = {
    "event": {
        "id": "01E",
        "event_type": "incident.acknowledged",
        "occurred_at": "2026-01-05T03:00:00Z",
        "agent": {"summary": "Ada"},
        "data": {"id": "PD1", "incident_key": "watchkeeper/abc/1", "title": "5xx"},
    }
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path) as opened:
        row = {
            "fingerprint": "one",
            "rule": "R",
            "alertname": "R",
            "severity": "page",
            "labels": {},
            "annotations": {},
            "state": "firing",
            "group_key": "watchkeeper/abc/1",
            "episode": "e1",
        }
        with opened.write() as conn:
            conn.execute(insert(alerts).values(**row))
        yield opened


def _ask(store: Store, receiver: str, body: bytes, signature: str | None) -> Any:
    clock = ManualClock(datetime(2026, 1, 5, 3, 1, tzinfo=UTC))
    answers = InboundAnswers(store, clock, load_bytes("runbook.yaml", RUNBOOK).runbook)
    asked = {"receiver": receiver, "signature": signature, "body": body.decode()}

    async def asking() -> bytes:
        return await answers.handlers()["pagerduty"](asked)

    return json.loads(asyncio.run(asking()))


def _signed(body: bytes, secret: str = SECRET) -> str:
    return "v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _acked_by(store: Store) -> str | None:
    with store.read() as conn:
        return conn.execute(select(alerts.c.acked_by)).scalar()


def test_a_signed_webhook_acknowledges(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PD_WEBHOOK", SECRET)
    body = json.dumps(EVENT).encode()
    assert _ask(store, "pd", body, _signed(body)) == {"alerts": 1}
    assert _acked_by(store) == "Ada"


def test_a_webhook_that_is_sent_again_counts_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PD_WEBHOOK", SECRET)
    body = json.dumps(EVENT).encode()
    for _ in range(3):
        _ask(store, "pd", body, _signed(body))
    with store.read() as conn:
        assert len(journal.entries(conn, Filter(kind="alert.acknowledged"))) == 1


def test_an_old_webhook_that_is_replayed_changes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PD_WEBHOOK", SECRET)
    old = {"event": {**EVENT["event"], "occurred_at": "2026-01-02T03:00:00Z"}}
    body = json.dumps(old).encode()
    with pytest.raises(RefusedError, match="it happened at 2026-01-02") as refused:
        _ask(store, "pd", body, _signed(body))
    assert refused.value.kind == "forbidden"
    assert _acked_by(store) is None


@pytest.mark.parametrize("signature", [None, "", "v1=00", _signed(b"another body"), _signed(b"{}", "guess")])
def test_a_webhook_without_a_good_signature_changes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, signature: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PD_WEBHOOK", SECRET)
    with pytest.raises(RefusedError) as refused:
        _ask(store, "pd", json.dumps(EVENT).encode(), signature)
    assert refused.value.kind == "forbidden"
    assert SECRET not in str(refused.value) + caplog.text
    assert _acked_by(store) is None


def test_without_the_secret_nothing_is_taken_in(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PD_WEBHOOK", raising=False)
    body = json.dumps(EVENT).encode()
    with pytest.raises(RefusedError, match="PD_WEBHOOK"):
        _ask(store, "pd", body, _signed(body, ""))
    assert _acked_by(store) is None


@pytest.mark.parametrize("receiver", ["other", "nobody"])
def test_a_receiver_without_a_webhook_secret_takes_none(store: Store, receiver: str) -> None:
    with pytest.raises(RefusedError) as refused:
        _ask(store, receiver, b"{}", "v1=00")
    assert refused.value.kind == "not_found"
