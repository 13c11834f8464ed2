"""Opening, writing and reading the store; and what is said, and what is safe, when that goes wrong."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.postgresql import sqlite_only
from watchkeeper.store import journal
from watchkeeper.store.database import FILE_NAME, Store, open_existing, open_store
from watchkeeper.store.errors import (
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreMissingError,
    StoreReadOnlyError,
)


def _append(store: Store, now: datetime, facts: str = "") -> int:
    with store.write() as conn:
        return journal.append(conn, now, "k", "a", "s", {"facts": facts})


def _count(store: Store) -> int:
    with store.read() as conn:
        return journal.verify(conn).entries


@sqlite_only
def test_a_write_is_durable_and_in_write_ahead_mode(store: Store) -> None:
    with store.write() as conn:
        assert conn.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert conn.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
        assert conn.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_the_file_is_for_this_user_alone(tmp_path: Path) -> None:
    where = tmp_path / "data"
    open_store(where).close()
    assert stat.S_IMODE((where / FILE_NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE(where.stat().st_mode) == 0o700


def test_a_reader_sees_one_moment_and_waits_for_no_writer(store: Store, now: datetime) -> None:
    _append(store, now)
    with store.read() as before:
        assert journal.head(before).seq == 1
        with store.write() as conn:
            journal.append(conn, now, "k", "a", "s", {})
            with store.read() as other:
                assert journal.head(other).seq == 1
        assert journal.head(before).seq == 1
    assert _count(store) == 2


def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(StoreReadOnlyError), store.read() as conn:
        conn.execute(text("DELETE FROM alerts"))


def test_writers_in_many_threads_queue(store: Store, now: datetime) -> None:
    threads = [threading.Thread(target=_append, args=(store, now)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert _count(store) == 12


def test_a_write_inside_a_write_is_a_defect_and_says_so_at_once(store: Store) -> None:
    with pytest.raises(RuntimeError, match="inside"), store.write(), store.write():
        pass
    with store.write() as conn:
        conn.execute(text("SELECT 1"))


def test_a_store_that_another_process_holds_too_long_is_reported_busy(
    tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchkeeper.store.database.BUSY_SECONDS", 0.1)
    with open_store(tmp_path) as store, closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError, match="everything recorded before it is safe"):
            _append(store, now)
        other.execute("ROLLBACK")
        assert _append(store, now) == 1


@sqlite_only
def test_a_full_disk_loses_the_change_at_hand_and_nothing_else(store: Store, now: datetime) -> None:
    _append(store, now)
    with store.write() as conn:
        pages = conn.execute(text("PRAGMA page_count")).scalar()
        conn.execute(text(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(StoreFullError, match=r"no space left .* everything recorded before it is safe"):
        _append(store, now, "x" * 200_000)
    assert _count(store) == 1
    with store.write() as conn:
        conn.execute(text("PRAGMA max_page_count = 1000000"))
    assert _append(store, now, "x" * 200_000) == 2


FULL_DISK = textwrap.dedent("""
    import resource, signal, sys
    from datetime import UTC, datetime
    from pathlib import Path
    from watchkeeper.store import journal
    from watchkeeper.store.database import open_store
    from watchkeeper.store.errors import StoreError
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with open_store(sys.argv[1]) as store:
        largest = max(path.stat().st_size for path in Path(sys.argv[1]).iterdir())
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 200_000, resource.RLIM_INFINITY))
        written = 0
        try:
            while True:
                with store.write() as conn:
                    journal.append(conn, datetime(2026, 1, 5, tzinfo=UTC), "k", "a", "s", {"x": "y" * 20_000})
                written += 1
        except StoreError as error:
            print(written, error)
""")


def test_a_file_system_that_takes_no_more_leaves_an_intact_store(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    written = int(done.stdout.split()[0])
    assert written > 0
    assert "everything recorded before it is safe" in done.stdout
    with open_store(tmp_path) as store, store.read() as conn:
        report = journal.verify(conn)
    assert report.intact
    assert report.entries == written


@pytest.mark.parametrize("content", [b"not a database at all, but somebody's notes", b"SQLite", b"\0" * 8192])
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    for opening in (open_store, open_existing):
        with pytest.raises(StoreCorruptError, match="was not touched"):
            opening(tmp_path)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as other, other:
        other.execute("CREATE TABLE recipes (name)")
        other.execute("INSERT INTO recipes VALUES ('soup')")
    with pytest.raises(StoreCorruptError, match="'recipes'"):
        open_store(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
        assert other.execute("SELECT name FROM recipes").fetchall() == [("soup",)]


def test_a_damaged_store_says_so_and_is_not_overwritten(tmp_path: Path, now: datetime) -> None:
    with open_store(tmp_path) as store:
        for _ in range(50):
            _append(store, now, "x" * 1000)
    path = tmp_path / FILE_NAME
    content = bytearray(path.read_bytes())
    content[100:] = os.urandom(len(content) - 100)
    path.write_bytes(content)
    for opening in (open_store, open_existing):
        with pytest.raises(StoreCorruptError, match=r"is damaged .* was not overwritten"):
            opening(tmp_path)
    assert path.read_bytes()[100:] == content[100:]


def test_a_page_damaged_in_the_middle_is_reported_when_it_is_read(tmp_path: Path, now: datetime) -> None:
    with open_store(tmp_path) as store:
        for _ in range(200):
            _append(store, now, "x" * 1000)
    path = tmp_path / FILE_NAME
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 16 * 4096] = b"\xff" * (16 * 4096)
    path.write_bytes(content)
    with open_store(tmp_path) as store, pytest.raises(StoreCorruptError, match="is damaged"):
        _count(store)


def test_reading_where_there_is_no_store_says_so_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(StoreMissingError, match="watchkeeper serve"):
        open_existing(tmp_path / "nowhere")
    with pytest.raises(StoreMissingError):
        open_existing(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_store_opened_for_reading_refuses_to_write(place: Path | str, now: datetime) -> None:
    with open_store(place) as store:
        _append(store, now)
    with open_existing(place) as reading:
        assert _count(reading) == 1
        assert reading.read_only
        with pytest.raises(StoreReadOnlyError, match="nothing was changed"), reading.write():
            pass
        with pytest.raises(StoreReadOnlyError), reading.read() as conn:
            conn.execute(text("DELETE FROM alerts"))


def test_a_reader_follows_a_writer_in_another_process(place: Path | str, now: datetime) -> None:
    with open_store(place) as store, open_existing(place) as reading:
        for expected in (1, 2, 3):
            _append(store, now)
            assert _count(reading) == expected


def test_a_path_with_any_characters_works(tmp_path: Path, now: datetime) -> None:
    where = tmp_path / "100% of a #path? with spaces & ünïcode"
    with open_store(where) as store:
        _append(store, now)
    with open_existing(where) as reading:
        assert _count(reading) == 1


def test_a_directory_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="--data"):
        open_store(tmp_path / "file" / "data")


KILLED = textwrap.dedent("""
    import os, signal, sys
    from datetime import UTC, datetime
    from watchkeeper.store import journal
    from watchkeeper.store.database import open_store
    store = open_store(sys.argv[1])
    for number in range(5):
        with store.write() as conn:
            journal.append(conn, datetime(2026, 1, 5, tzinfo=UTC), "k", "a", "s", {})
    with store.write() as conn:
        journal.append(conn, datetime(2026, 1, 5, tzinfo=UTC), "k", "a", "half done", {})
        os.kill(os.getpid(), signal.SIGKILL)
""")


def test_a_process_killed_in_a_write_loses_that_write_and_no_other(place: Path | str) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(place)], timeout=60, check=False)
    with open_store(place) as store:
        assert _count(store) == 5
        assert _append(store, datetime.fromisoformat("2026-01-06T00:00:00Z") + timedelta()) == 6
