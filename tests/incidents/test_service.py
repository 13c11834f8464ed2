"""What people do with an incident, and what that leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.responses import Watch
from tests.incidents.desk import ADA, BEN, Desk
from watchkeeper.incidents import service
from watchkeeper.incidents.models import (
    Action,
    Author,
    ConflictError,
    IncidentError,
    RefusedError,
    Stage,
    State,
    Status,
)


def test_the_whole_life_of_an_incident_opened_by_hand(desk: Desk) -> None:
    desk.open()
    assert desk.story().next.action is Action.SET_SEVERITY  # type: ignore[union-attr]
    desk.do(service.set_severity, 1, BEN, "SEV-2")
    assert desk.story().stage is Stage.COMMUNICATE
    assert desk.story().next.action is Action.POST_UPDATE  # type: ignore[union-attr]
    update = desk.do(
        service.post_update, 1, BEN, status=Status.IDENTIFIED, impact="Uploads fail for half", eta="1 h"
    )
    assert {one.whom for one in update.told} == {"", "product"}
    assert update.said["internal"] == (
        "SEV-2: identified. Impact: Uploads fail for half. ETA: 1 h. Next: 12:15 UTC."
    )
    desk.do(service.mitigate, 1, ADA, "rolled back")
    desk.do(service.resolve, 1, ADA)
    with pytest.raises(RefusedError) as refused:
        desk.do(service.close, 1, ADA)
    assert [gap.what for gap in refused.value.gaps] == ["timeline", "root cause", "follow-up actions"]
    desk.do(service.pick_event, 1, ADA, desk.entries("incident.mitigated")[0].seq)
    desk.do(service.write_section, 1, ADA, "Root cause", "A bad deploy")
    desk.do(service.write_section, 1, ADA, "follow-up actions", "None: it was one of a kind")
    closed = desk.do(service.close, 1, ADA)
    assert closed.state is State.CLOSED
    assert desk.story().next is None
    for clause in ("triage", "update", "communicate", "resolve", "document", "follow-ups"):
        assert desk.evidence(clause) == ["met"], clause


def test_of_two_changes_the_second_hears_who_made_the_first(desk: Desk) -> None:
    seen = desk.open()
    desk.do(service.set_severity, 1, BEN, "SEV-1", revision=seen.revision)
    with pytest.raises(ConflictError, match=r"ben at 12:00:00 UTC: ben set SEV-1"):
        desk.do(service.set_severity, 1, ADA, "SEV-3", revision=seen.revision)
    assert desk.story().incident.severity == "SEV-1"


def test_what_watchkeeper_did_meanwhile_is_no_conflict(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    seen = watch.open(service="api", env="prod")
    watch.fire()
    watch.look()
    assert watch.story().incident.revision > seen.revision
    watch.do(service.describe, 1, ADA, impact="All", revision=seen.revision)
    with pytest.raises(ConflictError, match=r"ada at .* described its impact"):
        watch.do(service.describe, 1, BEN, impact="None", revision=seen.revision)
    with pytest.raises(ConflictError):
        watch.do(service.describe, 1, BEN, impact="None", revision=99)
    watch.store.close()


def test_describing_says_what_stood_there_before(desk: Desk) -> None:
    desk.open(impact="half")
    desk.do(service.describe, 1, ADA, title="All uploads fail", impact="all", public=True, components=["api"])
    desk.do(service.describe, 1, ADA, title="All uploads fail", impact=" all ", public=True)
    one = desk.story().incident
    assert (one.title, one.impact, one.public, one.components) == ("All uploads fail", "all", True, ("api",))
    (said,) = desk.entries("incident.described")
    assert said.facts["before"] == {
        "components": [],
        "impact": "half",
        "public": False,
        "title": "Uploads fail",
    }
    with pytest.raises(IncidentError, match="needs a title"):
        desk.do(service.describe, 1, ADA, title=" ")
    with pytest.raises(IncidentError, match="at most 300"):
        desk.do(service.describe, 1, ADA, title="x" * 301)


def test_only_a_named_person_overrides_and_waives(desk: Desk) -> None:
    token = Author("ci", "token:ci")
    watch = desk
    watch.open(severity="SEV-1")
    deadline = watch.story().clocks[0].deadline_id
    with pytest.raises(IncidentError, match="only a named person may waive"):
        watch.do(service.waive_deadline, 1, token, deadline, "because")
    watch.do(service.resolve, 1, token)
    assert watch.evidence("resolve") == ["met"]


def test_what_comes_too_late_is_refused_and_changes_nothing(desk: Desk) -> None:
    desk.open()
    desk.do(service.resolve, 1, ADA)
    before = desk.everything()
    for act in (service.mitigate, service.resolve):
        with pytest.raises(IncidentError, match="resolved already"):
            desk.do(act, 1, ADA)
    with pytest.raises(IncidentError, match="say why"):
        desk.do(service.reopen, 1, ADA, " ")
    assert desk.everything() == before


def test_texts_that_a_database_would_refuse_are_kept_without_what_it_refuses(desk: Desk) -> None:
    desk.open("a\x00b", impact="c\x00d")
    desk.do(service.write_section, 1, ADA, "root cause", "e\x00f\ud800")
    one = desk.story().incident
    assert "\x00" not in one.title + one.impact
