"""``watchkeeper jobs``, as somebody on the machine calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from tests.app.serving import METRICS, RUNBOOK
from watchkeeper.app import inforce
from watchkeeper.app.jobs import jobs_of
from watchkeeper.app.settings import read_settings
from watchkeeper.cli.main import app
from watchkeeper.store import job_rows, journal
from watchkeeper.store.clock import SystemClock
from watchkeeper.store.database import open_existing, open_store


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory whose jobs are registered, and the runbook in the environment."""
    runbook, overlay = tmp_path / "runbook.yaml", tmp_path / "overlay.yaml"
    runbook.write_text(RUNBOOK)
    overlay.write_text(METRICS.replace("TARGET", "127.0.0.1:1"))
    monkeypatch.setenv("WATCHKEEPER_RUNBOOK", str(runbook))
    monkeypatch.setenv("WATCHKEEPER_OVERLAY", str(overlay))
    settings = read_settings(data=tmp_path / "data")
    with open_store(settings.data) as store, store.write() as conn:
        known = jobs_of(settings, inforce.choose(settings).loaded.runbook)
        job_rows.register(conn, SystemClock().now(), known, begin=True)
    return settings.data


def run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["jobs", *arguments, "--data", str(data)])


def test_jobs_are_listed_with_their_next_time(data: Path) -> None:
    listed = run(data, "list")
    assert listed.exit_code == 0
    assert "journal-verify" in listed.stdout
    assert "next 20" in listed.stdout
    found = {one["name"]: one for one in json.loads(run(data, "list", "--json").stdout)}
    assert found["journal-verify"]["schedule"].startswith("cron 20 3 * * * UTC")
    assert found["journal-verify"]["last_outcome"] is None


def test_a_job_is_run_now_and_its_history_is_told(data: Path) -> None:
    done = run(data, "run", "journal-verify", "--as", "ada")
    assert done.exit_code == 0, done.output
    assert "the chain is intact" in done.stdout
    told = run(data, "history", "journal-verify").stdout
    assert "job.started" in told
    assert "job.ended" in told
    assert "done 20" in run(data, "list").stdout


def test_a_job_that_ends_badly_is_exit_code_1(data: Path) -> None:
    with open_existing(data, write=True) as store, store.write() as conn:
        journal.append(conn, SystemClock().now(), "k", "a", "s", {})
        for name in conn.execute(text("SELECT name FROM sqlite_master WHERE type='trigger'")).scalars():
            conn.execute(text(f"DROP TRIGGER {name}"))
        conn.execute(text("UPDATE journal SET subject = 'S'"))
    failed = run(data, "run", "journal-verify")
    assert failed.exit_code == 1
    assert "BROKEN at entry 1" in failed.stderr


def test_a_job_is_paused_and_goes_on(data: Path) -> None:
    assert "paused by person:ada" in run(data, "pause", "link-check", "--as", "ada").stdout
    assert "paused by person:ada" in run(data, "list").stdout
    assert "next 20" in run(data, "resume", "link-check", "--as", "ada").stdout


@pytest.mark.parametrize("command", ["run", "pause", "resume"])
def test_a_job_that_is_none_is_said_in_a_sentence(data: Path, command: str) -> None:
    refused = run(data, command, "dmup")
    assert refused.exit_code == 1
    assert "there is no job 'dmup'" in refused.stderr
    assert "knows nothing" in run(data, "history", "dmup").stderr
