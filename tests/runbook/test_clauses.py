from __future__ import annotations

from datetime import date, timedelta

import pytest

from tests.runbook.documents import MINIMAL, default, minimal, read
from watchkeeper.runbook.clauses import Clause, Proof, clauses
from watchkeeper.runbook.loading import default_text


@pytest.fixture(scope="module")
def found() -> dict[str, Clause]:
    return {clause.id: clause for clause in clauses(read(default_text()).runbook)}


CADENCES = {
    "monitoring.hygiene.links": timedelta(days=92),
    "backups.postgres.dump.cadence": timedelta(days=1),
    "backups.postgres.base-backup.cadence": timedelta(days=1),
    "backups.postgres.wal.cadence": timedelta(hours=1),
    "backups.postgres.restore-test": timedelta(days=7),
    "backups.postgres.encryption.rotation": timedelta(days=92),
    "backups.objects.replication.cadence": timedelta(days=1),
    "backups.objects.scan.cadence": timedelta(days=7),
    "backups.objects.compare": timedelta(days=7),
    "backups.objects.restore-test": timedelta(days=31),
    "backups.objects.encryption.rotation": timedelta(days=92),
    "drills.cadence": timedelta(days=92),
    "drills.scenario.postgres-failover": timedelta(days=276),
    "reviews.cadence": timedelta(days=7),
    "reviews.staffing": timedelta(days=7),
}

DEADLINES = {
    "incidents.acknowledge": timedelta(minutes=5),
    "incidents.update": timedelta(minutes=15),
    "incidents.document": timedelta(hours=24),
    "drills.announce": timedelta(days=7),
    "drills.retrospective": timedelta(hours=48),
}


@pytest.mark.parametrize("name", CADENCES)
def test_a_clause_needs_evidence_as_often_as_the_runbook_says(found: dict[str, Clause], name: str) -> None:
    assert found[name].cadence == CADENCES[name]


@pytest.mark.parametrize("name", DEADLINES)
def test_a_clause_has_the_deadline_that_the_runbook_says(found: dict[str, Clause], name: str) -> None:
    assert found[name].deadline == DEADLINES[name]
    assert found[name].proof is Proof.DEADLINE


def test_ids_are_unique_and_begin_with_their_section() -> None:
    every = clauses(read(default_text()).runbook)
    assert len({clause.id for clause in every}) == len(every) == 80
    assert all(clause.id.startswith(f"{clause.section}.") for clause in every)
    assert all(clause.sentence.endswith(".") for clause in every)


def test_every_clause_stands_somewhere_in_the_file() -> None:
    loaded = read(default_text())
    for clause in clauses(loaded.runbook):
        node = loaded.tree
        for step in clause.loc:
            if isinstance(step, str):
                node = (node.fields or {})[step]
            elif node.items is not None:
                node = node.items[step]
        assert node.line > 0, clause.id


def test_thresholds_of_one_severity_are_told_apart_by_id_or_order() -> None:
    three = "page: [{above: 5%, over: 2m}, {above: 2%, over: 1h}, {id: slow, above: 1%, over: 6h}]"
    ids = [clause.id for clause in clauses(read(minimal("page: {above: 5%, over: 2m}", three)).runbook)]
    assert ids[:3] == [f"monitoring.api.errors.page{end}" for end in ("", ".2", ".slow")]


def test_a_signal_without_thresholds_is_a_clause_too() -> None:
    ids = [clause.id for clause in clauses(read(minimal("          page: {above: 5%, over: 2m}\n")).runbook)]
    assert ids[0] == "monitoring.api.errors.present"


def test_ids_stay_when_lines_move() -> None:
    moved = MINIMAL.replace("platform: Test\n", "# a comment\n\nplatform: Other\n")
    assert [c.id for c in clauses(read(moved).runbook)] == [c.id for c in clauses(read(MINIMAL).runbook)]


def test_a_waiver_is_attached_to_its_clause_alone() -> None:
    waiver = (
        "waivers:\n  - {clause: backups.postgres.restore-test, reason: x, owner: Ada, until: 2026-03-31}\n"
    )
    every = clauses(read(default("waivers: []\n", waiver)).runbook)
    waived = [clause for clause in every if clause.waiver is not None]
    assert [clause.id for clause in waived] == ["backups.postgres.restore-test"]
    assert waived[0].waiver is not None
    assert waived[0].waiver.active(date(2026, 3, 31))


def test_a_runbook_without_sections_has_only_the_hygiene_of_monitoring() -> None:
    ids = [clause.id for clause in clauses(read("runbook: 1\nplatform: X\n").runbook)]
    assert ids == ["monitoring.hygiene.labels", "monitoring.hygiene.links"]
