"""Restoring: the whole copy or nothing, and what was there is kept."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from tests.store.conftest import NOW
from tests.store.test_backup import CLOCK, NAMES, fill, make
from watchkeeper.store import journal, migrate, outbox, restore
from watchkeeper.store.backup import manifest_path
from watchkeeper.store.database import FILE_NAME, open_existing, open_store
from watchkeeper.store.errors import BackupError, StoreError
from watchkeeper.store.models import leases
from watchkeeper.store.restore import Restored
from watchkeeper.store.restore import restore as put_back


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with twenty entries and a row of the outbox, of which copies are made beside it."""
    where = tmp_path / "data"
    with open_store(where) as store:
        fill(store)
        with store.write() as conn:
            outbox.enqueue(conn, NOW, "r", "o", "d", {"text": "wake up"})
            number = outbox.enqueue(conn, NOW, "r", "o", "d", {"text": "again"})
            outbox.prune(conn, NOW + timedelta(days=99))
            assert number == 2
        for name in NAMES:
            make(store, tmp_path / name)
        fill(store, 5)
    return where


def run(path: Path, data: Path) -> Restored:
    return put_back(path, data, CLOCK, by="person:ada")


def entries(data: Path) -> list[journal.Entry]:
    with open_existing(data) as store, store.read() as conn:
        assert journal.verify(conn).intact
        return journal.entries(conn)


@pytest.mark.parametrize("name", NAMES)
def test_the_copy_is_the_store_and_what_was_there_is_beside_it(data: Path, tmp_path: Path, name: str) -> None:
    before = entries(data)
    done = run(tmp_path / name, data)
    assert done.aside is not None
    after = entries(data)
    assert after[: done.manifest.entries] == before[: done.manifest.entries]
    said = after[-1]
    assert (said.kind, said.actor, said.facts["set_aside"]) == (
        "store.restored",
        "person:ada",
        done.aside.name,
    )
    assert said.facts["set_aside_head"] == f"{before[-1].seq}:{before[-1].hash}"
    with closing(sqlite3.connect(done.aside)) as raw:
        assert raw.execute("SELECT MAX(seq) FROM journal").fetchone() == (before[-1].seq,)
    assert stat.S_IMODE((data / FILE_NAME).stat().st_mode) == 0o600
    assert not (data / restore.WORKSHOP).exists()
    with open_store(data) as store, store.write() as conn:
        assert outbox.enqueue(conn, NOW, "r", "o", "d", {}) == 3, "a number of before is never used again"


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_restored_where_there_is_nothing(data: Path, tmp_path: Path, name: str) -> None:
    done = run(tmp_path / name, _empty(tmp_path))
    assert done.aside is None
    assert len(entries(tmp_path / "new")) == done.manifest.entries + 1


def _empty(tmp_path: Path) -> Path:
    (tmp_path / "new").mkdir()
    return tmp_path / "new"


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_copy_changes_nothing(data: Path, tmp_path: Path, name: str) -> None:
    path, before = tmp_path / name, (data / FILE_NAME).read_bytes()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(BackupError):
        run(path, data)
    assert (data / FILE_NAME).read_bytes() == before
    assert not list(data.glob(f"{restore.ASIDE}*"))


def test_a_copy_whose_journal_is_another_is_refused_although_its_digest_fits(
    data: Path, tmp_path: Path
) -> None:
    path = tmp_path / "copy.db"
    manifest = manifest_path(path)
    manifest.write_text(manifest.read_text().replace('"entries": 20', '"entries": 19'))
    with pytest.raises(BackupError, match="does not hold the journal"):
        run(path, data)


def test_a_damaged_store_is_set_aside_with_its_log(data: Path, tmp_path: Path) -> None:
    (data / FILE_NAME).write_bytes(b"SQLite format 3\0" + os.urandom(5000))
    (data / f"{FILE_NAME}-wal").write_bytes(b"of before")
    done = run(tmp_path / "copy.db", data)
    assert done.before is None
    assert done.aside is not None
    assert done.aside.read_bytes().startswith(b"SQLite format 3\0")
    assert len(entries(data)) == done.manifest.entries + 1


def test_a_copy_of_an_older_schema_is_brought_up_to_date(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as first:
        first.setattr(migrate, "HEAD", "0009")
        with open_store(tmp_path / "old") as store:
            fill(store)
            make(store, tmp_path / "old.db")
    done = run(tmp_path / "old.db", data)
    assert done.upgraded_from == "0009"
    assert len(entries(data)) == 21


class DeathError(BaseException):
    """The process is gone."""


def test_at_every_moment_there_is_a_whole_store(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, path = entries(data), tmp_path / "copy.db"
    calls = {"left": 0}

    def dying(name: str) -> None:
        real = getattr(os, name)

        def call(*args: object, **kwargs: object) -> object:
            calls["left"] -= 1
            if calls["left"] == 0:
                raise DeathError
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, call)

    for name in ("link", "unlink", "replace", "fsync", "rename"):
        dying(name)
    died = 0
    for at in range(1, 60):
        calls["left"] = at
        try:
            run(path, data)
        except DeathError:
            died += 1
            calls["left"] = 0
            found = entries(data)
            assert found == old or found[-1].kind == "store.restored", at
        else:
            break
    assert died > 4
    calls["left"] = 0
    assert entries(data)[-1].kind == "store.restored"


def test_a_portable_copy_goes_into_an_empty_store_only(data: Path, tmp_path: Path) -> None:
    from watchkeeper.store import portable

    with open_store(tmp_path / "other") as store:
        with store.write() as conn:
            conn.execute(insert(leases).values(name="x", owner="o", epoch=1, acquired_at=NOW, expires_at=NOW))
        with pytest.raises(StoreError, match="not empty"), store.write() as conn:
            portable.load(conn, tmp_path / "copy.tar.zst", store.place)
        with store.read() as conn:
            assert conn.execute(select(leases.c.name)).scalars().all() == ["x"]
