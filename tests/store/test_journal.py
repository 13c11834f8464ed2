"""The journal: append-only, numbered without gaps, every change to it found and named."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from tests.postgresql import sqlite_only
from watchkeeper.store import journal
from watchkeeper.store.database import FILE_NAME, Store, open_store
from watchkeeper.store.errors import JournalError, StoreError
from watchkeeper.store.journal import Anchor, Draft, Filter
from watchkeeper.store.models import journal as table
from watchkeeper.store.redaction import MASK


def _fill(store: Store, now: datetime, count: int = 6) -> None:
    with store.write() as conn:
        for number in range(1, count + 1):
            journal.append(
                conn,
                now + timedelta(seconds=number),
                "alert.firing" if number % 2 else "alert.resolved",
                "watch",
                f"alert/{number % 3}",
                {"summary": f"entry {number}", "value": number / 10},
                [("monitoring.api", "missed"), (f"clause.{number}", "met")],
            )


def test_entries_are_numbered_from_one_and_read_back_as_written(store: Store, now: datetime) -> None:
    _fill(store, now)
    with store.read() as conn:
        first, *_, last = journal.entries(conn)
    assert (first.seq, last.seq) == (1, 6)
    assert first.at == now + timedelta(seconds=1)
    assert (first.kind, first.actor, first.subject) == ("alert.firing", "watch", "alert/1")
    assert first.facts == {"summary": "entry 1", "value": 0.1}
    assert first.evidence == (("clause.1", "met"), ("monitoring.api", "missed"))


def test_many_entries_at_once_are_chained_as_one_after_the_other(
    store: Store, now: datetime, tmp_path: Path
) -> None:
    drafts = [
        Draft("a", "watch", f"alert/{n}", {"n": n, "token": "x"}, [(f"clause.{n}", "met")] if n % 3 else [])
        for n in range(1, 10)
    ]
    with store.write() as conn:
        assert journal.append_all(conn, now, drafts[:5]) == 5
        assert journal.append_all(conn, now, []) == 5
        assert journal.append_all(conn, now, drafts[5:]) == 9
    with open_store(tmp_path / "other") as other:
        for draft in drafts:
            with other.write() as conn:
                journal.append(conn, now, draft.kind, draft.actor, draft.subject, draft.facts, draft.evidence)
        with store.read() as ours, other.read() as theirs:
            assert journal.verify(ours).intact
            assert journal.head(ours) == journal.head(theirs)
            assert journal.entries(ours) == journal.entries(theirs)


def test_of_many_entries_a_bad_one_keeps_all_from_being_recorded(store: Store, now: datetime) -> None:
    with pytest.raises(JournalError, match="needs its actor"), store.write() as conn:
        journal.append_all(conn, now, [Draft("a", "watch", "s", {}), Draft("a", "", "s", {})])
    with store.read() as conn:
        assert journal.head(conn).seq == 0


def test_an_entry_exists_exactly_if_its_transaction_does(store: Store, now: datetime) -> None:
    def change_of_mind() -> None:
        with store.write() as conn:
            journal.append(conn, now, "a", "b", "c", {})
            raise RuntimeError("not, after all")

    with pytest.raises(RuntimeError, match="after all"):
        change_of_mind()
    with store.read() as conn:
        assert journal.head(conn) == Anchor(0, journal.GENESIS)


def test_queries_by_subject_clause_kind_and_time(store: Store, now: datetime) -> None:
    _fill(store, now)

    def found(**conditions: Any) -> list[int]:
        with store.read() as conn:
            return [entry.seq for entry in journal.entries(conn, Filter(**conditions))]

    assert found(subject="alert/0") == [3, 6]
    assert found(clause="clause.4") == [4]
    assert found(clause="monitoring.api", subject="alert/1") == [1, 4]
    assert found(kind="alert.firing") == [1, 3, 5]
    assert found(kind="alert.*") == [1, 2, 3, 4, 5, 6]
    assert found(kind="alert_*") == []
    assert found(since=now + timedelta(seconds=5)) == [5, 6]
    assert found(until=now + timedelta(seconds=2)) == [1]
    assert found(after=4) == [5, 6]


def test_entries_are_the_newest_and_tail_is_the_next(store: Store, now: datetime) -> None:
    _fill(store, now)
    with store.read() as conn:
        assert [entry.seq for entry in journal.entries(conn, limit=2)] == [5, 6]
        assert [entry.seq for entry in journal.tail(conn, after=2, limit=2)] == [3, 4]
        assert journal.tail(conn, after=6) == []


def test_the_database_itself_refuses_to_change_or_remove_an_entry(store: Store, now: datetime) -> None:
    _fill(store, now)
    for statement in (
        "UPDATE journal SET actor = 'nobody' WHERE seq = 2",
        "DELETE FROM journal WHERE seq = 6",
        "UPDATE journal_clauses SET verdict = 'met'",
        "DELETE FROM journal_clauses",
    ):
        with pytest.raises((IntegrityError, StoreError)), store.write() as conn:
            conn.exec_driver_sql(statement)
    with store.read() as conn:
        assert journal.verify(conn).intact


@sqlite_only
def test_a_file_refuses_an_entry_out_of_order_too(store: Store, now: datetime) -> None:
    _fill(store, now)
    for statement in (
        "INSERT OR REPLACE INTO journal SELECT seq, at, kind, 'nobody', subject, facts, hash FROM journal",
        "INSERT INTO journal VALUES (9, 0, 'k', 'a', 's', '{}', 'h')",
        "INSERT INTO journal_clauses VALUES (2, 'slipped.in', 'met')",
    ):
        with pytest.raises(IntegrityError, match="append-only"), store.write() as conn:
            conn.exec_driver_sql(statement)
    with store.read() as conn:
        assert journal.verify(conn).intact


def test_secrets_in_facts_are_masked_and_the_chain_holds(store: Store, now: datetime) -> None:
    with store.write() as conn:
        journal.append(
            conn, now, "k", "a", "s", {"labels": {"api_key": "hunter2"}, "url": "http://u:hunter2@h/"}
        )
    with store.read() as conn:
        assert journal.entries(conn)[0].facts == {"labels": {"api_key": MASK}, "url": f"http://u:{MASK}@h/"}
        assert journal.verify(conn).intact


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("", "a", "s", {}), "kind"),
        (("k", "", "s", {}), "actor"),
        (("k", "a", "", {}), "subject"),
        (("k", "a", "s", {}, [("c", "green")]), "'green'"),
        (("k", "a", "s", {}, [("c", "met"), ("c", "missed")]), "twice"),
    ],
)
def test_an_entry_that_says_too_little_is_refused(
    store: Store, now: datetime, arguments: tuple[Any, ...], words: str
) -> None:
    with pytest.raises(JournalError, match=words), store.write() as conn:
        journal.append(conn, now, *arguments)


def test_any_text_and_any_number_can_be_recorded(store: Store, now: datetime) -> None:
    with store.write() as conn:
        journal.append(conn, now, "k\0", "ünï", "s\ud800", {"nan": float("nan"), "\0": "\ud800"})
    with store.read() as conn:
        assert journal.verify(conn).intact
        assert journal.entries(conn)[0].facts == {"nan": "NaN", "\ufffd": "\ufffd"}


# --- tampering


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed store with a few entries; tests take copies of its file."""
    where = tmp_path_factory.mktemp("pristine")
    with open_store(where) as store:
        _fill(store, datetime.fromisoformat("2026-01-05T03:00:00+00:00"))
    return where / FILE_NAME


def _tampered(pristine: Path, where: Path, *statements: tuple[str, tuple[Any, ...]]) -> None:
    """A copy, changed by somebody who knows how to get past the triggers."""
    path = where / FILE_NAME
    for name in (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"):
        (where / name).unlink(missing_ok=True)
    path.write_bytes(pristine.read_bytes())
    with closing(sqlite3.connect(path)) as connection, connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("PRAGMA ignore_check_constraints=ON")
        for statement, values in statements:
            connection.execute(statement, values)
        for _, sql in triggers:
            connection.execute(sql)


def _broken(where: Path, anchor: Anchor | None = None) -> int | None:
    with open_store(where) as store, store.read() as conn:
        return journal.verify(conn, anchor).broken


ANY = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(), st.binary(max_size=8)
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seq=st.integers(1, 6),
    column=st.sampled_from(["at", "kind", "actor", "subject", "facts", "hash"]),
    value=ANY,
)
def test_a_change_to_any_field_of_any_entry_is_found_and_named(
    pristine: Path, tmp_path: Path, seq: int, column: str, value: Any
) -> None:
    read = f"SELECT {column} FROM journal WHERE seq = ?"
    try:
        _tampered(pristine, tmp_path, (f"UPDATE journal SET {column} = ? WHERE seq = ?", (value, seq)))
    except sqlite3.IntegrityError:
        return  # NOT NULL, which nobody gets past
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as changed, closing(sqlite3.connect(pristine)) as old:
        before, after = old.execute(read, (seq,)).fetchone()[0], changed.execute(read, (seq,)).fetchone()[0]
    if type(before) is type(after) and before == after:
        return  # the same value again
    assert _broken(tmp_path) == seq


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seq=st.integers(1, 6), column=st.sampled_from(["clause", "verdict"]), value=ANY)
def test_a_change_to_any_citation_is_found_and_named(
    pristine: Path, tmp_path: Path, seq: int, column: str, value: Any
) -> None:
    change = f"UPDATE journal_clauses SET {column} = ? WHERE seq = ? AND clause = 'monitoring.api'"
    original = {"clause": "monitoring.api", "verdict": "missed"}[column]
    try:
        _tampered(pristine, tmp_path, (change, (value, seq)))
    except sqlite3.IntegrityError:
        return
    if value == original:
        return
    assert _broken(tmp_path) == seq


@pytest.mark.parametrize("seq", [1, 3, 5])
def test_an_entry_that_was_removed_is_named(pristine: Path, tmp_path: Path, seq: int) -> None:
    _tampered(
        pristine,
        tmp_path,
        ("DELETE FROM journal_clauses WHERE seq = ?", (seq,)),
        ("DELETE FROM journal WHERE seq = ?", (seq,)),
    )
    assert _broken(tmp_path) == seq


def test_two_entries_that_changed_places_are_found(pristine: Path, tmp_path: Path) -> None:
    _tampered(
        pristine,
        tmp_path,
        ("UPDATE journal SET seq = 99 WHERE seq = 2", ()),
        ("UPDATE journal SET seq = 2 WHERE seq = 3", ()),
        ("UPDATE journal SET seq = 3 WHERE seq = 99", ()),
    )
    assert _broken(tmp_path) == 2


def test_a_citation_that_was_removed_or_slipped_in_is_found(pristine: Path, tmp_path: Path) -> None:
    _tampered(pristine, tmp_path, ("DELETE FROM journal_clauses WHERE seq = 4 AND clause = 'clause.4'", ()))
    assert _broken(tmp_path) == 4
    _tampered(pristine, tmp_path, ("INSERT INTO journal_clauses VALUES (5, 'backups', 'met')", ()))
    assert _broken(tmp_path) == 5
    _tampered(pristine, tmp_path, ("INSERT INTO journal_clauses VALUES (7, 'backups', 'met')", ()))
    assert _broken(tmp_path) == 7


def test_entries_cut_off_at_the_end_are_found_with_a_head_noted_earlier(
    pristine: Path, tmp_path: Path
) -> None:
    with open_store(pristine.parent) as store, store.read() as conn:
        noted = journal.head(conn)
    cut = (("DELETE FROM journal_clauses WHERE seq > 4", ()), ("DELETE FROM journal WHERE seq > 4", ()))
    _tampered(pristine, tmp_path, *cut)
    assert _broken(tmp_path) is None  # what no chain can show by itself
    assert _broken(tmp_path, noted) == 5
    assert _broken(tmp_path, Anchor(4, "0" * 64)) == 4


def test_a_journal_rewritten_from_some_entry_on_differs_from_a_head_noted_earlier(
    pristine: Path, tmp_path: Path
) -> None:
    with open_store(pristine.parent) as store, store.read() as conn:
        noted = journal.head(conn)
    _tampered(pristine, tmp_path, ("DELETE FROM journal_clauses", ()), ("DELETE FROM journal", ()))
    with open_store(tmp_path) as store:
        with store.write() as conn:
            for number in range(6):
                journal.append(
                    conn, datetime.fromisoformat("2026-01-05T03:00:00Z"), "k", "a", str(number), {}
                )
        with store.read() as conn:
            assert journal.verify(conn).intact
            assert journal.verify(conn, noted).broken == 6


APPENDER = textwrap.dedent("""
    import sys
    from datetime import UTC, datetime
    from watchkeeper.store import journal
    from watchkeeper.store.database import open_store
    with open_store(sys.argv[1]) as store:
        for number in range(25):
            with store.write() as conn:
                journal.append(conn, datetime(2026, 1, 5, tzinfo=UTC), "k", sys.argv[2], str(number), {})
""")


def test_processes_that_append_at_the_same_time_make_one_chain(place: Path | str) -> None:
    children = [
        subprocess.Popen([sys.executable, "-c", APPENDER, str(place), f"writer-{number}"])
        for number in range(3)
    ]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    with open_store(place) as store, store.read() as conn:
        report = journal.verify(conn)
        assert report.intact
        assert report.entries == 75
        for number in range(3):
            mine = [e.subject for e in journal.entries(conn) if e.actor == f"writer-{number}"]
            assert mine == [str(n) for n in range(25)]


@pytest.mark.parametrize(
    ("wanted", "reads"),
    [
        (Filter(subject="alert:1", kind="alert.resolved"), "ix_journal_subject_seq (subject=?"),
        (Filter(subject="alert:1", kind="alert.*"), "ix_journal_subject_seq (subject=?"),
        (Filter(kind="runbook.*", since=datetime(2026, 1, 5, tzinfo=UTC)), "(rowid>?"),
        (Filter(kind="alert.resolved"), "ix_journal_kind_seq (kind=?"),
    ],
)
@sqlite_only
def test_a_question_reads_no_more_of_the_journal_than_it_must(
    store: Store, now: datetime, wanted: Filter, reads: str
) -> None:
    _fill(store, now)
    query = journal._matching(wanted).order_by(table.c.seq.desc()).limit(10)
    with store.read() as conn:
        plan = conn.exec_driver_sql(
            "EXPLAIN QUERY PLAN "
            + str(query.compile(dialect=conn.dialect, compile_kwargs={"literal_binds": True}))
        ).all()
    assert any(reads in str(row) for row in plan), plan


def test_times_that_went_back_hide_no_entry(store: Store, now: datetime) -> None:
    """An early entry with a late time, written before the clock was set back."""
    with store.write() as conn:
        for offset in (100, 0, 50, 200):
            journal.append(conn, now + timedelta(seconds=offset), "k", "a", "s", {"offset": offset})
    with store.read() as conn:
        found = journal.entries(conn, Filter(since=now + timedelta(seconds=60)))
        assert [entry.facts["offset"] for entry in found] == [100, 200]
        assert journal.entries(conn, Filter(since=now + timedelta(seconds=900))) == []
