"""Updates: the words of each audience, who is told, what became of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from tests.incidents.desk import ADA, TEXT, Desk
from watchkeeper.incidents import service, updates
from watchkeeper.incidents.models import IncidentError, Status
from watchkeeper.store.models import outbox


@given(
    st.dictionaries(st.sampled_from(["impact", "eta", "x"]), st.text(alphabet="{} impacteta<&", max_size=30))
)
def test_what_people_wrote_is_never_a_template(values: dict[str, str]) -> None:
    shown = updates.words("A {{ impact }} B {{eta}} C {{ nobody }}", values)
    impact, eta = values.get("impact") or "unknown", values.get("eta") or "unknown"
    assert shown == f"A {impact} B {eta} C unknown"


@pytest.mark.parametrize(
    ("impact", "said"),
    [
        ("Uploads fail", "Uploads fail. On it."),
        ("Uploads fail.", "Uploads fail. On it."),
        ("Why?", "Why? On it."),
    ],
)
def test_a_sentence_that_ends_itself_gets_no_second_full_stop(impact: str, said: str) -> None:
    assert updates.words("{{ impact }}. On it.", {"impact": impact}) == said


def test_each_audience_hears_it_once_in_its_own_words(desk: Desk) -> None:
    desk.open(severity="SEV-1")
    said = desk.do(
        service.post_update, 1, ADA, status=Status.IDENTIFIED, impact="All", note="see the graph", to=None
    )
    assert set(said.said) == {"engineers", "internal", "customers"}
    assert said.said["engineers"].endswith("see the graph")
    assert "see the graph" not in said.said["internal"] + said.said["customers"]
    assert [(one.audience, one.whom, one.receiver, one.to) for one in said.told] == [
        ("engineers", "", "status", None),
        ("internal", "product", "mail", "product@example.org"),
        ("internal", "leadership", "mail", "boss@example.org"),
    ]
    assert said.next_update_at == desk.now + timedelta(minutes=15)


def test_leadership_hears_only_of_what_concerns_it(desk: Desk) -> None:
    desk.open(severity="SEV-2")
    said = desk.do(service.post_update, 1, ADA, status=Status.IDENTIFIED, impact="All")
    assert [one.whom for one in said.told] == ["", "product"]


def test_one_audience_alone_and_in_other_words(desk: Desk) -> None:
    desk.open(severity="SEV-1")
    said = desk.do(
        service.post_update,
        1,
        ADA,
        status=Status.IDENTIFIED,
        impact="All",
        to=["engineers"],
        said={"engineers": "All of it"},
    )
    assert dict(said.said) == {"engineers": "All of it"}
    assert desk.evidence("update") == ["met"]
    assert desk.evidence("communicate") == []


def test_receipts_say_what_became_of_each_message(desk: Desk) -> None:
    desk.open(severity="SEV-1")
    said = desk.do(service.post_update, 1, ADA, status=Status.IDENTIFIED, impact="All")
    first, second, third = (one.outbox_id for one in said.told)
    with desk.store.write() as conn:
        settled = {"state": "delivered", "settled_at": desk.now, "attempts": 1}
        conn.execute(update(outbox).where(outbox.c.id == first).values(**settled))
        conn.execute(outbox.delete().where(outbox.c.id == third))
    assert second
    receipts = desk.story().receipts
    assert [(one.receiver, one.state) for one in receipts] == [
        ("status", "delivered"),
        ("mail", "pending"),
        ("mail", "unknown"),
    ]


def test_a_stakeholder_whom_no_way_leads_to_is_named_and_not_told(tmp_path: object, desk: Desk) -> None:
    desk.runbook = type(desk)(str(tmp_path) + "/x", TEXT.replace(", email: boss@example.org", "")).runbook
    one = desk.open(severity="SEV-1")
    shown = service.preview(desk.runbook, one, desk.now, status=Status.IDENTIFIED, impact="All")
    assert [message.unreachable for message in shown] == [(), ("leadership",), ()]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"status": Status.RESOLVED, "impact": "x"}, "resolve the incident first"),
        ({"status": Status.IDENTIFIED, "impact": "x" * 4001}, "at most 4000"),
        ({"status": Status.IDENTIFIED, "impact": "x", "to": ["martians"]}, "no audience 'martians'"),
    ],
)
def test_what_cannot_be_said(desk: Desk, given: dict[str, object], said: str) -> None:
    desk.open(severity="SEV-1")
    before = len(desk.told())
    with pytest.raises(IncidentError, match=said):
        desk.do(service.post_update, 1, ADA, **given)
    with pytest.raises(IncidentError, match="later than now"):
        desk.do(service.post_update, 1, ADA, status=Status.IDENTIFIED, impact="x", next_update_at=desk.now)
    assert len(desk.told()) == before
    assert desk.story().updates == ()


def test_a_resolved_incident_is_still_spoken_of_and_its_thread_ends(desk: Desk) -> None:
    desk.open(severity="SEV-1")
    desk.do(service.resolve, 1, ADA)
    said = desk.do(service.post_update, 1, ADA, status=Status.RESOLVED, impact="It works again")
    assert said.next_update_at is None
    assert {kind for _, to, kind in desk.told() if to} == {"resolve"}
    assert desk.evidence("communicate") == ["met"]
    assert not any(one.clause == "incidents.update" and one.running for one in desk.story().clocks)
