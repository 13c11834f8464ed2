"""Where PostgreSQL's programs are taken from, also when root's environment is closed to others."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.running import needs_packages

pytestmark = needs_packages()


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="wk-demo-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


def run_as_server_user(program: Path) -> subprocess.CompletedProcess[str]:
    from watchkeeper.demo import launch
    from watchkeeper.demo.postgres import system_user

    command = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), "9", system_user() or "-"]
    command += [str(program), "--version"]
    return subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=20, check=False)


def test_the_wheels_programs_run_as_the_servers_user(open_directory: Path) -> None:
    from watchkeeper.demo.postgres import VERSION, binaries

    for program in ("initdb", "postgres", "pg_basebackup"):
        answer = run_as_server_user(binaries(open_directory) / program)
        assert f"(PostgreSQL) {VERSION}." in answer.stdout, answer.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user for PostgreSQL")
def test_a_closed_environment_is_copied_and_not_opened(
    open_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from watchkeeper.demo import postgres

    monkeypatch.setattr(postgres, "_open_to_all", lambda path: False)
    found = postgres.binaries(open_directory)
    assert found.is_relative_to(open_directory)
    for program in ("initdb", "postgres", "pg_basebackup"):
        answer = run_as_server_user(found / program)
        assert answer.returncode == 0, answer.stderr


def test_a_folder_that_others_cannot_enter_counts_as_closed(tmp_path: Path) -> None:
    from watchkeeper.demo.postgres import _open_to_all

    program = tmp_path / "program"
    program.touch(mode=0o755)
    tmp_path.chmod(0o700)
    assert not _open_to_all(program)
