"""Calls the web application without a network, and roles that answer what a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from watchkeeper.app.wire import WireError
from watchkeeper.console.server import create_app
from watchkeeper.store.clock import Clock, SystemClock


@dataclass(frozen=True)
class Answer:
    """What came back; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Answering:
    """Roles that answer from a table, by question; what is not in it is not running."""

    def __init__(self, **answers: bytes | WireError | Exception) -> None:
        self.answers: dict[str, bytes | WireError | Exception] = dict(answers)
        self.asked: list[tuple[str, Mapping[str, Any], float]] = []

    async def watch(self, question: str, asked: Mapping[str, Any], timeout_seconds: float) -> bytes:
        return self._answer(f"watch_{question}", question, asked, timeout_seconds)

    async def work(self, question: str, asked: Mapping[str, Any], timeout_seconds: float) -> bytes:
        return self._answer(f"work_{question}", question, asked, timeout_seconds)

    def _answer(self, own: str, question: str, asked: Mapping[str, Any], timeout_seconds: float) -> bytes:
        self.asked.append((question, asked, timeout_seconds))
        found = self.answers.get(own, self.answers.get(question, WireError("the role is not running")))
        if isinstance(found, Exception):
            raise found
        return found


def call(
    roles: Answering,
    path: str,
    *,
    method: str = "GET",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    hang: bool = False,
    leave: bool = False,
    application: ASGIApp | None = None,
) -> Answer:
    """One request. ``hang``: the body never ends; ``leave``: the client goes away in the middle of it."""
    application = application or create_app(roles, clock or SystemClock(), CollectorRegistry())
    where, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": where,
        "raw_path": where.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        "server": ("127.0.0.1", 8321),
        "client": ("127.0.0.1", 50000),
    }
    sent: list[Any] = []

    async def run() -> None:
        pieces = [body[i : i + 65536] for i in range(0, len(body), 65536)] or [b""]

        async def receive() -> dict[str, Any]:
            if pieces:
                piece = pieces.pop(0)
                more = bool(pieces) or hang or leave
                return {"type": "http.request", "body": piece, "more_body": more}
            if leave:
                return {"type": "http.disconnect"}
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Any) -> None:
            sent.append(message)

        await application(scope, receive, send)

    try:
        asyncio.run(asyncio.wait_for(run(), 20))
    except Exception:
        if not sent:  # a defect is raised again for the server's log, once it has been answered
            raise
    start = sent[0]
    return Answer(
        start["status"],
        {name.decode(): value.decode() for name, value in start["headers"]},
        b"".join(message.get("body", b"") for message in sent[1:]),
    )
