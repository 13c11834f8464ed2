"""Which store a command means."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.postgresql import Server
from watchkeeper.cli.main import app
from watchkeeper.store.database import open_store

URL = "postgresql://wk:hunter2@127.0.0.1:1/watchkeeper"


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, words)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.output


@pytest.mark.parametrize(
    "words",
    [
        ("alerts",),
        ("alerts", "ack", "--all"),
        ("silences",),
        ("silences", "end", "1"),
        ("journal", "verify"),
        ("users", "list"),
        ("tokens", "list"),
    ],
)
def test_a_database_that_is_not_there_is_said_and_its_password_is_not(words: tuple[str, ...]) -> None:
    code, said = run(*words, "--store", URL)
    assert code == 1
    assert "postgresql://wk@127.0.0.1:1/watchkeeper cannot be reached" in said
    assert "every user of this machine can read the password in --store" in said
    assert "hunter2" not in said


def test_the_environment_names_the_store_and_the_option_another(
    postgresql: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with postgresql.store() as url:
        monkeypatch.setenv("WATCHKEEPER_STORE", url)
        assert run("users", "add", "ada", "--as", "bob")[0] == 0
        assert "ada" in run("users", "list")[1]
        code, said = run("users", "list", "--store", postgresql.database())
        assert (code, "there is no store in postgresql://postgres@/test_" in said) == (1, True)
        monkeypatch.delenv("WATCHKEEPER_STORE")
        open_store(tmp_path / ".watchkeeper").close()
        assert "ada" not in run("users", "list")[1]


@pytest.mark.parametrize("text", ["hunter2", "db.example.com/hunter2", "/var/lib/hunter2"])
def test_what_is_no_url_is_refused_and_not_shown(text: str) -> None:
    code, said = run("users", "list", "--store", text)
    assert code == 1
    assert "is no URL; write it like postgresql://" in said
    assert "hunter2" not in said
