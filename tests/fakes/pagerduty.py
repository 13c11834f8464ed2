"""A PagerDuty on loopback: a real HTTP server that keeps incidents, refuses what PagerDuty refuses, and fails
as it is told to.

Events v2 come in on ``/v2/enqueue`` and are deduplicated into incidents as PagerDuty does: a trigger opens or
adds to the incident of its ``dedup_key``; acknowledge and resolve change an open one and are otherwise
accepted and ignored; a trigger after a resolve opens a new incident. Change events come in on
``/v2/change/enqueue`` and are kept in ``changes``. Signed v3 webhooks go out when a test
acknowledges or resolves.

Standalone, for a demo or a terminal: ``python -m tests.fakes.pagerduty --port 9990``; then
``GET /incidents``, ``GET /events`` and ``POST /incidents/<dedup_key>/acknowledge|resolve``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import hmac
import json
import random
import socket
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit

ROUTING_KEY = "R0UT1NGKEY0000000000000000000001"
MAX_EVENT_BYTES = 512 * 1000
SEVERITIES = ("critical", "error", "warning", "info")
FAULTS = ("429", "500", "503", "400", "hang", "drop", "drop_after", "drip", "sign_in")
"""``hang``: no answer; ``drop``: closed, not taken; ``drop_after``: accepted, but the answer is lost;
``drip``: a byte a second; ``sign_in``: 200 with a web page, as a captive proxy answers."""


@dataclass
class Event:
    """One event that was accepted."""

    action: str
    dedup_key: str
    body: dict[str, Any]
    received_at: float


@dataclass
class Incident:
    """What PagerDuty would show. ``history`` are the actions that reached it, in order."""

    id: str
    dedup_key: str
    status: str
    title: str
    severity: str
    history: list[str] = field(default_factory=list)
    actor: str | None = None


@dataclass
class Fault:
    """One misbehaviour; ``retry_after`` goes with 429 and 503."""

    kind: str
    retry_after: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise ValueError(f"{self.kind!r} is no fault; there are {', '.join(FAULTS)}")


class FakePagerDuty:
    """Use as a context manager. Everything it saw is in ``events``, ``refused`` and ``incidents``.

    ``now`` (seconds) is what the limit per minute is counted by; give it a manual clock's time where the code
    under test runs on one.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        routing_keys: tuple[str, ...] = (ROUTING_KEY,),
        limit_per_minute: int | None = None,
        now: Callable[[], float] = time.time,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self.events: list[Event] = []
        self.changes: list[dict[str, Any]] = []
        self.refused: list[tuple[int, Any]] = []
        self.incidents: dict[str, list[Incident]] = {}
        self.requests = 0
        self.webhooks_sent: list[bytes] = []
        self._routing_keys = routing_keys
        self._limit = limit_per_minute
        self._now = now
        self._on_event = on_event
        self._accepted_at: deque[float] = deque()
        self._plan: deque[Fault | None] = deque()
        self._always: Fault | None = None
        self._chances: tuple[random.Random, Mapping[str, float]] | None = None
        self._subscriptions: list[tuple[str, tuple[str, ...]]] = []
        self._guard = threading.RLock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    # --- life

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where events go."""
        return f"http://127.0.0.1:{self.port}/v2/enqueue"

    # --- what a test sets up

    def plan(self, *faults: Fault | str | None) -> None:
        """The next requests meet these, one each; ``None`` is good service."""
        with self._guard:
            self._plan.extend(Fault(f) if isinstance(f, str) else f for f in faults)

    def always(self, fault: Fault | str | None) -> None:
        """Every request meets this until told otherwise; ``None`` is good service."""
        with self._guard:
            self._always = Fault(fault) if isinstance(fault, str) else fault

    def random_faults(self, seed: int, percent: Mapping[str, float]) -> None:
        """Each request meets each fault with so many percent, from a seeded generator."""
        for kind in percent:
            Fault(kind)
        with self._guard:
            self._chances = (random.Random(seed), dict(percent))

    def subscribe(self, url: str, *secrets: str) -> None:
        """Send v3 webhooks to ``url``, signed with each of ``secrets`` (two while one is rotated)."""
        self._subscriptions.append((url, secrets))

    # --- what a test asks

    def incident(self, dedup_key: str) -> Incident | None:
        """The newest incident of that key."""
        with self._guard:
            known = self.incidents.get(dedup_key)
            return known[-1] if known else None

    def open_incidents(self) -> list[Incident]:
        with self._guard:
            return [i for known in self.incidents.values() for i in known if i.status != "resolved"]

    def actions(self, dedup_key: str) -> list[str]:
        """What was accepted for that key, in order."""
        with self._guard:
            return [event.action for event in self.events if event.dedup_key == dedup_key]

    def wait_for(self, condition: Callable[[FakePagerDuty], bool], seconds: float = 10.0) -> None:
        """Until ``condition`` holds; raises :class:`TimeoutError` when it does not in time."""
        deadline = time.monotonic() + seconds
        while not condition(self):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not in {seconds} s; {len(self.events)} events, {self.requests} requests")
            time.sleep(0.01)

    # --- what a person does in PagerDuty

    def acknowledge(self, dedup_key: str, person: str = "Ada Lovelace") -> None:
        self._person(dedup_key, "acknowledged", person)

    def resolve(self, dedup_key: str, person: str = "Ada Lovelace") -> None:
        self._person(dedup_key, "resolved", person)

    def _person(self, dedup_key: str, status: str, person: str) -> None:
        with self._guard:
            incident = self.incident(dedup_key)
            if incident is None or incident.status == "resolved":
                raise ValueError(f"no open incident of {dedup_key}")
            incident.status = status
            incident.actor = person
            incident.history.append(f"{status} by {person}")
        self._tell(f"incident.{status}", incident, person)

    def _tell(self, event_type: str, incident: Incident, person: str) -> None:
        body = webhook_body(event_type, incident, person)
        for url, secrets in self._subscriptions:
            request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
            request.add_header("X-PagerDuty-Signature", signature_header(body, *secrets))
            with urllib.request.urlopen(request, timeout=5):
                self.webhooks_sent.append(body)

    # --- the server's side

    def _next_fault(self) -> Fault | None:
        with self._guard:
            if self._plan:
                return self._plan.popleft()
            if self._always:
                return self._always
            if self._chances:
                generator, percent = self._chances
                draw = generator.random() * 100
                for kind, share in percent.items():
                    if draw < share:
                        return Fault(kind)
                    draw -= share
            return None

    def _accept(self, raw: bytes) -> tuple[int, dict[str, Any], dict[str, str]]:
        """PagerDuty's own judgement of one request."""
        with self._guard:
            now = self._now()
            while self._accepted_at and self._accepted_at[0] <= now - 60:
                self._accepted_at.popleft()
            if self._limit is not None and len(self._accepted_at) >= self._limit:
                self.refused.append((429, None))
                return 429, {"status": "throttle exceeded"}, {"Retry-After": "10"}
            try:
                body = json.loads(raw)
            except ValueError:
                body = None
            errors = problems(raw, body, self._routing_keys)
            if errors:
                self.refused.append((400, body))
                return (
                    400,
                    {"status": "invalid event", "message": "Event object is invalid", "errors": errors},
                    {},
                )
            self._accepted_at.append(now)
            event = Event(body["event_action"], body["dedup_key"], body, now)
            self.events.append(event)
            self._apply(event)
        if self._on_event:
            self._on_event(event)
        return 202, {"status": "success", "message": "Event processed", "dedup_key": event.dedup_key}, {}

    def _accept_change(self, raw: bytes) -> tuple[int, dict[str, Any], dict[str, str]]:
        with self._guard:
            try:
                body = json.loads(raw)
            except ValueError:
                body = None
            errors = change_problems(raw, body, self._routing_keys)
            if errors:
                self.refused.append((400, body))
                said = {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
                return 400, said, {}
            self.changes.append(body)
        return 202, {"status": "success", "message": "Change event processed"}, {}

    def _apply(self, event: Event) -> None:
        known = self.incidents.setdefault(event.dedup_key, [])
        current = known[-1] if known and known[-1].status != "resolved" else None
        if event.action == "trigger":
            if current is None:
                payload = event.body["payload"]
                number = sum(len(incidents) for incidents in self.incidents.values()) + 1
                current = Incident(
                    f"Q{number:06}", event.dedup_key, "triggered", payload["summary"], payload["severity"]
                )
                known.append(current)
            current.history.append("trigger")
        elif current is not None:
            current.status = {"acknowledge": "acknowledged", "resolve": "resolved"}[event.action]
            current.history.append(event.action)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                announced = int(self.headers.get("Content-Length", "0"))
                raw = self.rfile.read(announced)
                if len(raw) < announced:  # the sender died while it sent: no server takes that for a request
                    self.close_connection = True
                    return
                path = urlsplit(self.path).path
                if path not in ("/v2/enqueue", "/v2/change/enqueue"):
                    self._operate(path)
                    return
                with fake._guard:
                    fake.requests += 1
                fault = fake._next_fault()
                kind = fault.kind if fault else ""
                accept = fake._accept if path == "/v2/enqueue" else fake._accept_change
                if kind == "hang":
                    fake._closing.wait(60)
                    self.close_connection = True
                elif kind == "drop":
                    self._slam()
                elif kind == "drop_after":
                    accept(raw)
                    self._slam()
                elif kind == "drip":
                    self._drip()
                elif kind == "sign_in":
                    self._answer(200, b"<html>please sign in</html>", {"Content-Type": "text/html"})
                elif kind == "400":
                    fake.refused.append((400, json.loads(raw)))
                    self._json(
                        400,
                        {"status": "invalid event", "message": "Event object is invalid", "errors": ["no"]},
                    )
                elif fault and kind:
                    headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
                    self._json(int(kind), {"status": "error"}, headers)
                else:
                    self._json(*accept(raw))

            def do_GET(self) -> None:
                with fake._guard:
                    shown: Any = {
                        "/incidents": [vars(i) for known in fake.incidents.values() for i in known],
                        "/events": [vars(event) for event in fake.events],
                        "/changes": list(fake.changes),
                    }.get(urlsplit(self.path).path)
                self._json(404 if shown is None else 200, shown)

            def _operate(self, path: str) -> None:
                _, _, rest = path.partition("/incidents/")
                key, _, verb = rest.rpartition("/")
                try:
                    {"acknowledge": fake.acknowledge, "resolve": fake.resolve}[verb](unquote(key))
                except (KeyError, ValueError) as error:
                    self._json(404, {"error": str(error)})
                else:
                    self._json(200, {"status": "ok"})

            def _json(self, status: int, document: Any, headers: Mapping[str, str] | None = None) -> None:
                self._answer(status, json.dumps(document).encode(), headers or {})

            def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _drip(self) -> None:
                self.close_connection = True
                for byte in b"HTTP/1.1 202 Accepted\r\nX-Slow: " + b"y" * 60:
                    if fake._closing.wait(1):
                        return
                    try:
                        self.wfile.write(bytes([byte]))
                    except OSError:
                        return

            def _slam(self) -> None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        return Handler


def webhook_body(event_type: str, incident: Incident, person: str) -> bytes:
    """The v3 payload for a change of ``incident``."""
    return json.dumps(
        {
            "event": {
                "id": f"01{random.getrandbits(60):X}",
                "event_type": event_type,
                "resource_type": "incident",
                "occurred_at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "agent": {"id": "PUSER01", "summary": person, "type": "user_reference"},
                "client": None,
                "data": {
                    "id": incident.id,
                    "type": "incident",
                    "number": 1,
                    "status": incident.status,
                    "incident_key": incident.dedup_key,
                    "title": incident.title,
                    "service": {"id": "PSVC001", "summary": "Platform", "type": "service_reference"},
                    "urgency": "high",
                },
            }
        }
    ).encode()


def signature_header(body: bytes, *secrets: str) -> str:
    """``X-PagerDuty-Signature`` for ``body``, one signature per secret."""
    return ",".join(f"v1={hmac.new(s.encode(), body, hashlib.sha256).hexdigest()}" for s in secrets)


def problems(raw: bytes, body: Any, routing_keys: tuple[str, ...]) -> list[str]:
    """What PagerDuty would find wrong with an event."""
    if len(raw) > MAX_EVENT_BYTES:
        return ["event is larger than 512 KB"]
    if not isinstance(body, dict):
        return ["event is not JSON"]
    found = []
    if body.get("routing_key") not in routing_keys:
        found.append("'routing_key' is invalid")
    if body.get("event_action") not in ("trigger", "acknowledge", "resolve"):
        found.append("'event_action' is invalid")
    key = body.get("dedup_key")
    if not isinstance(key, str) or not 0 < len(key) <= 255:
        found.append("'dedup_key' is missing or too long")
    if body.get("event_action") == "trigger":
        found += _payload_problems(body.get("payload"))
        for link in body.get("links", []):
            if not str(link.get("href", "")).startswith(("http://", "https://")):
                found.append("'links' holds no URL")
    return found


def change_problems(raw: bytes, body: Any, routing_keys: tuple[str, ...]) -> list[str]:
    """What PagerDuty would find wrong with a change event: it has neither action, severity nor key."""
    if len(raw) > MAX_EVENT_BYTES:
        return ["event is larger than 512 KB"]
    if not isinstance(body, dict):
        return ["event is not JSON"]
    found = [] if body.get("routing_key") in routing_keys else ["'routing_key' is invalid"]
    payload = body.get("payload")
    if not isinstance(payload, dict):
        return [*found, "'payload' is missing or blank"]
    summary = payload.get("summary")
    if not isinstance(summary, str) or not 0 < len(summary.strip()) <= 1024:
        found.append("'payload.summary' is missing, blank or longer than 1024 characters")
    try:
        datetime.fromisoformat(str(payload.get("timestamp")))
    except ValueError:
        found.append("'payload.timestamp' is no time")
    if {"event_action", "dedup_key"} & body.keys():
        found.append("a change event has no action and no key")
    for link in body.get("links", []):
        if not str(link.get("href", "")).startswith(("http://", "https://")):
            found.append("'links' holds no URL")
    return found


def _payload_problems(payload: Any) -> list[str]:
    if not isinstance(payload, dict):
        return ["'payload' is missing or blank"]
    found = []
    for name in ("summary", "source"):
        if not isinstance(payload.get(name), str) or not payload[name].strip():
            found.append(f"'payload.{name}' is missing or blank")
    if len(str(payload.get("summary", ""))) > 1024:
        found.append("'payload.summary' is longer than 1024 characters")
    if payload.get("severity") not in SEVERITIES:
        found.append("'payload.severity' is invalid")
    if "timestamp" in payload:
        try:
            datetime.fromisoformat(payload["timestamp"])
        except ValueError:
            found.append("'payload.timestamp' is no time")
    return found


def main() -> None:
    """Run until Ctrl-C, printing each event."""
    parser = argparse.ArgumentParser(description="a PagerDuty on loopback")
    parser.add_argument("--port", type=int, default=9990)
    parser.add_argument("--routing-key", default=ROUTING_KEY)
    parser.add_argument("--limit", type=int, default=120, help="events a minute")
    parser.add_argument("--error-percent", type=float, default=0.0, help="so many requests get a 500")
    parser.add_argument("--webhook-url")
    parser.add_argument("--webhook-secret", default="")
    given = parser.parse_args()

    def show(event: Event) -> None:
        summary = event.body.get("payload", {}).get("summary", "")
        print(f"{event.action:<12} {event.dedup_key}  {summary}", flush=True)

    with FakePagerDuty(
        port=given.port, routing_keys=(given.routing_key,), limit_per_minute=given.limit, on_event=show
    ) as fake:
        if given.error_percent:
            fake.random_faults(0, {"500": given.error_percent})
        if given.webhook_url:
            fake.subscribe(given.webhook_url, given.webhook_secret)
        print(f"events go to {fake.url} (routing key {given.routing_key})", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
