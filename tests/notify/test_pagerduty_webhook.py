"""Webhooks from PagerDuty: only genuine ones are read, and they say who did what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.pagerduty import FakePagerDuty, Incident, signature_header, webhook_body
from watchkeeper.notify import pagerduty_webhook as inbound
from watchkeeper.notify.pagerduty_webhook import Happened, WebhookRefusedError

SECRET = "whsec-of-the-subscription"
NOW = datetime.now(UTC)
INCIDENT = Incident("Q000001", "watchkeeper/alert-1/e1", "acknowledged", "API fails", "critical")


def _body(event_type: str = "incident.acknowledged", **changes: Any) -> bytes:
    document = json.loads(webhook_body(event_type, INCIDENT, "Ada Lovelace"))
    document["event"].update(changes)
    return json.dumps(document).encode()


def test_an_acknowledgement_says_who_and_of_what() -> None:
    body = _body(occurred_at="2026-01-05T03:01:02.345Z", id="01ABC")
    then = datetime(2026, 1, 5, 3, 1, 4, tzinfo=UTC)
    event = inbound.receive(signature_header(body, SECRET), body, SECRET, then)
    assert event is not None
    assert (event.id, event.happened, event.dedup_key) == ("01ABC", Happened.ACKNOWLEDGED, INCIDENT.dedup_key)
    assert (event.actor, event.incident, event.title) == ("Ada Lovelace", "Q000001", "API fails")
    assert event.at.isoformat() == "2026-01-05T03:01:02.345000+00:00"


@pytest.mark.parametrize(
    "event_type", ["incident.annotated", "incident.priority_updated", "service.updated", "pagey.ping"]
)
def test_genuine_webhooks_that_say_nothing_to_us_are_none(event_type: str) -> None:
    body = _body(event_type)
    assert inbound.receive(signature_header(body, SECRET), body, SECRET, NOW) is None


def test_an_incident_that_no_event_of_ours_opened_is_none() -> None:
    body = _body(data={"id": "Q1", "incident_key": None})
    assert inbound.receive(signature_header(body, SECRET), body, SECRET, NOW) is None


def test_while_a_secret_is_rotated_either_signature_will_do() -> None:
    body = _body()
    assert inbound.receive(signature_header(body, "the old one", SECRET), body, SECRET, NOW)
    assert inbound.receive(signature_header(body, SECRET, "the new one"), body, SECRET, NOW)


@pytest.mark.parametrize("header", [None, "", "v1=", "v1=00", "v0=abc", ",,,", "v1=ü"])
def test_what_is_not_signed_with_our_secret_is_refused(header: str | None) -> None:
    with pytest.raises(WebhookRefusedError, match="nothing was done"):
        inbound.receive(header, _body(), SECRET, NOW)


@pytest.mark.parametrize("ago", [timedelta(hours=49), timedelta(hours=-2)])
def test_a_genuine_copy_of_an_old_one_is_refused(ago: timedelta) -> None:
    body = _body(occurred_at=(NOW - ago).isoformat())
    with pytest.raises(WebhookRefusedError, match=r"it happened at .*; nothing was done"):
        inbound.receive(signature_header(body, SECRET), body, SECRET, NOW)


def test_an_empty_secret_verifies_nothing() -> None:
    body = _body()
    with pytest.raises(WebhookRefusedError):
        inbound.receive(signature_header(body, ""), body, "", NOW)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_body_changed_in_any_byte_is_refused(position: int, change: int) -> None:
    body = bytearray(_body())
    header = signature_header(bytes(body), SECRET)
    body[position % len(body)] ^= change
    assert not inbound.verify_signature(header, bytes(body), SECRET)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"event": 1}',
        b'{"event": {}}',
        b"\xff",
        b'{"event": {"event_type": "incident.resolved"}}',
    ],
)
def test_a_signed_body_that_is_no_webhook_is_refused_with_a_sentence(body: bytes) -> None:
    with pytest.raises(WebhookRefusedError, match="not a v3 webhook"):
        inbound.receive(signature_header(body, SECRET), body, SECRET, NOW)


def test_a_body_that_is_too_large_is_not_read() -> None:
    body = b"x" * (inbound.MAX_BODY_BYTES + 1)
    with pytest.raises(WebhookRefusedError, match="larger"):
        inbound.receive(signature_header(body, SECRET), body, SECRET, NOW)


@contextmanager
def _listener(seen: list[inbound.Inbound | None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(inbound.receive(self.headers[inbound.SIGNATURE_HEADER], body, SECRET, NOW))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/webhooks/pagerduty"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def test_what_a_person_does_in_pagerduty_arrives() -> None:
    seen: list[inbound.Inbound | None] = []
    with FakePagerDuty() as fake, _listener(seen) as url:
        fake.subscribe(url, "an old secret", SECRET)
        fake.incidents[INCIDENT.dedup_key] = [
            Incident("Q1", INCIDENT.dedup_key, "triggered", "API fails", "critical")
        ]
        fake.acknowledge(INCIDENT.dedup_key, "Grace Hopper")
        fake.resolve(INCIDENT.dedup_key, "Grace Hopper")
    assert [event and (event.happened, event.actor) for event in seen] == [
        (Happened.ACKNOWLEDGED, "Grace Hopper"),
        (Happened.RESOLVED, "Grace Hopper"),
    ]
