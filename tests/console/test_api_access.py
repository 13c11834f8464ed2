"""Accounts, tokens and sessions over the API: nobody gives what they do not have, and secrets show once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp

from tests.console.asgi import Answer, Answering, Grounds, call
from tests.console.platform import watching
from watchkeeper.access import tokens
from watchkeeper.access.models import Role, Scope
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Asking:
    """Requests on fresh grounds."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(NOW)
        self.on = Grounds(folder, self.clock)
        self.roles: Answering = watching()
        self.app: ASGIApp = self.on.app(self.roles)

    def __call__(
        self, method: str, path: str, body: Any = None, *, bearer: str | None = None, **more: Any
    ) -> Answer:
        headers = {"Content-Type": "application/json", **more.pop("headers", {})}
        if bearer is not None:
            more["as_"], headers["Authorization"] = None, f"Bearer {bearer}"
        content = b"" if body is None else json.dumps(body).encode()
        more |= {"on": self.on, "application": self.app}
        return call(self.roles, path, method=method, body=content, headers=headers, **more)

    def token(self, *scopes: Scope, name: str = "narrow") -> str:
        with self.on.store.write() as conn:
            return tokens.create(
                conn, NOW, name=name, scopes=scopes, expires_at=NOW + timedelta(days=1), by="component:x"
            )

    def journal(self) -> list[journal.Entry]:
        with self.on.store.read() as conn:
            return journal.entries(conn, limit=1000)


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Asking]:
    asking = Asking(tmp_path)
    yield asking
    asking.on.store.close()


def test_a_token_is_shown_once_works_and_ends_at_once_when_revoked(ask: Asking) -> None:
    made = ask("POST", "/api/tokens", {"name": "ci", "scopes": ["read"], "days": 30})
    assert made.status == 201
    text = made.json["token"]
    assert ask("GET", "/api/whoami", bearer=text).json == {
        "kind": "token", "name": "ci", "display": "ci", "role": None, "scopes": ["read"],
    }  # fmt: skip
    assert text not in ask("GET", "/api/tokens").body.decode()
    assert text not in str(ask.journal())
    assert ask("GET", "/api/users", bearer=text).status == 403
    assert ask("POST", f"/api/tokens/{made.json['id']}/revoke").json["state"] == "revoked"
    refused = ask("GET", "/api/whoami", bearer=text)
    assert (refused.status, refused.json["errorType"]) == (401, "unauthorized")
    assert ask("POST", f"/api/tokens/{made.json['id']}/revoke").status == 409


def test_a_token_ends_by_itself(ask: Asking) -> None:
    text = ask.token(Scope.READ)
    assert ask("GET", "/api/alerts", bearer=text).status == 200
    ask.clock.advance(86400)
    assert ask("GET", "/api/alerts", bearer=text).status == 401


@pytest.mark.parametrize("text", ["", "wk_", "wk_x", "wk_" + "x" * 5000, "nonsense", "wk_\u00e4"])
def test_a_token_that_is_none(ask: Asking, text: str) -> None:
    assert ask("GET", "/api/whoami", bearer=text).status == 401


def test_nobody_gives_what_they_do_not_have(ask: Asking) -> None:
    narrow = ask.token(Scope.ADMIN)
    before = ask.journal()
    for method, path, body in (
        ("POST", "/api/tokens", {"name": "wide", "scopes": ["respond"], "days": 1}),
        ("POST", "/api/users", {"username": "eve", "role": "admin"}),
        ("PATCH", "/api/users/viewer", {"role": "responder"}),
        ("POST", "/api/users/admin/link", None),
    ):
        refused = ask(method, path, body, bearer=narrow)
        assert (refused.status, refused.json["errorType"]) == (403, "forbidden"), path
        assert "lacks" in refused.json["error"]
    assert [entry.hash for entry in ask.journal()] == [entry.hash for entry in before]
    made = ask("POST", "/api/tokens", {"name": "same", "scopes": ["admin"], "days": 1}, bearer=narrow)
    assert made.status == 201
    assert ask.journal()[-1].actor == "token:narrow"


def test_an_account_from_the_beginning_to_the_end(ask: Asking) -> None:
    made = ask("POST", "/api/users", {"username": "grace", "name": "Grace <b>", "role": "responder"})
    assert (made.status, made.json["role"], made.json["has_password"]) == (201, "responder", False)
    link = ask("POST", "/api/users/grace/link")
    assert link.json["url"].startswith("http://127.0.0.1:8321/sign-in/link/")
    secret = link.json["url"].rsplit("/", 1)[1]
    assert secret not in str(ask.journal())
    assert ask("POST", "/api/users", {"username": "grace", "role": "viewer"}).status == 409
    assert ask("PATCH", "/api/users/grace", {"role": "viewer"}).json["role"] == "viewer"
    assert ask("PATCH", "/api/users/grace", {"enabled": False}).json["enabled"] is False
    assert ask("POST", "/api/users/grace/link").status == 409
    assert ask("PATCH", "/api/users/grace", {"enabled": True}).json["enabled"] is True
    assert ask("PATCH", "/api/users/nobody", {"enabled": True}).status == 404


def test_the_last_admin_stays(ask: Asking) -> None:
    for body in ({"role": "viewer"}, {"enabled": False}):
        refused = ask("PATCH", "/api/users/admin", body)
        assert (refused.status, refused.json["errorType"]) == (409, "conflict")
    assert ask("GET", "/api/users").status == 200


def test_sessions_are_seen_and_ended(ask: Asking) -> None:
    mine = ask("GET", "/api/sessions", as_=Role.VIEWER).json["sessions"]
    assert [one["own"] for one in mine] == [True]
    theirs = ask("GET", "/api/users/responder/sessions").json["sessions"]
    assert ask("POST", f"/api/sessions/{theirs[0]['id']}/end", as_=Role.VIEWER).status == 404
    assert ask("POST", f"/api/sessions/{mine[0]['id']}/end", as_=Role.VIEWER).json == {"ended": 1}
    assert ask("GET", "/api/sessions", as_=Role.VIEWER).status == 401
    assert ask("POST", "/api/users/responder/sessions/end").json == {"ended": 1}
    assert ask.journal()[-1].actor == "person:admin"
    assert ask("GET", "/api/sessions", as_=Role.RESPONDER).status == 401
    assert ask("GET", "/api/sessions", bearer=ask.on.tokens[Role.VIEWER]).json == {"sessions": []}


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8321"},
    ],
)
def test_a_change_with_a_cookie_comes_only_from_our_pages(ask: Asking, headers: dict[str, str]) -> None:
    before = len(ask.journal())
    refused = ask("POST", "/api/users", {"username": "eve", "role": "viewer"}, headers=headers)
    assert refused.status == 403
    assert len(ask.journal()) == before


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/users", {"username": "<script>", "role": "viewer"}),
        ("/api/users", {"username": "x" * 65, "role": "viewer"}),
        ("/api/users", {"username": "a", "role": "king"}),
        ("/api/users", {"username": "a", "role": "viewer", "password": "not here"}),
        ("/api/users", {"username": 7, "role": "viewer"}),
        ("/api/users", {"username": "a", "name": "nul \0", "role": "viewer"}),
        ("/api/users", []),
        ("/api/users", None),
        ("/api/tokens", {"name": "a", "scopes": [], "days": 1}),
        ("/api/tokens", {"name": "a", "scopes": ["root"], "days": 1}),
        ("/api/tokens", {"name": "a", "scopes": ["read"]}),
        ("/api/tokens", {"name": "a", "scopes": ["read"], "days": 1e400}),
        ("/api/tokens", {"name": "a", "scopes": ["read"], "days": 367}),
        ("/api/tokens", {"name": "a", "scopes": ["read"], "days": 1, "expires_at": "2026-04-01T00:00:00Z"}),
        ("/api/tokens", {"name": "a", "scopes": ["read"], "expires_at": "2026-04-01T00:00:00"}),
        ("/api/tokens", {"name": "a", "scopes": ["read"], "expires_at": "2099-04-01T00:00:00Z"}),
        ("/api/tokens", {"name": "../x", "scopes": ["read"], "days": 1}),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(ask: Asking, path: str, body: Any) -> None:
    before = len(ask.journal())
    refused = ask("POST", path, body)
    assert (refused.status, refused.json["status"], refused.json["errorType"]) == (400, "error", "bad_data")
    assert refused.json["error"]
    assert "not here" not in refused.body.decode()
    assert len(ask.journal()) == before


@pytest.mark.parametrize(
    "body", [b"{", b"\xff\xfe", b"[" * 100_000, b'{"username": ' + b"9" * 5000 + b"}", b'"\\ud800"']
)
def test_a_body_that_is_no_json(ask: Asking, body: bytes) -> None:
    refused = call(
        ask.roles, "/api/users", method="POST", body=body, on=ask.on, application=ask.app,
        headers={"Content-Type": "application/json"},
    )  # fmt: skip
    assert (refused.status, refused.json["errorType"]) == (400, "bad_data")


def test_a_person_sets_their_own_password_and_a_token_has_none(ask: Asking) -> None:
    path, first, second = "/api/account/password", "a first long password", "a second long password"
    assert ask("PUT", path, {"new": "short"}).status == 400
    assert ask("PUT", path, {"new": first}).status == 204
    ask.clock.advance(31 * 60)  # the link with which they came in no longer counts
    wrong = ask("PUT", path, {"current": "not it, not it", "new": second})
    assert (wrong.status, wrong.json["error"]) == (400, "the current password is wrong")
    assert ask("PUT", path, {"current": first, "new": second}).status == 204
    statuses = [ask("PUT", path, {"current": f"guess {n} of them", "new": first}) for n in range(8)]
    assert statuses[-1].status == 429
    assert int(statuses[-1].headers["retry-after"]) > 0
    refused = ask("PUT", path, {"new": first}, bearer=ask.token(Scope.READ))
    assert (refused.status, refused.json["error"]) == (403, "a token has no password")
    told = [entry for entry in ask.journal() if entry.kind.startswith("access.")]
    assert first not in str(told)
    assert second not in str(told)
