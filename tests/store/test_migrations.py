"""The schema: what the models declare is what the migrations build, and only we may have built it."""

from __future__ import annotations

import importlib
import pkgutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, inspect, text

from tests.postgresql import sqlite_only
from tests.store.conftest import NOW
from watchkeeper.store import journal, migrate
from watchkeeper.store.database import FILE_NAME, Store, open_existing, open_store
from watchkeeper.store.errors import StoreBusyError, StoreError, StoreNewerError
from watchkeeper.store.migrations import versions
from watchkeeper.store.models import metadata


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


def test_a_store_of_the_first_version_is_brought_up_with_all_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as first:
        first.setattr(migrate, "HEAD", "0001")
        with open_store(tmp_path) as store, store.write() as conn:
            journal.append(conn, NOW, "alert.firing", "watch", "alert:1", {})
            assert "oncall_overrides" not in inspect(conn).get_table_names()
    with open_store(tmp_path) as store, store.read() as conn:
        assert "oncall_overrides" in inspect(conn).get_table_names()
        assert journal.verify(conn).intact
        assert journal.head(conn).seq == 1


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


def _fail(*_given: object, **_named: object) -> None:
    raise OSError(5, "power cut")


def test_processes_that_start_at_the_same_time_migrate_once(tmp_path: Path) -> None:
    program = "import sys; from watchkeeper.store.database import open_store; open_store(sys.argv[1]).close()"
    children = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) for _ in range(4)]
    assert [child.wait(60) for child in children] == [0, 0, 0, 0]
    with open_existing(tmp_path) as store, store.read() as conn:
        assert conn.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == [migrate.HEAD]


def test_waiting_for_another_process_to_migrate_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from watchkeeper.store.clock import SystemClock

    monkeypatch.setattr(migrate.file_lock.__wrapped__, "__defaults__", (0.1,))  # type: ignore[attr-defined]
    lock = tmp_path / f"{FILE_NAME}.lock"
    with migrate.file_lock(lock, SystemClock()), pytest.raises(StoreBusyError, match="stuck"):
        open_store(tmp_path)
