"""The same store on PostgreSQL: one schema, one journal, one outbox."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from tests.postgresql import Server
from watchkeeper.store import journal, journal_search, outbox
from watchkeeper.store.database import Store, open_existing, open_store
from watchkeeper.store.errors import StoreError, StoreReadOnlyError
from watchkeeper.store.evidence import latest_verdicts
from watchkeeper.store.models import metadata


@pytest.fixture
def url(postgresql: Server) -> Iterator[str]:
    with postgresql.store() as fresh:
        yield fresh


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as opened:
        yield opened


def test_migrations_build_what_the_models_declare_and_run_once(store: Store, url: str) -> None:
    open_store(url).close()
    with store.read() as conn:
        assert compare_metadata(MigrationContext.configure(conn, opts={"compare_type": True}), metadata) == []


def test_the_journal_chains_proves_and_refuses_to_change(store: Store, now: datetime) -> None:
    with store.write() as conn:
        for number in range(5):
            journal.append(conn, now, "k", "a", "s", {"n": number}, [(f"c{number % 2}", "met")])
    with store.read() as conn:
        assert journal.verify(conn).entries == 5
        assert journal.verify(conn).intact
    assert {clause: e.seq for clause, e in latest_verdicts(store).items()} == {"c0": 5, "c1": 4}
    for statement in (
        "UPDATE journal SET kind = 'x'",
        "DELETE FROM journal_clauses",
        "TRUNCATE journal_clauses",
    ):
        with pytest.raises(StoreError), store.write() as conn:
            conn.execute(text(statement))


def test_the_outbox_keeps_its_order(store: Store, now: datetime) -> None:
    with store.write() as conn:
        first, second = (outbox.enqueue(conn, now, "r", "k", "d", {"n": n}) for n in range(2))
    with store.write() as conn:
        (row,) = outbox.claim(conn, now, "r", "me", timedelta(seconds=30), 5)
        assert row.id == first
        assert outbox.settle(conn, now, row, outbox.Delivered())
    with store.write() as conn:
        assert [row.id for row in outbox.claim(conn, now, "r", "me", timedelta(seconds=30), 5)] == [second]


def test_a_reader_cannot_write_and_its_place_shows_no_password(
    store: Store, url: str, tmp_path: Path
) -> None:
    with pytest.raises(StoreReadOnlyError), store.read() as conn:
        conn.execute(text("DELETE FROM alerts"))
    with open_existing(url) as reading, reading.read() as conn:
        assert journal.head(conn).seq >= 0
    with pytest.raises(StoreError) as caught:
        open_store(f"postgresql+psycopg://me:hunter2@/nowhere?host={tmp_path}")
    assert "hunter2" not in str(caught.value)


def test_the_journal_is_searched_by_words(store: Store, now: datetime) -> None:
    with store.write() as conn:
        seq = journal.append(
            conn,
            now,
            "search.test",
            "person:ada",
            "s:1",
            {"summary": 'Disk "sda" is 90% full', "other": "zebra"},
        )
    with store.read() as conn:

        def found(*words: str) -> list[int]:
            wanted = journal.Filter(words=words, kind="search.*")
            return [entry.seq for entry in journal_search.search(conn, wanted, 10).entries]

        assert found('"SDA"', "90%") == [seq]
        assert found("zebra") == []
        assert "search.test" in journal_search.kinds(conn)
