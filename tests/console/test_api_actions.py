"""Taking alerts, silencing and standing in over the API: who did it is recorded, nonsense changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.types import ASGIApp

from tests.console.asgi import Answer, Answering, Grounds, call
from tests.console.platform import FIRING, PENDING, furnish, watching
from watchkeeper.access.models import Role
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
EVIL = "<script>alert(1)</script>"
SILENCE = {"matchers": ["service=backend"], "duration": "1h", "reason": "a disk is being changed"}


class There:
    """Requests on grounds where something is going on."""

    def __init__(self, on: Grounds) -> None:
        self.on = on
        self.roles: Answering = watching()
        self.app: ASGIApp = on.app(self.roles)

    def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        content = b"" if body is None else json.dumps(body).encode()
        more = {"as_": Role.RESPONDER, "token": True, **more}
        headers = {"Content-Type": "application/json"}
        return call(
            self.roles,
            path,
            method=method,
            body=content,
            headers=headers,
            on=self.on,
            application=self.app,
            **more,
        )

    def last(self) -> journal.Entry:
        with self.on.store.read() as conn:
            return journal.entries(conn, limit=1)[0]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    on = Grounds(tmp_path_factory.mktemp("actions"), ManualClock(NOW))
    furnish(on)
    yield There(on)
    on.store.close()


def test_who_did_it_is_recorded_person_and_token_alike(there: There) -> None:
    made = there("POST", "/api/silences", {**SILENCE, "reason": EVIL}, token=False)
    assert (made.status, made.json["silence"]["created_by"]) == (201, "responder")
    assert there.last().actor == "person:responder"
    assert there.last().facts["reason"] == EVIL
    made = there("POST", "/api/silences", SILENCE)
    assert made.json["silence"]["created_by"] == "token:responder"
    assert there.last().actor == "token:responder"
    assert made.json["hidden_count"] == 2
    ended = there("POST", f"/api/silences/{made.json['silence']['id']}/end")
    assert (ended.json["state"], there.last().kind) == ("over", "silence.ended")
    again = there("POST", f"/api/silences/{made.json['silence']['id']}/end")
    assert (again.status, again.json["errorType"]) == (409, "conflict")


def test_an_alert_is_taken_once_and_only_while_it_fires(there: There) -> None:
    assert there("POST", f"/api/alerts/{PENDING}/acknowledge", {}).status == 409
    assert there("POST", "/api/alerts/nowhere/acknowledge", {}).status == 404
    taken = there("POST", f"/api/alerts/{FIRING}/acknowledge", {"note": f"I look {EVIL}"})
    assert taken.json == {"alertnames": ["ApiErrorRatePage"], "receivers": [], "already": []}
    assert there.last().facts["note"] == f"I look {EVIL}"
    again = there("POST", "/api/alerts/acknowledge", {"fingerprints": [FIRING, "nowhere"]})
    assert again.json == {"alertnames": [], "receivers": [], "already": ["token:responder"]}
    history = there("GET", f"/api/alerts/{FIRING}/history").json["entries"]
    assert [entry["kind"] for entry in history] == ["alert.acknowledged", "alert.firing"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 2),
        ("state=firing", 1),
        ("severity=warn", 0),
        ("text=BACKEND", 2),
        ("text=nowhere", 0),
        ("earlier=true", 3),
        ("earlier=true&state=resolved", 1),
    ],
)
def test_alerts_are_filtered(there: There, query: str, found: int) -> None:
    assert len(there("GET", f"/api/alerts?{query}").json["alerts"]) == found


def test_figures_that_json_cannot_say_are_words(there: There) -> None:
    values = {one["value"] for one in there("GET", "/api/alerts?earlier=true").json["alerts"]}
    assert values == {"+Inf", "NaN"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/silences", {**SILENCE, "matchers": []}),
        ("/api/silences", {**SILENCE, "matchers": ["nonsense"]}),
        ("/api/silences", {**SILENCE, "matchers": ["a=~("]}),
        ("/api/silences", {**SILENCE, "matchers": ["a=~.*"]}),
        ("/api/silences", {**SILENCE, "matchers": ["a=b"] * 51}),
        ("/api/silences", {**SILENCE, "matchers": ["a=" + "x" * 2000]}),
        ("/api/silences", {**SILENCE, "reason": ""}),
        ("/api/silences", {**SILENCE, "reason": "nul \0"}),
        ("/api/silences", {**SILENCE, "reason": 7}),
        ("/api/silences", {**SILENCE, "duration": "forever"}),
        ("/api/silences", {**SILENCE, "duration": "999999999999y"}),
        ("/api/silences", {**SILENCE, "duration": "400d"}),
        ("/api/silences", {**SILENCE, "ends_at": "2026-03-03T00:00:00Z"}),
        ("/api/silences", {"matchers": ["a=b"], "reason": "x", "ends_at": "9999-12-31T23:59:59Z"}),
        ("/api/silences", {"matchers": ["a=b"], "reason": "x", "ends_at": "2026-03-01T00:00:00Z"}),
        ("/api/silences", {**SILENCE, "surprise": 1}),
        ("/api/silences/preview", {**SILENCE, "matchers": ["nonsense"]}),
        ("/api/alerts/acknowledge", {"fingerprints": []}),
        ("/api/alerts/acknowledge", {"fingerprints": ["a"] * 1001}),
        ("/api/alerts/acknowledge", {"fingerprints": [FIRING], "note": "x" * 1001}),
        ("/api/oncall/overrides", {"contact": "nobody", "end": "2026-03-02 20:00"}),
        ("/api/oncall/overrides", {"contact": "primary", "end": "soon"}),
        ("/api/oncall/overrides", {"contact": "primary", "end": "2026-03-02 10:00"}),
        ("/api/oncall/overrides", {"contact": "primary", "end": "2026-09-02 10:00"}),
        ("/api/oncall/overrides", {"contact": "primary", "end": "2026-03-02 20:00", "rota": EVIL}),
        ("/api/oncall/overrides", {"contact": "primary", "end": "2026-03-02 20:00", "reason": "x" * 600}),
        ("/api/oncall/overrides", {"contact": "primary"}),
    ],
)
def test_what_makes_no_sense_changes_nothing(there: There, path: str, body: Any) -> None:
    before = there.last().seq
    refused = there("POST", path, body)
    assert (refused.status, refused.json["status"], refused.json["errorType"]) == (400, "error", "bad_data")
    assert there.last().seq == before


@pytest.mark.parametrize(
    "path",
    [
        "/api/alerts?state=burning",
        f"/api/alerts?text={'x' * 201}",
        "/api/silences/0",
        "/api/silences/99999999999999999999",
        "/api/silences/one",
        "/api/oncall/schedule?weeks=0",
        "/api/oncall/schedule?weeks=105",
        "/api/oncall/schedule?from=yesterday",
        "/api/oncall/schedule?rota=nowhere",
        "/api/journal?limit=0",
        "/api/journal?limit=1001",
        "/api/journal?since=never",
        "/api/journal?by=god",
        "/api/journal?before=-1",
        "/api/journal/tail?after=99999999999999999999",
        "/api/journal/verify?anchor=1",
        "/api/targets?limit=1000000",
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(there: There, path: str) -> None:
    refused = there("GET", path)
    assert (refused.status, refused.json["errorType"]) == (400, "bad_data")
    assert refused.json["error"]


def test_the_journal_is_followed_and_proved(there: There) -> None:
    first = there("GET", "/api/journal/tail?limit=3").json
    assert [entry["seq"] for entry in first["entries"]] == [1, 2, 3]
    rest = there("GET", "/api/journal/tail?after=3&limit=1000").json
    assert rest["entries"][-1]["seq"] == rest["head"] == there.last().seq
    report = there("GET", "/api/journal/verify").json
    assert (report["intact"], report["head"]) == (True, there.last().hash)
    known = f"{report['entries']}:{report['head']}"
    assert there("GET", f"/api/journal/verify?anchor={known}").json["intact"] is True
    assert there("GET", f"/api/journal/verify?anchor=1:{'0' * 64}").json["broken"] == 1


def test_standing_in_is_made_listed_and_taken_back(there: There) -> None:
    made = there("POST", "/api/oncall/overrides", {"contact": "primary", "end": "2026-03-02 20:00"})
    assert (made.status, made.json["created_by"]) == (201, "token:responder")
    listed = there("GET", "/api/oncall/overrides").json["overrides"]
    assert made.json["id"] in [one["id"] for one in listed]
    gone = there("POST", f"/api/oncall/overrides/{made.json['id']}/cancel")
    assert gone.json["cancelled_by"] == "token:responder"
    assert there("POST", f"/api/oncall/overrides/{made.json['id']}/cancel").status == 409
    assert there("POST", "/api/oncall/overrides/4711/cancel").status == 404
