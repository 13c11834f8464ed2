"""The API of incidents: what pages can do, programs can do; what they may not is refused and named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.asgi import Grounds
from tests.console.incident_ground import Watching, baseline, burning, clocked, furnish_incidents, runbook_of
from watchkeeper.access.models import Role
from watchkeeper.incidents import reading
from watchkeeper.store import journal


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Grounds]:
    found, _ = clocked(tmp_path)
    yield found
    found.store.close()


@pytest.fixture
def site(on: Grounds) -> Watching:
    return Watching(on)


def test_the_life_of_an_incident_told_to_a_program(on: Grounds, site: Watching) -> None:
    burning(on)

    def story() -> dict[str, object]:
        found: dict[str, object] = site.ask("/api/incidents/1", method="GET").json
        return found

    def do(path: str, body: dict[str, object], method: str = "POST", status: int = 200) -> None:
        answer = site.ask(f"/api/incidents/1{path}", body, method)
        assert answer.status == status, answer.body

    assert story()["next"]["action"] == "acknowledge"  # type: ignore[index]
    do("/acknowledge", {"note": "looking"})
    do("", {"severity": "SEV-2", "scribe": "ben", "impact": "some checkouts fail"}, "PATCH")
    do("/updates", {"status": "identified", "impact": "some checkouts fail"}, status=201)
    do("/mitigate", {})
    do("/resolve", {}, status=409)
    baseline(on)
    do("/resolve", {})
    do("/sections/root%20cause", {"text": "a migration"}, "PUT")
    do("/sections/timeline", {"text": "it began, it ended"}, "PUT")
    do("/follow-ups", {"title": "limit migrations", "owner": "ben"}, status=201)
    do("/close", {}, status=409)
    do("/follow-ups/1", {"due": "2026-01-12"}, "PATCH")
    do("/close", {})
    done = story()
    assert done["incident"]["state"] == "closed"  # type: ignore[index]
    assert done["incident"]["commander"] == "token:responder"  # type: ignore[index]
    entries = site.ask("/api/incidents/1/timeline", method="GET").json["entries"]
    assert {entry["actor"] for entry in entries} >= {"token:responder", "component:monitoring"}
    assert b"# Incident 1" in site.ask("/api/incidents/1/document.md", method="GET").body


def test_what_somebody_changed_meanwhile_is_a_conflict(on: Grounds, site: Watching) -> None:
    burning(on)
    seen = site.ask("/api/incidents/1", method="GET").json["incident"]["revision"]
    assert site.ask("/api/incidents/1", {"scope": "one"}, "PATCH").status == 200
    again = site.ask("/api/incidents/1", {"scope": "two", "revision": seen}, "PATCH")
    assert again.status == 409
    assert "changed meanwhile" in again.json["error"]
    assert site.ask("/api/incidents/1", method="GET").json["incident"]["scope"] == "one"


def test_the_list_is_narrowed_and_goes_on(
    on: Grounds, site: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish_incidents(on)
    monkeypatch.setattr("watchkeeper.console.api.incidents.PAGE", 3)

    def numbers(query: str) -> tuple[list[int], int | None]:
        found = site.ask(f"/api/incidents{query}", method="GET").json
        return [one["id"] for one in found["incidents"]], found["next_before"]

    assert numbers("") == ([7, 6, 5], 5)
    assert numbers("?before=5") == ([4, 3, 2], 2)
    assert numbers("?before=2") == ([1], None)
    assert numbers("?state=closed") == ([3], None)
    assert numbers("?severity=SEV-1")[0] == []


def test_a_person_waives_a_deadline_and_a_program_may_not(on: Grounds, site: Watching) -> None:
    burning(on)
    site.ask("/api/incidents/1", {"severity": "SEV-1"}, "PATCH")
    with on.store.read() as conn:
        clocks = reading.story(conn, on.clock.now(), runbook_of(on), 1).clocks
    number = next(one.deadline_id for one in clocks if one.clause == "incidents.update")
    path = f"/api/incidents/1/deadlines/{number}/waive"
    assert site.ask(path, {"reason": "a drill"}).status == 400
    origin = site.ask(path, {"reason": "a drill"}, token=False)
    assert (origin.status, origin.json["state"]) == (200, "waived")


@pytest.mark.parametrize("token", [True, False])
def test_a_viewer_is_refused_and_it_stands_in_the_journal(on: Grounds, site: Watching, token: bool) -> None:
    burning(on)
    assert site.ask("/api/incidents/1", method="GET", as_=Role.VIEWER, token=token).status == 200
    answer = site.ask("/api/incidents/1/acknowledge", {}, as_=Role.VIEWER, token=token)
    assert answer.status == 403
    with on.store.read() as conn:
        (entry,) = journal.entries(conn, journal.Filter(kind="access.refused"))
        assert reading.one(conn, 1).acknowledged_at is None
    assert entry.facts["path"] == "/api/incidents/1/acknowledge"
