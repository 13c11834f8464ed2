"""Calls the web application without a network, and roles that answer what a test says."""

from __future__ import annotations

import asyncio
import atexit
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from watchkeeper.access import sessions, tokens, users
from watchkeeper.access.models import SCOPES_OF, Role, Scope
from watchkeeper.app import inforce
from watchkeeper.app.policy import load_policy
from watchkeeper.app.settings import Settings
from watchkeeper.app.wire import WireError
from watchkeeper.console.console import Console
from watchkeeper.console.gate import NAME
from watchkeeper.console.server import create_app
from watchkeeper.runbook.loading import LoadedRunbook
from watchkeeper.store.clock import Clock, SystemClock
from watchkeeper.store.database import Store, open_store


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


class Grounds:
    """A data directory with a store and an account for each role: where requests of tests are made.

    ``cookies`` and ``tokens`` are by role; the usernames are the roles' names.
    """

    def __init__(
        self,
        data: Path,
        clock: Clock | None = None,
        url: str = "http://127.0.0.1:8321",
        accounts: bool = True,
    ) -> None:
        self.clock = clock or SystemClock()
        self.settings = Settings(data / "runbook.yaml", None, data, "127.0.0.1", 8321, url)
        self.store: Store = open_store(data, self.clock)
        self.cookies: dict[Role, str] = {}
        self.tokens: dict[Role, str] = {}
        now = self.clock.now()
        with self.store.write() as conn:
            for role in Role if accounts else ():
                name, by = role.value, "component:test"
                user = users.create(conn, now, username=name, name=name.title(), role=role, by=by)
                self.cookies[role] = sessions.open_session(conn, now, user, "link")
                self.tokens[role] = tokens.create(
                    conn, now, name=name, scopes=_scopes(role), expires_at=now + timedelta(days=1), by=by
                )

    def put_in_force(self, text: str) -> LoadedRunbook:
        """Let ``text`` be the runbook in force, as the role ``watch`` does."""
        self.settings.runbook.write_text(text)
        loaded = load_policy(self.settings)
        inforce.keep(self.settings, loaded)
        return loaded

    def app(self, roles: Answering, clock: Clock | None = None) -> ASGIApp:
        """The application over this store, asking ``roles``."""
        console = Console(self.settings, self.store, roles, clock or self.clock)
        return create_app(console, CollectorRegistry())


def _scopes(role: Role) -> list[Scope]:
    return sorted(SCOPES_OF[role])


@cache
def grounds() -> Grounds:
    """One store for all tests that change nothing in it."""
    folder = TemporaryDirectory(prefix="watchkeeper-test-")
    found = Grounds(Path(folder.name))
    atexit.register(folder.cleanup)
    atexit.register(found.store.close)
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
    on: Grounds | None = None,
    as_: Role | None = Role.ADMIN,
    token: bool = False,
) -> Answer:
    """One request. ``hang``: the body never ends; ``leave``: the client goes away in the middle of it.

    It is made ``on`` those grounds ``as_`` somebody of that role (None: nobody), with the cookie of a session
    and from a page of ours, or with an API ``token``.
    """
    on = on or grounds()
    application = application or on.app(roles, clock)
    given = dict(headers or {})
    if as_ is not None and token:
        given.setdefault("Authorization", f"Bearer {on.tokens[as_]}")
    elif as_ is not None:
        given.setdefault("Cookie", f"{NAME}={on.cookies[as_]}")
        given.setdefault("Sec-Fetch-Site", "same-origin")
    headers = given
    where, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(where),
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
