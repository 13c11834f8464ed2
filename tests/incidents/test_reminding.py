"""Who hears of a deadline that runs out, and of one that was missed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.app.responses import Watch
from tests.incidents.desk import ADA, BEN, TEXT, runbook_of
from watchkeeper.incidents import service
from watchkeeper.incidents.models import Role, Status
from watchkeeper.store.models import outbox


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    opened = Watch(tmp_path)
    with opened.store:
        yield opened


def reminders(watch: Watch) -> list[tuple[str | None, str, str]]:
    with watch.read() as conn:
        rows = conn.execute(select(outbox.c.payload).order_by(outbox.c.id)).scalars()
        return [
            (row.get("to"), row["severity"], row["kind"])
            for row in rows
            if row["alertname"] == "IncidentDeadline"
        ]


def test_whoever_leads_is_warned_and_everybody_hears_of_the_miss(watch: Watch) -> None:
    watch.open(by=BEN, severity="SEV-1")
    watch.do(service.post_update, 1, BEN, status=Status.IDENTIFIED, impact="All")
    watch.look(12)
    assert reminders(watch) == [("ben@example.org", "warn", "trigger")]
    watch.look(3)
    assert reminders(watch)[1:] == [
        ("ben@example.org", "page", "trigger"),
        ("ada@example.org", "page", "trigger"),
        (None, "page", "trigger"),
    ]
    (said,) = watch.entries("incident.escalated")
    assert said.facts["summary"] == "incident 1: post an update: MISSED; told: ben, ada, status"


def test_nobody_leads_so_whoever_is_on_call_is_warned(watch: Watch) -> None:
    watch.fire()
    watch.look()
    watch.look(8)
    assert reminders(watch) == [("ada@example.org", "warn", "trigger")]
    assert (
        watch.entries("deadline.warned")[0].facts["summary"] == "incident 1: set the severity: 120 s are left"
    )


def test_nobody_is_woken_for_a_severity_that_does_not_page_nor_for_a_document(watch: Watch) -> None:
    watch.open(severity="SEV-3")
    watch.look(15)
    watch.do(service.resolve, 1, ADA)
    watch.look(24 * 60)
    assert {severity for _, severity, _ in reminders(watch)} == {"warn"}
    assert watch.evidence("document") == ["missed"]
    assert watch.entries("incident.escalated") == []


def test_a_leader_whom_the_runbook_does_not_know_is_replaced_by_whoever_is_on_call(watch: Watch) -> None:
    watch.open(severity="SEV-1")
    watch.do(service.assign, 1, ADA, Role.COMMANDER, "a stranger")
    watch.look(12)
    assert {to for to, _, _ in reminders(watch)} == {"ada@example.org"}


def test_where_nobody_can_be_reached_that_is_said(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    text = TEXT[: TEXT.index("notifications:")] + TEXT[TEXT.index("contacts:") :]
    watch.runbook = runbook_of(text)
    watch.responding.use(watch.runbook)
    watch.open(severity="SEV-1")
    with caplog.at_level(logging.ERROR):
        watch.look(15)
    assert "NOBODY can be reached" in watch.entries("incident.escalated")[0].facts["summary"]
    assert "no receiver of the runbook leads to anybody" in caplog.text


def test_a_clause_that_the_runbook_waives_wakes_nobody_and_goes_on(watch: Watch) -> None:
    waiver = 'waivers: [{clause: incidents.update, reason: "a drill", owner: ada, until: 2026-02-01}]\n'
    watch.runbook = runbook_of(TEXT + waiver)
    watch.responding.use(watch.runbook)
    watch.open(severity="SEV-1")
    watch.do(service.post_update, 1, ADA, status=Status.IDENTIFIED, impact="All")
    watch.look(15)
    watch.look(15)
    assert watch.evidence("update") == ["waived", "waived", "waived"]
    assert watch.entries("incident.escalated") == []
    assert [one.actor for one in watch.entries("deadline.waived")] == ["component:deadlines"] * 3
    assert any(one.clause == "incidents.update" and one.running for one in watch.story().clocks)
