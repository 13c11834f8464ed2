"""What stands in the way of ``serve`` is said in a sentence, before anything is started or touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.serving import METRICS, Deployment, Serving, broken, deployment


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One deployment for the tests that leave it as they found it."""
    with deployment(tmp_path_factory.mktemp("served")) as parts:
        yield parts


def test_a_second_serve_on_the_same_data_directory_is_refused_and_harms_nothing(
    served: Deployment, tmp_path: Path
) -> None:
    serving, _, _ = served
    second = Serving(tmp_path, serving.overlay.read_text())
    second.data = serving.data
    said = second.refused()
    assert serving.process is not None
    assert f"another `watchkeeper serve` (process {serving.process.pid}) runs on {serving.data}" in said
    assert "--data" in said
    assert serving.ready()


def test_a_second_serve_on_the_same_address_is_refused_before_it_starts_anything(
    served: Deployment, tmp_path: Path
) -> None:
    serving, _, _ = served
    second = Serving(tmp_path, serving.overlay.read_text())
    second.port = serving.port
    said = second.refused()
    assert f"cannot listen on 127.0.0.1:{serving.port}: Address already in use" in said
    assert "WATCHKEEPER_LISTEN" in said
    assert not (second.data / "watchkeeper.db").exists()
    assert serving.ready()


def test_a_store_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    serving = Serving(tmp_path, METRICS.replace("TARGET", "127.0.0.1:1"))
    serving.data.mkdir(mode=0o700)
    garbage = b"not a database, but somebody's last copy of something" * 100
    (serving.data / "watchkeeper.db").write_bytes(garbage)
    said = serving.refused()
    assert f"{serving.data / 'watchkeeper.db'} is not a SQLite database" in said
    assert "not touched" in said
    assert (serving.data / "watchkeeper.db").read_bytes() == garbage


def test_a_damaged_store_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    serving = Serving(tmp_path, METRICS.replace("TARGET", "127.0.0.1:1"))
    serving.data.mkdir(mode=0o700)
    damaged = b"SQLite format 3\0" + os.urandom(8192)
    (serving.data / "watchkeeper.db").write_bytes(damaged)
    said = serving.refused()
    assert "watchkeeper.db" in said
    assert (serving.data / "watchkeeper.db").read_bytes() == damaged


def test_a_data_directory_that_cannot_be_made_or_used_is_said_so(tmp_path: Path) -> None:
    serving = Serving(tmp_path, METRICS.replace("TARGET", "127.0.0.1:1"))
    serving.data = tmp_path / "file"
    serving.data.write_text("")
    assert f"the data directory {serving.data} cannot be used: File exists" in serving.refused()
    serving.data = Path("/proc/watchkeeper")
    assert (
        "the data directory /proc/watchkeeper cannot be used: No such file or directory" in serving.refused()
    )


def test_a_data_directory_that_may_not_be_read_is_said_so() -> None:
    home = Path(tempfile.mkdtemp(prefix="watchkeeper-"))  # pytest's own is closed to everybody else
    try:
        home.chmod(0o755)
        data = home / "data"
        data.mkdir(mode=0o700 if os.getuid() == 0 else 0o000)
        done = subprocess.run([sys.executable, "-c", _AS_NOBODY, str(data)], capture_output=True, text=True)
        assert f"the data directory {data} cannot be used: Permission denied" in done.stdout, done.stderr
    finally:
        shutil.rmtree(home)


_AS_NOBODY = """
import os, pathlib, sys
from watchkeeper.app import settings
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    settings.prepare_data_directory(pathlib.Path(sys.argv[1]))
except settings.SettingsError as error:
    print(error)
"""


def test_a_directory_that_is_somebody_elses_home_is_not_taken_over(tmp_path: Path) -> None:
    serving = Serving(tmp_path, METRICS.replace("TARGET", "127.0.0.1:1"))
    serving.data.mkdir()
    serving.data.chmod(0o755)
    (serving.data / "letter.txt").write_text("dear")
    said = serving.refused()
    assert "open to other users and holds other things (letter.txt); nothing was changed" in said
    assert serving.data.stat().st_mode & 0o777 == 0o755


def test_a_broken_runbook_at_the_start_is_shown_with_its_line(tmp_path: Path) -> None:
    serving = Serving(tmp_path, METRICS.replace("TARGET", "127.0.0.1:1"))
    serving.runbook.write_text(broken(serving.runbook.read_text()))
    said = serving.refused()
    assert f"{serving.runbook}:" in said
    assert "unknown key `monitorring`" in said
    assert not serving.data.exists()
