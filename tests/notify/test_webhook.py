"""Signed webhooks: shape, signature, idempotency, and what the answers mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.notify.conftest import Make
from watchkeeper.notify.answers import Said
from watchkeeper.notify.models import Kind
from watchkeeper.notify.transport import Response, TransportError
from watchkeeper.notify.webhook import (
    IDEMPOTENCY_HEADER,
    SIGNATURE_HEADER,
    WebhookReceiver,
    decode,
    judge,
    sign,
    verify_signature,
)
from watchkeeper.runbook.models.secrets import Secret

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
SECRET = "whsec"


class Recorder:
    """A transport that keeps what is posted and answers as it is told."""

    def __init__(self, answer: Response | TransportError) -> None:
        self.answer = answer
        self.posted: list[tuple[str, Mapping[str, str], bytes, float]] = []

    def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Response:
        self.posted.append((url, headers, body, timeout))
        if isinstance(self.answer, TransportError):
            raise self.answer
        return self.answer


def _receiver(recorder: Recorder, secret: Secret | None = Secret(env="S")) -> WebhookReceiver:  # noqa: B008
    url = "http://127.0.0.1:9/hooks/T0KEN"
    return WebhookReceiver("hook", url, recorder, {"S": SECRET}, secret, platform="Treazr Island")


def test_the_body_is_a_cloudevent_that_holds_the_notification(make: Make) -> None:
    recorder = Recorder(Response(204))
    assert _receiver(recorder).send(make(), "hook-7", NOW).said is Said.ACCEPTED
    ((_, headers, body, timeout),) = recorder.posted
    document = json.loads(body)
    data = document.pop("data")
    assert document == {
        "specversion": "1.0",
        "id": "hook-7",
        "source": "/watchkeeper/Treazr%20Island",
        "type": "watchkeeper.alert.trigger",
        "subject": "alert:alert-1",
        "time": "2026-01-05T03:00:00Z",
        "datacontenttype": "application/json",
    }
    assert data["summary"] == "alert-1: 7.3 % of requests fail"
    assert decode(body) == make()
    assert headers["Content-Type"].startswith("application/cloudevents+json")
    assert headers[IDEMPOTENCY_HEADER] == "hook-7"
    assert verify_signature(headers[SIGNATURE_HEADER], body, SECRET, NOW)
    assert timeout == 10.0


def test_a_resolve_carries_the_time_of_the_end(make: Make) -> None:
    recorder = Recorder(Response(200))
    ended = NOW + timedelta(minutes=5)
    _receiver(recorder).send(make(kind=Kind.RESOLVE, ends_at=ended), "k", NOW)
    document = json.loads(recorder.posted[0][2])
    assert (document["type"], document["time"]) == ("watchkeeper.alert.resolve", "2026-01-05T03:05:00Z")


def test_every_attempt_has_the_same_key_and_its_own_signature(make: Make) -> None:
    recorder = Recorder(Response(503))
    later = NOW + timedelta(hours=1)
    for moment in (NOW, later):
        _receiver(recorder).send(make(), "k", moment)
    (_, first, body, _), (_, second, _, _) = recorder.posted
    assert first[IDEMPOTENCY_HEADER] == second[IDEMPOTENCY_HEADER]
    assert not verify_signature(first[SIGNATURE_HEADER], body, SECRET, later)
    assert verify_signature(second[SIGNATURE_HEADER], body, SECRET, later)


def test_without_a_secret_there_is_no_signature(make: Make) -> None:
    recorder = Recorder(Response(200))
    _receiver(recorder, None).send(make(), "k", NOW)
    assert SIGNATURE_HEADER not in recorder.posted[0][1]


def test_a_missing_secret_sends_nothing_rather_than_unsigned(make: Make) -> None:
    recorder = Recorder(Response(200))
    answer = _receiver(recorder, Secret(env="UNSET")).send(make(), "k", NOW)
    assert answer.said is Said.TRY_AGAIN
    assert "UNSET" in answer.reason
    assert recorder.posted == []


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_accepted(status: int) -> None:
    assert judge(Response(status), NOW).said is Said.ACCEPTED


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_answers_about_the_notification_itself_are_final(status: int) -> None:
    assert judge(Response(status, {}, b"no such field"), NOW).said is Said.REJECTED


@pytest.mark.parametrize(
    "status", [301, 302, 307, 308, 401, 403, 404, 405, 408, 410, 429, 500, 502, 503, 504]
)
def test_answers_about_the_receiver_pass(status: int) -> None:
    assert judge(Response(status), NOW).said is Said.TRY_AGAIN


def test_no_answer_is_tried_again_and_the_reason_holds_no_address(make: Make) -> None:
    recorder = Recorder(TransportError("127.0.0.1: http://127.0.0.1:9/hooks/T0KEN refused whsec"))
    answer = _receiver(recorder).send(make(), "k", NOW)
    assert answer.said is Said.TRY_AGAIN
    assert "T0KEN" not in answer.reason
    assert SECRET not in answer.reason


@given(st.binary(max_size=200), st.text(min_size=1, max_size=20), st.integers(-600, 600))
def test_a_signature_holds_for_five_minutes_either_way(body: bytes, secret: str, seconds: int) -> None:
    header = sign(body, secret, NOW)
    assert verify_signature(header, body, secret, NOW + timedelta(seconds=seconds)) == (abs(seconds) <= 300)


@given(st.binary(min_size=1, max_size=200), st.integers(0, 10_000), st.integers(1, 255))
def test_a_signature_covers_every_byte(body: bytes, position: int, change: int) -> None:
    header = sign(body, SECRET, NOW)
    other = bytearray(body)
    other[position % len(body)] ^= change
    assert not verify_signature(header, bytes(other), SECRET, NOW)


def test_a_signature_cannot_be_moved_to_another_time_or_secret() -> None:
    header = sign(b"body", SECRET, NOW)
    later = NOW + timedelta(seconds=10)
    moved = header.replace(str(int(NOW.timestamp())), str(int(later.timestamp())))
    assert not verify_signature(moved, b"body", SECRET, later)
    assert not verify_signature(header, b"body", "another", NOW)


@given(st.text(max_size=60))
def test_no_text_is_taken_for_a_signature(header: str) -> None:
    assert not verify_signature(header, b"body", SECRET, NOW)


@pytest.mark.parametrize(
    "header", ["", "t=1", "t=x,v1=00", "t=1767582000,t=1767582000,v1=00", "v1=00", "t=²,v1="]
)
def test_headers_that_are_none(header: str) -> None:
    assert not verify_signature(header, b"body", SECRET, NOW)
