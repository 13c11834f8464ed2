"""A Slack on loopback that keeps its channels' messages: chat.postMessage, chat.update, an incoming webhook.

It refuses what Slack refuses (a wrong token, an unknown channel, a message that is not there) and asserts
that texts are escaped and bounded. ``faults`` are used up one per request: a word of Slack's (``ok: false``),
a status with headers, or one of ``hang``, ``drip``, ``page`` and ``list`` (what is no answer), ``cut`` (the
request is carried out, and no answer comes).
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

TOKEN = "xoxb-1234-secret"
WEBHOOK_PATH = "/services/T0/B0/webhook-secret"
Fault = str | tuple[int, dict[str, str]]


@dataclass
class Message:
    """A message as it stands, with what it said before and where it belongs."""

    channel: str
    text: str
    thread_ts: str | None = None
    before: list[str] = field(default_factory=list)


@dataclass
class FakeSlack:
    """The workspace."""

    channels: dict[str, str] = field(default_factory=lambda: {"#ops": "C0OPS"})
    messages: dict[str, Message] = field(default_factory=dict)
    hooked: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    guard: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/"

    @property
    def webhook_url(self) -> str:
        return self.url + WEBHOOK_PATH

    def in_channel(self) -> list[Message]:
        return [message for message in self.messages.values() if message.thread_ts is None]

    def replies(self) -> list[str]:
        return [message.text for message in self.messages.values() if message.thread_ts is not None]

    def call(self, method: str, token: str, given: dict[str, Any]) -> dict[str, Any]:
        if token != TOKEN:
            return {"ok": False, "error": "invalid_auth"}
        channel = self.channels.get(given["channel"], given["channel"])
        if channel not in self.channels.values():
            return {"ok": False, "error": "channel_not_found"}
        _check(given["text"])
        if method == "chat.postMessage":
            assert given.get("thread_ts") is None or given["thread_ts"] in self.messages
            ts = f"1767582000.{len(self.messages):06d}"
            self.messages[ts] = Message(channel, given["text"], given.get("thread_ts"))
            return {"ok": True, "channel": channel, "ts": ts}
        assert method == "chat.update"
        assert given["channel"] == channel, "chat.update takes only a channel's id"
        message = self.messages.get(given["ts"])
        if message is None:
            return {"ok": False, "error": "message_not_found"}
        message.before.append(message.text)
        message.text = given["text"]
        return {"ok": True, "channel": channel, "ts": given["ts"]}


def _check(text: str) -> None:
    assert len(text) <= 4000
    assert not set("<>") & set(re.sub(r"<https?://[^\s<>|]+\|[^<>]+>", "", text)), "not escaped"
    assert not re.search(r"&(?!amp;|lt;|gt;)", text), "not escaped"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        fake = cast("_Server", self.server).fake
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method = self.path.removeprefix("/api/")
        with fake.guard:
            fake.requests.append(method)
            fault = fake.faults.pop(0) if fake.faults else None
            if fault is not None and fault != "cut":
                return self._fail(fake, fault)
            if self.path == WEBHOOK_PATH:
                _check(given["text"])
                fake.hooked.append(given["text"])
                answer = b"ok"
            else:
                token = self.headers["Authorization"].removeprefix("Bearer ")
                answer = json.dumps(fake.call(method, token, given)).encode()
        if fault == "cut":
            self.close_connection = True
            return None
        return self._answer(200, answer)

    def _fail(self, fake: FakeSlack, fault: Fault) -> None:
        if isinstance(fault, tuple):
            return self._answer(fault[0], b"trouble", fault[1])
        if fault == "page":
            return self._answer(200, b"<html>log in first: " + TOKEN.encode() + b"</html>")
        if fault == "list":
            return self._answer(200, b"[1]")
        if fault == "hang":
            fake.ended.wait(30)
            return None
        if fault == "drip":
            self.send_response(200)
            self.send_header("Content-Length", "500")
            self.end_headers()
            with suppress(OSError):
                for _ in range(500):
                    self.wfile.write(b" ")
                    if fake.ended.wait(0.05):
                        break
            return None
        if self.path == WEBHOOK_PATH:
            return self._answer(400, fault.encode())
        return self._answer(200, json.dumps({"ok": False, "error": fault}).encode())

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    fake: FakeSlack


@contextmanager
def serving(fake: FakeSlack) -> Iterator[FakeSlack]:
    """Run it; its addresses are those of ``fake``."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.fake = fake
        fake.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield fake
        finally:
            fake.ended.set()
            server.shutdown()
            thread.join(5)
