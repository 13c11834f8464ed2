"""A whole console over a real store, with an account of each role signed in, called without a network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from sqlalchemy import insert

from watchkeeper.access import sessions, tokens, users
from watchkeeper.access.models import Role, Scope
from watchkeeper.app import inforce
from watchkeeper.app.settings import Settings
from watchkeeper.app.wire import WireError
from watchkeeper.console.console import Console
from watchkeeper.console.gate import NAME
from watchkeeper.console.server import create_app
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store, open_store
from watchkeeper.store.models import alerts

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
"""A Wednesday."""
URL = "http://watch.test"
RUNBOOK = """\
runbook: 1
platform: Island
contacts:
  - {id: ada, name: "Ada <b>", email: ada@example.org, phone: "+49 30 1", timezone: Europe/Berlin}
  - {id: ben, name: Ben, slack: "@ben"}
  - {id: cleo, name: Cleo, email: cleo@example.org}
oncall:
  default: platform
  rotas:
    - id: platform
      title: Platform on call
      timezone: Europe/Berlin
      layers:
        - {id: weekly, participants: [ben, ada], start: 2026-02-23T09:00:00+01:00}
    - id: office
      title: Office hours
      layers:
        - {id: day, participants: [cleo], hours: ["mon-fri 09:00-17:00"]}
notifications:
  receivers:
    - id: pager
      title: The pager
      webhook: {url: "https://pager.test/hook?key=SECRETINURL", secret: {env: PAGER_SECRET}}
    - {id: duty, pagerduty: {routing_key: {env: DUTY_KEY}}}
"""


class Silent:
    """Roles that do not run."""

    async def watch(self, *_: object) -> bytes:
        raise WireError("the role watch is not running")

    work = watch


@dataclass
class Site:
    """The console at :data:`NOW`, and whoever looks at it."""

    store: Store
    clock: ManualClock
    client: TestClient
    sessions: dict[Role, str] = field(default_factory=dict)
    people: dict[Role, int] = field(default_factory=dict)

    def get(self, path: str, as_: Role | None = Role.VIEWER, **headers: str) -> httpx.Response:
        """What ``path`` shows to somebody of that role; None: to nobody who is signed in."""
        return self._send("GET", path, as_, headers)

    def post(
        self,
        path: str,
        data: Mapping[str, Any] | None = None,
        as_: Role | None = Role.RESPONDER,
        **headers: str,
    ) -> httpx.Response:
        """A form sent from our own page; ``sec_fetch_site`` for one sent from elsewhere."""
        return self._send("POST", path, as_, {"sec_fetch_site": "same-origin", **headers}, data or {})

    def _send(
        self,
        method: str,
        path: str,
        as_: Role | None,
        headers: Mapping[str, str],
        data: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named.setdefault("accept", "text/html")
        if as_ is not None:
            named["cookie"] = f"{NAME}={self.sessions[as_]}"
        self.client.cookies.clear()
        answer: httpx.Response = self.client.request(
            method, path, headers=named, data=data, follow_redirects=False
        )
        return answer

    def token(self, *scopes: Scope, name: str = "calendar") -> str:
        """A new API token."""
        from datetime import timedelta

        with self.store.write() as conn:
            now = self.clock.now()
            ends = now + timedelta(days=30)
            return tokens.create(conn, now, name=name, scopes=scopes, expires_at=ends, by="person:root")

    def entries(self, kind: str = "*") -> list[journal.Entry]:
        """The journal's entries of ``kind``, oldest first."""
        with self.store.read() as conn:
            return journal.entries(conn, journal.Filter(kind=kind), 1000)

    def alert(self, name: str, state: str = "firing", **labels: str) -> None:
        """An alert in the store."""
        with self.store.write() as conn:
            conn.execute(
                insert(alerts).values(
                    fingerprint=f"f-{name}",
                    rule=name,
                    alertname=name,
                    severity=labels.get("severity", "page"),
                    labels={"alertname": name, **labels},
                    annotations={"summary": f"{name} is <b>over</b> its line"},
                    state=state,
                    active_at=NOW,
                    fired_at=NOW if state == "firing" else None,
                    episode="e1",
                )
            )


@contextmanager
def site(
    tmp_path: Path, runbook: str = RUNBOOK, *, url: str = URL, place: Path | str | None = None
) -> Iterator[Site]:
    """A console; its accounts are ``viewer``, ``ada`` (responder, a contact) and ``root`` (admin)."""
    clock = ManualClock(NOW)
    settings = Settings(tmp_path / "runbook.yaml", None, tmp_path, "127.0.0.1", 8321, url)
    document = {"runbook": runbook, "overlay": None, "digest": ""}
    if runbook:
        (tmp_path / inforce.FILE_NAME).write_text(json.dumps(document))
    with open_store(place or tmp_path, clock) as store:
        app = create_app(Console(settings, store, Silent(), clock), CollectorRegistry())
        with TestClient(app, base_url=url, raise_server_exceptions=False) as client:
            it = Site(store, clock, client)
            for role, username in ((Role.VIEWER, "viewer"), (Role.RESPONDER, "ada"), (Role.ADMIN, "root")):
                with store.write() as conn:
                    it.people[role] = users.create(
                        conn, NOW, username=username, name=username.title(), role=role, by="component:access"
                    )
                    it.sessions[role] = sessions.open_session(
                        conn, NOW, it.people[role], "password", "Firefox"
                    )
            yield it


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)


def text_of(response: httpx.Response) -> str:
    """What a page says, in one line."""
    parser = _Texts()
    parser.feed(response.text)
    return re.sub(r"\s+", " ", " ".join(parser.found))


def said(response: httpx.Response) -> str:
    """The sentence that the next page will show."""
    found = re.search(r"watchkeeper-flash=([^;]*)", response.headers.get("set-cookie", ""))
    return unquote(found[1]) if found else ""
