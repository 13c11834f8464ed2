"""The auditor's package: complete, as things stood at the end, the same whenever it is made."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.app.packages import ERRORS, LINKS, SINCE, UNTIL, fill, package, runbook
from watchkeeper.app.evidence_package import FORMER, document, gather
from watchkeeper.runbook.clauses import clauses
from watchkeeper.store import journal
from watchkeeper.store.database import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path) as opened:
        fill(opened)
        yield opened


def test_every_clause_is_in_it_with_its_verdict_at_the_end(store: Store) -> None:
    made = package(store)
    assert [one.id for one in made.clauses][:-1] == [one.id for one in clauses(runbook().runbook)]
    by = {one.id: one for one in made.clauses}
    assert (by[ERRORS].verdict, len(by[ERRORS].evidence)) == ("met", 3)
    assert by["monitoring.hygiene.labels"].verdict == "unknown"
    assert by[LINKS].verdict == "waived"
    assert [waiver.clause for waiver in made.waivers] == [LINKS]


def test_what_was_proved_before_counts_for_the_verdict_but_is_not_evidence_of_the_period(
    store: Store,
) -> None:
    with store.read() as conn:
        made = gather(conn, runbook(), SINCE, SINCE + timedelta(hours=12))
    (dump,) = (one for one in made.clauses if one.id == "backups.postgres.dump.cadence")
    assert dump.evidence == ()
    assert dump.last is not None
    assert dump.last.summary == "a dump of before"
    assert dump.verdict == "missed", "five days old, and it is nightly"


def test_what_the_runbook_no_longer_has_is_not_forgotten(store: Store) -> None:
    made = package(store)
    (former,) = made.of(FORMER)
    assert (former.id, former.verdict, len(former.evidence)) == ("old.clause", "unknown", 1)
    assert made.sections[-1] == FORMER


def test_each_piece_bears_the_hash_of_its_journal_entry(store: Store) -> None:
    with store.read() as conn:
        hashes = {entry.seq: entry.hash for entry in journal.entries(conn)}
    pieces = [piece for one in package(store).clauses for piece in one.evidence]
    assert len(pieces) == 4
    assert all(hashes[piece.seq] == piece.hash for piece in pieces)


def test_the_same_period_gives_the_same_package_whatever_happens_later(store: Store) -> None:
    before = document(package(store))
    with store.write() as conn:
        journal.append(conn, datetime(2027, 1, 1, tzinfo=UTC), "k", "a", "s", {}, [(ERRORS, "missed")])
    assert document(package(store)) == before
    assert before["journal"]["entries"] == 5
    assert before["journal"]["intact"] is True


def test_one_section_has_its_clauses_alone(store: Store) -> None:
    made = package(store, "backups")
    assert made.sections == ["backups"]
    assert made.waivers == ()


def test_a_broken_journal_is_said_so(store: Store) -> None:
    with store.write() as conn:
        for name in conn.execute(text("SELECT name FROM sqlite_master WHERE type='trigger'")).scalars():
            conn.execute(text(f"DROP TRIGGER {name}"))
        conn.execute(text("UPDATE journal_clauses SET verdict = 'met' WHERE verdict = 'missed' AND seq = 3"))
    made = package(store)
    assert made.chain.broken == 3
    assert made.chain.words.startswith("BROKEN at entry 3")
    assert document(made)["journal"]["intact"] is False


def test_an_empty_store_gives_a_package_of_unknown_clauses(tmp_path: Path) -> None:
    with open_store(tmp_path / "empty") as empty:
        made = package(empty)
    assert {one.verdict for one in made.clauses} == {"unknown", "waived"}
    assert (made.chain.entries, made.chain.head, made.until) == (0, journal.GENESIS, UNTIL)
