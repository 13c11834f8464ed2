"""What PagerDuty tells back: v3 webhooks, verified and turned into an event of ours. Pure.

Always true here: nothing is parsed that is not signed with the secret of the subscription; comparing takes
the same time whatever is wrong (tests/notify/test_pagerduty_webhook.py).

Source: https://developer.pagerduty.com/docs/webhooks/webhook-signatures/ (``X-PagerDuty-Signature`` holds
one ``v1=<hex of HMAC-SHA-256 over the body>`` per secret in use, comma-separated) and
https://developer.pagerduty.com/docs/webhooks/v3-overview/ (the payload).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from watchkeeper.notify.models import NotifyError
from watchkeeper.store.canonical import rfc3339

SIGNATURE_HEADER = "X-PagerDuty-Signature"
MAX_BODY_BYTES = 1 << 20
STALE = timedelta(hours=48)
"""PagerDuty gives up sending one long before; what is older is somebody's copy of it."""
AHEAD = timedelta(hours=1)
"""How far PagerDuty's clock may be ahead of ours."""


class WebhookRefusedError(NotifyError):
    """The webhook is not signed by PagerDuty with our secret, or is not what PagerDuty sends."""


class Happened(StrEnum):
    """What somebody did in PagerDuty, as far as we act on it."""

    ACKNOWLEDGED = "acknowledged"
    UNACKNOWLEDGED = "unacknowledged"
    RESOLVED = "resolved"
    REOPENED = "reopened"


@dataclass(frozen=True, slots=True)
class Inbound:
    """Something that happened to an incident. ``dedup_key`` is the one of our trigger.

    ``id`` is PagerDuty's, the same when it sends the webhook again: act on each id once.
    """

    id: str
    happened: Happened
    dedup_key: str
    at: datetime
    actor: str
    incident: str
    title: str = ""


def verify_signature(header: str, body: bytes, secret: str) -> bool:
    """Whether one of the signatures in ``header`` was made over ``body`` with ``secret``."""
    if not secret:
        return False
    expected = b"v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()
    given = [part.strip().encode("utf-8", "replace") for part in header.split(",")]
    return any([hmac.compare_digest(expected, signature) for signature in given])  # noqa: C419 - constant time


def receive(header: str | None, body: bytes, secret: str, now: datetime) -> Inbound | None:
    """The event in a webhook; ``None`` for one that is genuine but says nothing we act on.

    The signature holds no time, so a copy stays genuine: what is older than :data:`STALE` is refused.

    Raises :class:`WebhookRefusedError`.
    """
    if len(body) > MAX_BODY_BYTES:
        raise WebhookRefusedError("the webhook is larger than PagerDuty sends; it was not read")
    if not header or not verify_signature(header, body, secret):
        raise WebhookRefusedError(
            "the webhook's signature does not fit our secret; nothing was done. "
            "If PagerDuty sent it, the secret of its webhook subscription and ours differ."
        )
    try:
        event = _inbound(json.loads(body)["event"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WebhookRefusedError(
            f"the webhook is signed, but is not a v3 webhook ({type(error).__name__}); nothing was done"
        ) from None
    if event is not None and not now - STALE <= event.at <= now + AHEAD:
        raise WebhookRefusedError(
            f"the webhook is signed, but says that it happened at {rfc3339(event.at)}; nothing was done. "
            "If PagerDuty sent it just now, the clock of this machine is wrong."
        )
    return event


def _inbound(event: dict[str, Any]) -> Inbound | None:
    resource, _, verb = str(event["event_type"]).partition(".")
    if resource != "incident" or verb not in set(Happened):
        return None
    data = event["data"]
    key = data.get("incident_key")
    if not key:
        return None  # an incident that no event of ours opened
    at = datetime.fromisoformat(event["occurred_at"])
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    agent = event.get("agent") or {}
    actor = str(agent.get("summary") or agent.get("id") or "PagerDuty")
    return Inbound(
        str(event["id"]),
        Happened(verb),
        str(key),
        at,
        actor,
        str(data.get("id", "")),
        str(data.get("title", "")),
    )
