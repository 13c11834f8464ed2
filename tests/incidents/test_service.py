"""What people do with an incident, and what that leaves behind."""

from __future__ import annotations

import pytest

from tests.incidents.desk import ADA, BEN, Desk
from watchkeeper.incidents import service
from watchkeeper.incidents.models import Action, ConflictError, RefusedError, Stage, State, Status


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
