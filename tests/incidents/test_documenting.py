"""What people write: nothing of it is lost, and what was closed is corrected, not written over."""

from __future__ import annotations

import pytest

from tests.incidents.desk import ADA, BEN, Desk
from watchkeeper.incidents import reading, service
from watchkeeper.incidents.models import IncidentError, Role


def document(desk: Desk) -> str:
    with desk.read() as conn:
        return reading.document_of(conn, desk.now, desk.runbook, 1)


def closed(desk: Desk) -> None:
    desk.open(severity="SEV-3", impact="none")
    desk.do(service.resolve, 1, ADA)
    for name in ("timeline", "root cause", "follow-up actions"):
        desk.do(service.write_section, 1, ADA, name, f"The {name}")
    desk.do(service.close, 1, ADA)


def test_a_section_is_replaced_and_the_journal_keeps_what_it_said(desk: Desk) -> None:
    desk.open()
    desk.do(service.write_section, 1, ADA, "Root Cause", "A deploy")
    desk.do(service.write_section, 1, BEN, "root cause", "A full disk")
    desk.do(service.write_section, 1, BEN, "root cause", "A full disk ")
    assert desk.story().incident.sections["root cause"].text == "A full disk"
    said = [(entry.actor, entry.facts["text"]) for entry in desk.entries("incident.section")]
    assert said == [("person:ada", "A deploy"), ("person:ben", "A full disk")]


def test_after_it_was_closed_corrections_are_appended(desk: Desk) -> None:
    closed(desk)
    desk.later(60)
    desk.do(service.write_section, 1, BEN, "root cause", "A full disk")
    text = document(desk)
    assert text.index("The root cause") < text.index("**Correction** by ben, 2026-01-05 13:00:00:")
    assert "A full disk" in text
    assert desk.entries("incident.section")[-1].facts["correction"] is True
    assert desk.story().incident.sections["root cause"].text == "The root cause"


def test_key_events_are_picked_and_taken_out(desk: Desk) -> None:
    desk.open()
    desk.do(service.assign, 1, ADA, Role.SCRIBE, "ben")
    role = desk.entries("incident.role")[0].seq
    opened = desk.entries("incident.opened")[0].seq
    desk.do(service.pick_event, 1, ADA, role)
    desk.do(service.pick_event, 1, ADA, role)
    desk.do(service.unpick_event, 1, ADA, opened)
    with desk.read() as conn:
        assert [one.seq for one in reading.timeline_of(conn, 1) if one.key] == [role]
    assert len(desk.entries("incident.key_event")) == 2
    desk.do(service.unpick_event, 1, ADA, role)
    desk.do(service.pick_event, 1, ADA, opened)
    with desk.read() as conn:
        assert [one.seq for one in reading.timeline_of(conn, 1) if one.key] == [opened]
    with pytest.raises(IncidentError, match="no entry 999"):
        desk.do(service.pick_event, 1, ADA, 999)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://a b", 'https://a"b', "ftp://x"])
def test_a_follow_up_leads_to_the_web_or_nowhere(desk: Desk, url: str) -> None:
    desk.open()
    with pytest.raises(IncidentError, match="starts with https"):
        desk.do(service.add_follow_up, 1, ADA, "Test it", url=url)
    assert desk.story().follow_ups == ()


def test_a_follow_up_is_edited_until_it_is_done(desk: Desk) -> None:
    desk.open()
    one = desk.do(service.add_follow_up, 1, ADA, "Test it", url="https://example.org/1")
    after = desk.do(service.edit_follow_up, one.id, BEN, owner="ben", title="Test it well")
    assert (after.title, after.owner, after.url) == ("Test it well", "ben", "https://example.org/1")
    desk.do(service.complete_follow_up, one.id, BEN, "in 1.42")
    with pytest.raises(IncidentError, match="is done"):
        desk.do(service.edit_follow_up, one.id, BEN, owner="ada")
    with pytest.raises(IncidentError, match="no follow-up 9"):
        desk.do(service.complete_follow_up, 9, BEN)
    said = [entry.facts["what"] for entry in desk.entries("incident.follow_up")]
    assert said == ["added", "changed", "done"]
