"""Telling of changes over the API: by whom it may, once per key, within bounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.console.asgi import Answer, Answering, Grounds, call
from watchkeeper.access import tokens
from watchkeeper.access.models import Role, Scope
from watchkeeper.runbook.loading import default_text
from watchkeeper.store import journal, outbox
from watchkeeper.store.clock import ManualClock

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DEPLOY = {"key": "deploy-7", "kind": "deploy", "title": "Faster uploads", "service": "backend", "env": "prod"}


class There:
    """Requests on grounds with the default runbook and one PagerDuty receiver in force."""

    def __init__(self, on: Grounds) -> None:
        self.on = on
        self.roles = Answering()
        self.app = on.app(self.roles)

    def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        return call(
            self.roles,
            path,
            method=method,
            body=b"" if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **more.pop("headers", {})},
            on=self.on,
            application=self.app,
            **{"as_": Role.RESPONDER, "token": True, **more},
        )


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    on = Grounds(tmp_path_factory.mktemp("changes"), ManualClock(NOW))
    on.put_in_force(default_text())
    yield There(on)
    on.store.close()


def test_a_change_is_recorded_once_and_listed(there: There) -> None:
    made = there("POST", "/api/changes", DEPLOY)
    assert (made.status, made.json["fresh"], made.json["by"]) == (201, True, "responder")
    again = there("POST", "/api/changes", {**DEPLOY, "title": "Other words"})
    assert (again.status, again.json["fresh"], again.json["title"]) == (200, False, "Faster uploads")
    assert again.json["id"] == made.json["id"]
    listed = there("GET", "/api/changes?service=backend").json["changes"]
    assert [one["title"] for one in listed if one["source"] == "reported"] == ["Faster uploads"]
    assert there("GET", "/api/changes?service=worker").json["changes"] == []
    with there.on.store.read() as conn:
        entry = journal.entries(conn, journal.Filter(kind="change.recorded"))[-1]
        waits = outbox.backlog(conn)
    assert entry.actor == "token:responder"
    assert {name: count for name, (count, _) in waits.items()} == {"pagerduty": 1}


def test_a_pipeline_needs_one_scope_and_may_nothing_else(there: There) -> None:
    with there.on.store.write() as conn:
        text = tokens.create(
            conn, NOW, name="ci", scopes=[Scope.CHANGES], expires_at=datetime(2026, 4, 1, tzinfo=UTC), by="x"
        )
    headers = {"Authorization": f"Bearer {text}"}
    told = there("POST", "/api/changes", {**DEPLOY, "key": "ci-1"}, as_=None, headers=headers)
    assert (told.status, told.json["by"]) == (201, "ci")
    assert there("GET", "/api/changes", as_=None, headers=headers).status == 403
    assert there("POST", "/api/silences", {}, as_=None, headers=headers).status == 403
    assert there("POST", "/api/changes", DEPLOY, as_=Role.VIEWER).status == 403


@pytest.mark.parametrize(
    "given",
    [
        {"key": ""},
        {"key": "k" * 201},
        {"kind": "rumour"},
        {"title": " "},
        {"at": "2026-03-03T12:00:00Z"},
        {"at": "2026-03-02T12:00:00"},
        {"url": "ftp://example.com"},
        {"details": {"x": "y" * 20_000}},
        {"details": []},
        {"service": ""},
        {"colour": "red"},
    ],
)
def test_what_cannot_be_recorded_is_400_and_changes_nothing(there: There, given: dict[str, Any]) -> None:
    with there.on.store.read() as conn:
        before = journal.head(conn)
    refused = there("POST", "/api/changes", {**DEPLOY, "key": "fresh", **given})
    assert (refused.status, refused.json["status"]) == (400, "error")
    with there.on.store.read() as conn:
        assert journal.head(conn) == before
