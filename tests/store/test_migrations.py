"""The schema: what the models declare is what the migrations build, and only we may have built it."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, Connection, Integer, MetaData, Table, insert, inspect, select, text

from tests.postgresql import Server, sqlite_only
from tests.store.conftest import NOW
from watchkeeper.store import journal, migrate
from watchkeeper.store.database import FILE_NAME, Store, open_existing, open_store
from watchkeeper.store.errors import StoreBusyError, StoreError, StoreMissingError, StoreNewerError
from watchkeeper.store.migrations import versions
from watchkeeper.store.models import metadata
from watchkeeper.store.types import CanonicalJson


def test_migrations_build_exactly_what_the_models_declare(store: Store) -> None:
    with store.read() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


@sqlite_only
def test_check_constraints_are_those_of_the_models(store: Store) -> None:
    with store.read() as conn:
        seen = inspect(conn)
        for table in metadata.sorted_tables:
            declared = {
                (str(c.name), str(c.sqltext)) for c in table.constraints if isinstance(c, CheckConstraint)
            }
            built = {(str(c["name"]), str(c["sqltext"])) for c in seen.get_check_constraints(table.name)}
            assert built == declared, table.name


def test_the_newest_revision_is_the_one_this_version_speaks() -> None:
    names = sorted(module.name for module in pkgutil.iter_modules(versions.__path__))
    modules = [importlib.import_module(f"{versions.__name__}.{name}") for name in names]
    assert modules[-1].revision == migrate.HEAD
    assert [module.down_revision for module in modules] == [None, *[m.revision for m in modules[:-1]]]


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    before = (tmp_path / FILE_NAME).read_bytes()
    open_store(tmp_path).close()
    assert (tmp_path / FILE_NAME).read_bytes() == before


@pytest.mark.parametrize("revision", [f"{number:04}" for number in range(1, int(migrate.HEAD))])
def test_a_store_of_every_version_is_brought_up_with_a_row_in_each_table(
    nothing: Path | str, monkeypatch: pytest.MonkeyPatch, revision: str
) -> None:
    with monkeypatch.context() as then:
        then.setattr(migrate, "HEAD", revision)
        with open_store(nothing) as store, store.write() as conn:
            for number in range(3):
                journal.append(conn, NOW, "k", "a", "s", {"n": number}, [("clause.1", "met")])
            before = {name: _fill(conn, name) for name in _tables(conn)}
    assert len(before) >= 5
    with open_store(nothing) as store, store.read() as conn:
        assert journal.verify(conn).intact
        assert journal.head(conn).seq == 3
        assert compare_metadata(MigrationContext.configure(conn, opts={"compare_type": True}), metadata) == []
        for name, row in before.items():
            (now,) = conn.execute(select(Table(name, MetaData(), autoload_with=conn))).mappings()
            assert {key: value for key, value in row.items() if key in now}.items() <= dict(now).items(), name
    with open_existing(nothing) as again, again.read() as conn:
        assert journal.head(conn).seq == 3


def _tables(conn: Connection) -> list[str]:
    """The tables there are now, but for the journal, so that what one refers to stands before it."""
    there = set(inspect(conn).get_table_names()) - {"journal", "journal_clauses"}
    return [table.name for table in metadata.sorted_tables if table.name in there]


def _fill(conn: Connection, name: str) -> dict[str, object]:
    """Put a row into the table, with something in every column that its constraints allow."""
    table = Table(name, MetaData(), autoload_with=conn)
    allowed = [str(check["sqltext"]) for check in inspect(conn).get_check_constraints(name)]
    row: dict[str, object] = {}
    for number, column in enumerate(table.columns, 1):
        declared = metadata.tables[name].columns.get(column.name)
        if isinstance(column.type, Integer):
            row[column.name] = 1 if column.primary_key or column.foreign_keys else number
        elif declared is not None and isinstance(declared.type, CanonicalJson):
            row[column.name] = '{"a": 1}'
        else:
            words = (re.findall("'([^']+)'", text) for text in allowed if column.name in text)
            row[column.name] = next((found[0] for found in words if found), f"1{column.name}")
    conn.execute(insert(table), [row])
    return row


def test_a_store_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    with open_store(tmp_path) as store, store.write() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    before = (tmp_path / FILE_NAME).read_bytes()
    for opening in (open_store, open_existing):
        with pytest.raises(StoreNewerError, match=r"newer Watchkeeper \(schema 9999; .*not touched"):
            opening(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_reading_a_store_of_an_older_version_says_how_to_bring_it_up(tmp_path: Path) -> None:
    with open_store(tmp_path) as store, store.write() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(StoreError, match="watchkeeper serve"):
        open_existing(tmp_path)


def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as raw:
        raw.execute("PRAGMA journal_mode=WAL")
    with monkeypatch.context() as patched:
        patched.setattr("alembic.operations.Operations.create_index", _fail)
        with pytest.raises(StoreError, match="power cut"):
            open_store(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as raw:
        assert raw.execute("SELECT name FROM sqlite_master").fetchall() == []
    open_store(tmp_path).close()


def test_an_upgrade_that_fails_changes_nothing_on_postgresql(
    postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgresql.database()
    with monkeypatch.context() as patched:
        patched.setattr("alembic.operations.Operations.create_index", _fail)
        with pytest.raises(OSError, match="power cut"):
            open_store(url)
    with pytest.raises(StoreMissingError):
        open_existing(url)
    open_store(url).close()


def _fail(*_given: object, **_named: object) -> None:
    raise OSError(5, "power cut")


def test_processes_that_start_at_the_same_time_migrate_once(nothing: Path | str) -> None:
    program = "import sys; from watchkeeper.store.database import open_store; open_store(sys.argv[1]).close()"
    children = [subprocess.Popen([sys.executable, "-c", program, str(nothing)]) for _ in range(4)]
    assert [child.wait(60) for child in children] == [0, 0, 0, 0]
    with open_existing(nothing) as store, store.read() as conn:
        assert conn.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == [migrate.HEAD]


def test_waiting_for_another_process_to_migrate_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from watchkeeper.store.clock import SystemClock

    monkeypatch.setattr(migrate.file_lock.__wrapped__, "__defaults__", (0.1,))  # type: ignore[attr-defined]
    lock = tmp_path / f"{FILE_NAME}.lock"
    with migrate.file_lock(lock, SystemClock()), pytest.raises(StoreBusyError, match="stuck"):
        open_store(tmp_path)
