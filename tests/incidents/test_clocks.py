"""Which deadlines run for an incident, at each moment of its life."""

from __future__ import annotations

import pytest

from tests.incidents.desk import ADA, TEXT, Desk, runbook_of
from watchkeeper.incidents import service
from watchkeeper.incidents.models import IncidentError, Status


def running(desk: Desk, number: int = 1) -> list[str]:
    clauses = [one.clause for one in desk.story(number).clocks if one.running]
    assert len(clauses) == len(set(clauses))
    return sorted(clause.removeprefix("incidents.") for clause in clauses)


def say(desk: Desk, status: Status = Status.IDENTIFIED) -> None:
    desk.do(service.post_update, 1, ADA, status=status, impact="All")


def test_from_open_to_closed(desk: Desk) -> None:
    desk.open()
    assert running(desk) == ["triage"]
    desk.do(service.set_severity, 1, ADA, "SEV-1")
    assert running(desk) == ["communicate", "update"]
    say(desk)
    assert running(desk) == ["update"]
    desk.do(service.resolve, 1, ADA)
    assert running(desk) == ["document"]
    desk.do(service.reopen, 1, ADA, "it was not")
    assert running(desk) == ["update"]
    desk.do(service.resolve, 1, ADA)
    desk.do(service.write_section, 1, ADA, "timeline", "See above")
    desk.do(service.write_section, 1, ADA, "root cause", "A deploy")
    desk.do(service.write_section, 1, ADA, "follow-up actions", "None")
    desk.later(24 * 60 + 1)
    desk.do(service.close, 1, ADA)
    assert running(desk) == []
    assert desk.evidence("document") == ["missed"]


def test_a_severity_that_wants_no_updates_has_no_such_clock(desk: Desk) -> None:
    desk.open()
    desk.do(service.set_severity, 1, ADA, "SEV-1")
    desk.do(service.set_severity, 1, ADA, "SEV-3")
    assert running(desk) == ["communicate"]
    desk.do(service.set_severity, 1, ADA, "SEV-2")
    assert running(desk) == ["communicate", "update"]
    assert desk.evidence("update") == []
    assert desk.evidence("triage") == ["met"]


def test_without_a_triage_deadline_setting_the_severity_is_the_evidence(desk: Desk) -> None:
    desk.runbook = runbook_of(TEXT.replace("    triage: 10m\n", ""))
    desk.open()
    assert running(desk) == []
    desk.do(service.set_severity, 1, ADA, "SEV-1")
    desk.do(service.set_severity, 1, ADA, "SEV-2")
    assert desk.evidence("triage") == ["met"]


def test_communicate_has_its_own_time_where_the_runbook_gives_it(desk: Desk) -> None:
    desk.runbook = runbook_of(TEXT.replace("    document: 24h", "    communicate: 5m\n    document: 24h"))
    desk.open(severity="SEV-1")
    assert desk.story().clock.clause == "incidents.communicate"  # type: ignore[union-attr]


def test_a_waived_update_deadline_is_followed_by_the_next(desk: Desk) -> None:
    desk.open(severity="SEV-1")
    first = next(one for one in desk.story().clocks if one.clause == "incidents.update")
    with pytest.raises(IncidentError, match="with a reason"):
        desk.do(service.waive_deadline, 1, ADA, first.deadline_id, " ")
    desk.do(service.waive_deadline, 1, ADA, first.deadline_id, "everybody is in the room")
    assert desk.evidence("update") == ["waived"]
    assert running(desk) == ["communicate", "update"]
    (said,) = desk.entries("deadline.waived")
    assert said.actor == "person:ada"
    assert said.facts["reason"] == "ada: everybody is in the room"
    desk.open("Another")
    with pytest.raises(IncidentError, match="is not of incident 2"):
        desk.do(service.waive_deadline, 2, ADA, first.deadline_id, "x")


def test_a_waiver_of_the_runbook_waives_what_would_be_met(desk: Desk) -> None:
    waiver = 'waivers: [{clause: incidents.update, reason: "a drill", owner: ada, until: 2026-02-01}]\n'
    desk.runbook = runbook_of(TEXT + waiver)
    desk.open(severity="SEV-1")
    say(desk)
    assert desk.evidence("update") == ["waived"]


def test_a_follow_up_runs_until_its_date_and_moves_with_it(desk: Desk) -> None:
    desk.open()
    due = desk.now.replace(day=20)
    one = desk.do(service.add_follow_up, 1, ADA, "Test it", owner="ben", due_on=due)
    desk.do(service.edit_follow_up, one.id, ADA, due_on=due.replace(day=25))
    assert [entry.kind for entry in desk.entries("deadline.*")] == ["deadline.void"]
    desk.do(service.complete_follow_up, one.id, ADA)
    assert desk.evidence("follow-ups") == ["met"]
    desk.do(service.complete_follow_up, one.id, ADA)
    assert desk.evidence("follow-ups") == ["met"]
