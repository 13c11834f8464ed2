from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pytest

from watchkeeper.runbook.clauses import Clause, Proof
from watchkeeper.runbook.models.waivers import Waiver
from watchkeeper.runbook.status import clause_status, clause_statuses, counts

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
WEEKLY = Clause("a.b", "a", "A", "A.", Proof.JOB, (), cadence=timedelta(days=7), grace=timedelta(days=1))
RULE = Clause("a.c", "a", "A", "A.", Proof.RULE, ())


@dataclass
class Evidence:
    at: datetime
    verdict: str
    seq: int = 7
    summary: str = "done"
    actor: str = "component:monitoring"


def test_no_evidence_is_unknown_and_never_green() -> None:
    status = clause_status(WEEKLY, None, NOW)
    assert (status.verdict, status.due) == ("unknown", None)


@pytest.mark.parametrize(
    ("age", "verdict"),
    [
        (timedelta(days=1), "met"),
        (timedelta(days=8), "met"),
        (timedelta(days=8, seconds=1), "missed"),
        (timedelta(days=400), "missed"),
    ],
)
def test_evidence_older_than_cadence_and_grace_is_missed(age: timedelta, verdict: str) -> None:
    status = clause_status(WEEKLY, Evidence(NOW - age, "met"), NOW)
    assert status.verdict == verdict
    assert status.due == NOW - age + timedelta(days=7)


def test_what_was_missed_stays_missed_until_there_is_better_evidence() -> None:
    assert clause_status(WEEKLY, Evidence(NOW, "missed"), NOW).verdict == "missed"


@pytest.mark.parametrize(("hours", "verdict"), [(0, "met"), (25, "met"), (25.1, "unknown"), (999, "unknown")])
def test_a_rule_that_nobody_proved_for_a_day_is_unknown(hours: float, verdict: str) -> None:
    status = clause_status(RULE, Evidence(NOW - timedelta(hours=hours), "met"), NOW)
    assert (status.verdict, status.due) == (verdict, None)


def test_a_configuration_check_without_cadence_keeps_its_last_verdict() -> None:
    check = Clause("a.d", "a", "A", "A.", Proof.CHECK, ())
    assert clause_status(check, Evidence(NOW - timedelta(days=100), "met"), NOW).verdict == "met"


def test_a_verdict_of_no_known_kind_is_unknown() -> None:
    assert clause_status(RULE, Evidence(NOW, "splendid"), NOW).verdict == "unknown"


@pytest.mark.parametrize(
    ("until", "verdict"), [(date(2026, 1, 10), "waived"), (date(2026, 1, 9), "missed")], ids=["holds", "over"]
)
def test_a_waiver_covers_a_miss_only_while_it_holds(until: date, verdict: str) -> None:
    waived = Clause(
        "a.b", "a", "A", "A.", Proof.JOB, (), waiver=Waiver(clause="a.b", reason="r", owner="o", until=until)
    )
    assert clause_status(waived, Evidence(NOW, "missed"), NOW).verdict == verdict


def test_evidence_of_a_waiver_that_is_gone_is_unknown() -> None:
    assert clause_status(RULE, Evidence(NOW, "waived"), NOW).verdict == "unknown"


def test_what_a_person_let_go_is_waived_until_there_is_other_evidence() -> None:
    deadline = Clause("a.d", "a", "A", "A.", Proof.DEADLINE, (), deadline=timedelta(minutes=15))
    assert clause_status(deadline, Evidence(NOW, "waived", actor="person:ada"), NOW).verdict == "waived"
    assert clause_status(deadline, Evidence(NOW, "missed", actor="person:ada"), NOW).verdict == "missed"


def test_counts_name_every_verdict() -> None:
    rows = clause_statuses([WEEKLY, RULE], {"a.c": Evidence(NOW, "met")}, NOW)
    assert counts(rows) == {"met": 1, "missed": 0, "waived": 0, "unknown": 1}
    assert rows[1].as_json()["evidence"] == {"seq": 7, "at": NOW.isoformat(), "summary": "done"}
