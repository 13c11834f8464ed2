"""Copies: whole, proved, for their owner alone, made while others write."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import threading
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.store.conftest import NOW
from watchkeeper.store import backup, journal
from watchkeeper.store.backup import back_up, manifest_path, read_manifest
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store, open_store
from watchkeeper.store.errors import BackupError, StoreNewerError
from watchkeeper.store.restore import restore

CLOCK = ManualClock(NOW)
NAMES = ["copy.db", "copy.tar.zst"]


def fill(store: Store, entries: int = 20) -> None:
    with store.write() as conn:
        for number in range(entries):
            cited = [(f"c{number % 3}", "met")] if number % 2 else []
            journal.append(conn, NOW, "k", "a", "s", {"n": number, "w": "żółw \u2028"}, cited)


def make(store: Store, path: Path) -> backup.Manifest:
    return back_up(store, CLOCK, path, by="person:ada")


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_proved_described_and_for_its_owner_alone(store: Store, tmp_path: Path, name: str) -> None:
    fill(store)
    path = tmp_path / name
    made = make(store, path)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(manifest_path(path).stat().st_mode) == 0o600
    assert read_manifest(path) == made
    assert (made.entries, made.bytes) == (20, path.stat().st_size)
    assert not list(tmp_path.glob("*partial*"))
    with store.read() as conn:
        last = journal.entries(conn)[-1]
    assert (last.kind, last.actor, last.facts["head"]) == ("store.backed_up", "person:ada", made.head)


def test_a_sqlite_copy_is_one_file_that_sqlite_itself_reads(store: Store, tmp_path: Path) -> None:
    fill(store)
    make(store, tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as raw:
        assert raw.execute("SELECT COUNT(*) FROM journal").fetchone() == (20,)
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert sorted(one.name for one in tmp_path.glob("copy*")) == ["copy.db", "copy.db.manifest.json"]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_meanwhile_neither_waits_nor_tears_the_copy(
    store: Store, tmp_path: Path, name: str
) -> None:
    fill(store, 1500)
    stop = threading.Event()
    written: list[int] = []

    def write() -> None:
        while not stop.is_set():
            with store.write() as conn:
                written.append(journal.append(conn, NOW, "k", "a", "s", {}))
            time.sleep(0.005)  # SQLite's lock goes to whoever asks first: leave a gap

    thread = threading.Thread(target=write)
    thread.start()
    try:
        made = [make(store, tmp_path / f"{number}-{name}") for number in range(3)]
    finally:
        stop.set()
        thread.join()
    assert written
    assert 1500 <= made[0].entries < made[1].entries < made[2].entries
    with open_store(tmp_path / "other"):
        restored = restore(tmp_path / f"2-{name}", tmp_path / "other", CLOCK, by="person:ada")
    assert restored.manifest == made[2]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_overwritten(store: Store, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("mine")
    with pytest.raises(BackupError, match="there already"):
        make(store, path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_journal_gives_no_copy(store: Store, tmp_path: Path, name: str) -> None:
    fill(store)
    with store.write() as conn:
        for trigger in conn.execute(text("SELECT name FROM sqlite_master WHERE type='trigger'")).scalars():
            conn.execute(text(f"DROP TRIGGER {trigger}"))
        conn.execute(text("UPDATE journal SET subject = 'other' WHERE seq = 7"))
    with pytest.raises(BackupError, match="broken at entry 7"):
        make(store, tmp_path / name)
    assert not list(tmp_path.glob("*copy*"))


def test_a_place_that_cannot_be_written_is_said_so(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="No such file or directory"):
        make(store, tmp_path / "nowhere" / "copy.db")


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_that_was_changed_is_found_out(store: Store, tmp_path: Path, name: str) -> None:
    fill(store)
    path = tmp_path / name
    make(store, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BackupError, match="damaged or changed"):
        read_manifest(path)


def test_a_manifest_that_is_missing_garbage_or_newer_is_refused(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "copy.db"
    make(store, path)
    place = manifest_path(path)
    good = json.loads(place.read_text())
    for said, error in (
        (json.dumps({**good, "revision": "9999"}), StoreNewerError),
        (json.dumps({**good, "format": 2}), BackupError),
        (json.dumps({**good, "kind": ["sqlite"]}), BackupError),
        (json.dumps([1]), BackupError),
        ("{", BackupError),
    ):
        place.write_text(said)
        with pytest.raises(error):
            read_manifest(path)
    place.unlink()
    with pytest.raises(BackupError, match="manifest"):
        read_manifest(path)


def test_the_newest_are_kept_and_what_is_not_ours_is_left_alone(store: Store, tmp_path: Path) -> None:
    where = tmp_path / "backups"
    where.mkdir()
    for day in range(9):
        make(store, where / backup.dated_name(NOW + timedelta(days=day), store))
    (where / "watchkeeper-20250101T000000Z.db").write_text("without a manifest")
    (where / "notes.txt").write_text("mine")
    assert backup.prune(where, 7) == ["watchkeeper-20260105T030000Z.db", "watchkeeper-20260106T030000Z.db"]
    assert len(list(where.glob("*.manifest.json"))) == 7
    assert len(os.listdir(where)) == 7 * 2 + 2
    assert [kept.manifest is None for kept in backup.copies(where)] == [True] + [False] * 7
