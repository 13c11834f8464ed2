"""Signed webhooks: a CloudEvents-shaped JSON body, an HMAC over time and body, an idempotency key.

Always true here (tests/notify/test_webhook.py): only a 2xx answer counts as delivered; every attempt at one
notification carries the same ``Idempotency-Key`` (it is the event's ``id`` too) and is signed anew with the
time of that attempt, so that a receiver can refuse what is old; the signature covers every byte of the body.
docs/notifications.md tells receivers how to check it; :func:`verify_signature` does.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from watchkeeper.notify.answers import ACCEPTED, Answer, redacted, rejected, retry_after, try_again
from watchkeeper.notify.lane import MOST_UNDER_WAY
from watchkeeper.notify.models import Notification
from watchkeeper.notify.secret import SecretMissingError, SecretSource
from watchkeeper.notify.transport import Response, Transport, TransportError
from watchkeeper.store.canonical import canonical_json, rfc3339

SIGNATURE_HEADER = "Watchkeeper-Signature"
IDEMPOTENCY_HEADER = "Idempotency-Key"
TOLERANCE_SECONDS = 300
_NEVER = (400, 413, 415, 422)
"""Answers about the notification itself; all others are about the receiver, and may pass."""


@dataclass(frozen=True, slots=True)
class WebhookReceiver:
    """One address that is told. Unsigned where it has no ``secret``."""

    id: str
    url: str
    transport: Transport
    environ: Mapping[str, str]
    secret: SecretSource | None = None
    rate_per_minute: float = 600.0
    timeout_seconds: float = 10.0
    platform: str = "watchkeeper"
    in_flight: int = MOST_UNDER_WAY

    def send(self, notification: Notification, idempotency_key: str, now: datetime) -> Answer:
        """One attempt. Never raises for what the receiver does."""
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "User-Agent": "Watchkeeper",
            IDEMPOTENCY_HEADER: idempotency_key,
        }
        body = canonical_json(event(notification, idempotency_key, self.platform, now)).encode()
        secret = ""
        if self.secret is not None:
            try:
                secret = self.secret.read(self.environ)
            except SecretMissingError as error:
                return try_again(f"the webhook's signing secret: {error}")
            headers[SIGNATURE_HEADER] = sign(body, secret, now)
        try:
            response = self.transport.post(self.url, headers, body, self.timeout_seconds)
        except TransportError as error:
            return try_again(redacted(str(error), secret, self.url))
        return judge(response, now)


def event(notification: Notification, event_id: str, platform: str, now: datetime) -> dict[str, Any]:
    """The notification as a CloudEvent (CloudEvents 1.0, structured mode)."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": f"/watchkeeper/{quote(platform, safe='')}",
        "type": f"watchkeeper.alert.{notification.kind.value}",
        "subject": notification.subject,
        "time": rfc3339(notification.ends_at or notification.starts_at),
        "datacontenttype": "application/json",
        "data": notification.to_json(),
    }


def judge(response: Response, now: datetime) -> Answer:
    """What the receiver's answer means. Redirects are not followed: the runbook names the address."""
    status = response.status
    if 200 <= status < 300:
        return ACCEPTED
    if 300 <= status < 400:
        return try_again(f"it answered {status}, a redirect; write the final address into the runbook")
    if status in _NEVER:
        return rejected(f"it answered {status}: {redacted(response.body[:300].decode('utf-8', 'replace'))}")
    return try_again(f"it answered {status}", retry_after(response, now))


def sign(body: bytes, secret: str, now: datetime) -> str:
    """The signature header: ``t=<unix seconds>,v1=<hex of HMAC-SHA-256 over "t.body">``."""
    moment = str(int(now.timestamp()))
    return f"t={moment},v1={_digest(moment, body, secret)}"


def verify_signature(
    header: str, body: bytes, secret: str, now: datetime, tolerance_seconds: int = TOLERANCE_SECONDS
) -> bool:
    """Whether ``header`` is our signature of ``body``, made within ``tolerance_seconds`` of ``now``."""
    fields = [part.strip().partition("=") for part in header.split(",")]
    moments = [value for name, _, value in fields if name == "t"]
    if len(moments) != 1 or not moments[0].isdecimal() or not moments[0].isascii():
        return False
    if abs(int(moments[0]) - now.timestamp()) > tolerance_seconds:
        return False
    expected = _digest(moments[0], body, secret).encode()
    given = [value.encode() for name, _, value in fields if name == "v1"]
    return any([hmac.compare_digest(expected, value) for value in given])  # noqa: C419 - constant time


def _digest(moment: str, body: bytes, secret: str) -> str:
    return hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256).hexdigest()


def decode(body: bytes) -> Notification:
    """The notification inside a body that :func:`event` made; for receivers written in Python."""
    return Notification.from_json(json.loads(body)["data"])
