"""``watchkeeper evidence``, as somebody calls it before an audit."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.app.packages import ERRORS, TEXT, fill
from watchkeeper.cli.main import app
from watchkeeper.store.database import FILE_NAME, open_existing


@pytest.fixture
def proved(data: Path) -> Path:
    with open_existing(data, write=True) as store:
        fill(store)
    (data / "runbook.yaml").write_text(TEXT)
    return data


def export(data: Path, *arguments: str) -> Result:
    options = ["--data", str(data), "--runbook", str(data / "runbook.yaml"), "--since", "2026-01-01"]
    return CliRunner().invoke(app, ["evidence", "export", *options, *arguments])


@pytest.mark.parametrize("form", ["json", "csv", "markdown", "pdf"])
def test_each_form_is_written_whole(proved: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / "package"
    done = export(proved, "--until", "2026-03-31", "--format", form, "--output", str(out))
    assert done.exit_code == 0, done.output
    assert "4 pieces of evidence; the journal is intact" in done.stderr
    first = out.read_bytes()
    assert ERRORS.encode() in first or first.startswith(b"%PDF-")
    export(proved, "--until", "2026-04-01T00:00Z", "--format", form, "--output", str(out))
    assert out.read_bytes() == first, "a day means all of it"


def test_standard_output_and_one_section(proved: Path) -> None:
    done = export(proved, "--section", "backups", "--output", "-")
    assert {one["section"] for one in json.loads(done.stdout)["clauses"]} == {"backups"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--section", "backup", "--output", "-"], "there is no section 'backup'"),
        (["--until", "2025-12-01", "--output", "-"], "the period is empty"),
        (["--output", "/nowhere/x"], "cannot be written"),
    ],
)
def test_what_cannot_be_is_a_sentence(proved: Path, arguments: list[str], said: str) -> None:
    refused = export(proved, *arguments)
    assert refused.exit_code == 1
    assert said in refused.stderr


def test_a_broken_journal_is_exit_code_1_and_the_package_says_so(proved: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(proved / FILE_NAME)) as raw, raw:
        for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP TRIGGER {name}")
        raw.execute("UPDATE journal SET at = at + 1 WHERE seq = 2")
    done = export(proved, "--output", str(tmp_path / "x.json"))
    assert done.exit_code == 1
    assert "BROKEN at entry 2" in done.stderr
    assert json.loads((tmp_path / "x.json").read_text())["journal"]["broken"] == 2


def test_the_evidence_of_a_clause_is_listed_newest_first(proved: Path) -> None:
    def listed(clause: str, *more: str) -> Result:
        return CliRunner().invoke(app, ["evidence", "list", clause, "--data", str(proved), *more])

    lines = listed(ERRORS).stdout.splitlines()
    assert [line.split()[3] for line in lines] == ["missed", "met", "missed", "met"]
    assert len(listed(ERRORS, "-n", "1").stdout.splitlines()) == 1
    assert "nothing has ever proved" in listed("no.such").stderr
