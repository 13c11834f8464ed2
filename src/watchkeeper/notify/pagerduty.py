"""PagerDuty's Events API v2: events from notifications, and what its answers mean. Building is pure.

Always true here: an event is at most 512 KB and its summary at most 1024 characters, however large the alert
(tests/notify/test_pagerduty.py); a trigger that PagerDuty finds invalid is tried once more with nothing but
the required fields, because a page without details is better than none; the routing key is read from its
place for each attempt and is in no error text.

Source: https://developer.pagerduty.com/docs/events-api-v2/trigger-events/ (fields, limits) and
https://developer.pagerduty.com/docs/events-api-v2/overview/ (202, 400, 429, 5xx).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from watchkeeper.notify.answers import ACCEPTED, Answer, Said, redacted, rejected, retry_after, try_again
from watchkeeper.notify.lane import MOST_UNDER_WAY
from watchkeeper.notify.models import Kind, Notification
from watchkeeper.notify.secret import SecretMissingError, SecretSource
from watchkeeper.notify.transport import Response, Transport, TransportError
from watchkeeper.store.canonical import plain, rfc3339

EVENTS_URL = "https://events.pagerduty.com/v2/enqueue"
EVENTS_PER_MINUTE = 120
MAX_EVENT_BYTES = 512 * 1000
MAX_SUMMARY = 1024
_MAX_TEXT = 2048
_MAX_LINKS = 20
_SEVERITIES = {"page": "critical", "warn": "warning"}


@dataclass(frozen=True, slots=True)
class PagerDutyReceiver:
    """One integration of one PagerDuty service. ``client`` and ``client_url`` point back at us."""

    id: str
    routing_key: SecretSource
    transport: Transport
    environ: Mapping[str, str]
    url: str = EVENTS_URL
    rate_per_minute: float = EVENTS_PER_MINUTE
    timeout_seconds: float = 10.0
    client: str = "Watchkeeper"
    client_url: str | None = None
    in_flight: int = MOST_UNDER_WAY

    def send(self, notification: Notification, idempotency_key: str, now: datetime) -> Answer:
        """One attempt; at most two requests (see the module). Never raises for what PagerDuty does."""
        try:
            key = self.routing_key.read(self.environ)
        except SecretMissingError as error:
            return try_again(f"PagerDuty's routing key: {error}")
        if notification.kind is Kind.CHANGE:
            return self._post(change_event(notification, self.client), key, now, change_url(self.url))
        built = event(notification, self.client, self.client_url)
        answer = self._post(built, key, now)
        if answer.said is Said.REJECTED and notification.kind is Kind.TRIGGER:
            short = self._post(essential(built), key, now)
            return answer if short.said is Said.REJECTED else short
        return answer

    def _post(self, built: Mapping[str, Any], key: str, now: datetime, url: str | None = None) -> Answer:
        body = json.dumps({**built, "routing_key": key}).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "Watchkeeper"}
        try:
            response = self.transport.post(url or self.url, headers, body, self.timeout_seconds)
        except TransportError as error:
            return try_again(redacted(str(error), key))
        return judge(response, key, now)


def change_url(url: str) -> str:
    """Where change events go, beside where events go: ``/v2/change/enqueue`` beside ``/v2/enqueue``."""
    return f"{url.rstrip('/').removesuffix('/enqueue')}/change/enqueue"


def change_event(notification: Notification, client: str) -> dict[str, Any]:
    """The change event for a notification of the kind ``change``, without its routing key.

    Source: https://developer.pagerduty.com/docs/events-api-v2/send-change-events/
    """
    labels = {name: _cut(value, _MAX_TEXT) for name, value in sorted(notification.labels.items())}
    said = {name: _cut(value, _MAX_TEXT) for name, value in sorted(notification.annotations.items())}
    return {
        "payload": {
            "summary": _cut(_first(notification.summary, notification.alertname, "change"), MAX_SUMMARY),
            "timestamp": rfc3339(notification.starts_at),
            "source": _cut(_first(source(notification.labels), client, "watchkeeper"), _MAX_TEXT),
            "custom_details": {"kind": notification.alertname, **labels, **said},
        },
        "links": _links(notification),
    }


def event(notification: Notification, client: str, client_url: str | None = None) -> dict[str, Any]:
    """The event for a notification, without its routing key."""
    base: dict[str, Any] = {
        "event_action": notification.kind.value,
        "dedup_key": notification.dedup_key[:255],
    }
    if notification.kind is not Kind.TRIGGER:
        return base
    labels = notification.labels
    payload = {
        "summary": _cut(_first(notification.summary, notification.alertname, "alert"), MAX_SUMMARY),
        "source": _cut(_first(source(labels), client, "watchkeeper"), _MAX_TEXT),
        "severity": _SEVERITIES.get(notification.severity, "error"),
        "timestamp": rfc3339(notification.starts_at),
        "component": _cut(labels.get("instance") or labels.get("job") or "", _MAX_TEXT),
        "group": _cut(labels.get("service", ""), _MAX_TEXT),
        "class": _cut(notification.alertname, _MAX_TEXT),
    }
    built = {
        **base,
        "payload": {name: value for name, value in payload.items() if value},
        "links": _links(notification),
        "client": client,
    }
    if client_url:
        built["client_url"] = client_url
    return _with_details(built, notification)


def _links(notification: Notification) -> list[dict[str, str]]:
    return [
        {"href": link.href, "text": _cut(link.text, 255)}
        for link in notification.links
        if link.href.startswith(("https://", "http://")) and len(link.href) <= _MAX_TEXT
    ][:_MAX_LINKS]


def essential(built: Mapping[str, Any]) -> dict[str, Any]:
    """A trigger event cut down to the fields that PagerDuty requires."""
    required = {name: built["payload"][name] for name in ("summary", "source", "severity")}
    return {"event_action": built["event_action"], "dedup_key": built["dedup_key"], "payload": required}


def source(labels: Mapping[str, str]) -> str:
    """What is affected, in the words of the runbook's hygiene labels: ``api (prod, eu-1)``."""
    where = ", ".join(labels[name] for name in ("env", "region") if labels.get(name))
    what = labels.get("service") or labels.get("instance") or labels.get("job") or ""
    return f"{what} ({where})" if what and where else what or where


def judge(response: Response, routing_key: str, now: datetime) -> Answer:
    """What PagerDuty's answer means for the event."""
    if response.status == 202:
        return ACCEPTED
    if response.status == 429:
        return try_again("PagerDuty takes no more events for now (429)", retry_after(response, now))
    said = _document(response.body)
    if response.status == 400 and said.get("status") == "invalid event":
        errors = said.get("errors")
        words = [str(said.get("message", ""))] + [
            str(e) for e in (errors if isinstance(errors, list) else [])
        ]
        reason = redacted("; ".join(word for word in words if word), routing_key)
        if "routing_key" in reason or "routing key" in reason.lower():
            return try_again(f"PagerDuty does not know the routing key ({reason}); correct the secret")
        return rejected(f"PagerDuty finds the event invalid: {reason}")
    if response.status == 413:
        return rejected("PagerDuty finds the event too large (413)")
    return try_again(f"PagerDuty answered {response.status}", retry_after(response, now))


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _with_details(built: dict[str, Any], notification: Notification) -> dict[str, Any]:
    """Add ``custom_details``: everything if it fits, else less and less, saying how much was left out."""
    members = len(notification.members)
    for shown, text in ((members, _MAX_TEXT), (200, 512), (50, 256), (10, 128), (0, 64)):
        details = _details(notification, min(shown, members), text)
        candidate = {**built, "payload": {**built["payload"], "custom_details": details}}
        if len(json.dumps(candidate)) + 512 <= MAX_EVENT_BYTES:  # room for the routing key
            return candidate
    short = {"note": "the alert's labels and annotations are too large for PagerDuty; see Watchkeeper"}
    return {**built, "links": [], "payload": {**built["payload"], "custom_details": short}}


def _details(notification: Notification, shown: int, text: int) -> dict[str, Any]:
    details: dict[str, Any] = {
        "value": plain(notification.value),
        "clause": notification.clause,
        "playbook": notification.playbook,
        "labels": {name: _cut(value, text) for name, value in sorted(notification.labels.items())},
        "annotations": {name: _cut(value, text) for name, value in sorted(notification.annotations.items())},
        "note": _cut(notification.note, text),
    }
    if notification.members:
        details["alerts"] = [
            {
                "state": member.state,
                "since": rfc3339(member.starts_at),
                "value": plain(member.value),
                "summary": _cut(member.summary, text),
                "labels": {name: _cut(value, text) for name, value in sorted(member.labels.items())},
            }
            for member in notification.members[:shown]
        ]
        if shown < notification.total:
            details["alerts_not_shown"] = notification.total - shown
    return {name: value for name, value in details.items() if value not in (None, "", {}, [])}


def _first(*texts: str) -> str:
    """The first that is not blank; PagerDuty refuses blank fields."""
    return next(text for text in texts if text.strip())


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
