"""``watchkeeper store``, as an administrator calls it; a running `serve` keeps its store."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from typer.testing import CliRunner, Result

from watchkeeper.app.instance import sole_instance
from watchkeeper.cli.main import app
from watchkeeper.store import journal
from watchkeeper.store.clock import SystemClock
from watchkeeper.store.database import FILE_NAME, open_existing

NOW = datetime(2026, 1, 5, 3, tzinfo=UTC)


def run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--data", str(data)])


def note(data: Path, subject: str) -> None:
    with open_existing(data, write=True) as store, store.write() as conn:
        journal.append(conn, NOW, "k", "a", subject, {})


def test_a_copy_is_made_described_and_put_back(data: Path, tmp_path: Path) -> None:
    note(data, "before")
    made = run(data, "store", "backup", str(tmp_path / "copy.db"), "--as", "ada")
    assert made.exit_code == 0, made.output
    assert "1 journal entries, proved" in made.stdout
    note(data, "after")
    restored = run(data, "store", "restore", str(tmp_path / "copy.db"), "--as", "ada")
    assert restored.exit_code == 0, restored.output
    assert "is now the store in" in restored.stdout
    assert "before-restore-" in restored.stdout
    verified = run(data, "journal", "verify")
    assert "2 entries, the chain is intact" in verified.stdout
    assert "after" not in run(data, "journal", "tail").stdout


def test_a_directory_gets_a_name_by_the_time_and_a_second_copy_of_that_name_is_refused(
    data: Path, tmp_path: Path
) -> None:
    where = tmp_path / "copies"
    where.mkdir()
    assert run(data, "store", "backup", str(where)).exit_code == 0
    (copy,) = where.glob("watchkeeper-2*Z.db")
    refused = run(data, "store", "backup", str(copy))
    assert refused.exit_code == 1
    assert "there already" in refused.stderr


def test_a_running_serve_keeps_its_store(data: Path, tmp_path: Path) -> None:
    run(data, "store", "backup", str(tmp_path / "copy.db"))
    before = (data / FILE_NAME).read_bytes()
    with sole_instance(data, SystemClock()):
        refused = run(data, "store", "restore", str(tmp_path / "copy.db"))
    assert refused.exit_code == 1
    assert "another `watchkeeper serve`" in refused.stderr
    assert (data / FILE_NAME).read_bytes() == before


def test_what_there_is_is_told(data: Path) -> None:
    note(data, "x")
    (data / "backups").mkdir()
    assert "no copies yet" in run(data, "store", "info").stdout
    run(data, "store", "backup", str(data / "backups"))
    told = json.loads(run(data, "store", "info", "--json").stdout)
    assert told["journal"]["entries"] == 2
    assert told["rows"]["alerts"] == 3
    assert [one["entries"] for one in told["copies"]] == [1]
    assert "schema" in run(data, "store", "info").stdout


def test_a_row_that_was_edited_with_the_triggers_gone_is_named_by_verify(data: Path) -> None:
    for number in range(5):
        note(data, f"s{number}")
    with closing(sqlite3.connect(data / FILE_NAME)) as raw, raw:
        for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP TRIGGER {name}")
        raw.execute("UPDATE journal SET subject = 's9' WHERE seq = 3")
    broken = run(data, "journal", "verify")
    assert broken.exit_code == 1
    assert "broken at entry 3" in broken.stderr
    refused = run(data, "store", "backup", str(data / "copy.db"))
    assert refused.exit_code == 1
    assert "broken at entry 3" in refused.stderr


def test_one_byte_changed_in_the_file_is_named_by_verify(data: Path) -> None:
    for number in range(5):
        note(data, f"subject-{number}")
    with closing(sqlite3.connect(data / FILE_NAME)) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    content = bytearray((data / FILE_NAME).read_bytes())
    places, at = [], content.find(b"subject-2")
    while at >= 0:  # in the table and in an index
        places.append(at)
        at = content.find(b"subject-2", at + 1)
    assert places
    for place in places:
        content[place] ^= 0x20
    (data / FILE_NAME).write_bytes(content)
    broken = run(data, "journal", "verify")
    assert broken.exit_code == 1
    assert "broken at entry 3" in broken.stderr
