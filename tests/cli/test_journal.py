"""``watchkeeper journal``, as people and scripts call it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from watchkeeper.cli.journal import app
from watchkeeper.store import journal
from watchkeeper.store.database import FILE_NAME, open_store

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    with open_store(tmp_path) as store, store.write() as conn:
        journal.append(
            conn,
            NOW,
            "alert.firing",
            "watch",
            "alert:1",
            {"summary": "7 % fail\x1b[2J"},
            [("m.api", "missed")],
        )
        journal.append(
            conn, NOW + timedelta(minutes=5), "alert.resolved", "watch", "alert:1", {"value": 0.01}
        )
        journal.append(conn, datetime.now(UTC), "runbook.loaded", "watch", "runbook", {})
    return tmp_path


def _run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--data", str(data)], color=True)


def test_tail_shows_the_newest_entries_one_per_line(data: Path) -> None:
    lines = _run(data, "tail", "-n", "2").stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].split() == ["2", "2026-01-05", "03:05:00Z", "alert.resolved", "alert:1", "value=0.01"]


def test_what_came_from_outside_cannot_move_the_cursor(data: Path) -> None:
    assert "\x1b" not in _run(data, "tail").stdout
    assert "[m.api missed]" in _run(data, "tail").stdout


def test_json_is_one_whole_entry_per_line(data: Path) -> None:
    entry = json.loads(_run(data, "search", "--clause", "m.api", "--json").stdout)
    assert entry | {"hash": ""} == {
        "seq": 1,
        "at": "2026-01-05T03:00:00Z",
        "kind": "alert.firing",
        "actor": "watch",
        "subject": "alert:1",
        "facts": {"summary": "7 % fail\x1b[2J"},
        "evidence": [{"clause": "m.api", "verdict": "missed"}],
        "hash": "",
    }


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        (["--subject", "alert:1"], [1, 2]),
        (["--kind", "alert.*"], [1, 2]),
        (["--kind", "alert.resolved"], [2]),
        (["--since", "2026-01-05T03:05Z"], [2, 3]),
        (["--since", "2026-01-05 03:05"], [2, 3]),
        (["--since", "1h"], [3]),
        (["--after", "2"], [3]),
        (["--subject", "alert:1", "--after", "1"], [2]),
        (["--subject", "nothing"], []),
    ],
)
def test_search_by_every_condition(data: Path, conditions: list[str], found: list[int]) -> None:
    lines = _run(data, "search", "--json", *conditions).stdout.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == found


def test_a_time_that_is_none_is_a_wrong_call(data: Path) -> None:
    result = _run(data, "search", "--since", "yesterday")
    assert result.exit_code == 2
    assert "15m" in result.output


def test_verify_prints_the_head_and_holds_it_to_an_earlier_one(data: Path) -> None:
    result = _run(data, "verify")
    assert result.exit_code == 0
    head = result.stdout.rsplit(" ", 1)[1].strip()
    assert head.startswith("3:")
    assert _run(data, "verify", "--anchor", head).exit_code == 0
    assert _run(data, "verify", "--anchor", f"4:{'0' * 64}").exit_code == 1
    assert _run(data, "verify", "--anchor", "nonsense").exit_code == 2


def test_verify_names_the_entry_that_was_changed(data: Path) -> None:
    with closing(sqlite3.connect(data / FILE_NAME)) as raw, raw:
        raw.execute("DROP TRIGGER journal_no_update")
        raw.execute("UPDATE journal SET actor = 'nobody' WHERE seq = 2")
    result = _run(data, "verify")
    assert result.exit_code == 1
    assert "broken at entry 2" in result.output
    report = json.loads(_run(data, "verify", "--json").stdout)
    assert (report["intact"], report["entries"], report["broken"]) == (False, 1, 2)


@pytest.mark.parametrize("command", ["tail", "search", "verify"])
def test_where_there_is_no_store_each_command_says_so(tmp_path: Path, command: str) -> None:
    result = _run(tmp_path, command)
    assert result.exit_code == 1
    assert "no store" in result.output
    assert list(tmp_path.iterdir()) == []


def test_following_prints_entries_as_they_come(data: Path) -> None:
    program = "from watchkeeper.cli.journal import app; app()"
    command = [sys.executable, "-c", program, "tail", "-f", "-n", "1", "--json", "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert json.loads(child.stdout.readline())["seq"] == 3
        with open_store(data) as store, store.write() as conn:
            journal.append(conn, NOW, "k", "a", "s", {})
        assert json.loads(child.stdout.readline())["seq"] == 4
        os.kill(child.pid, signal.SIGINT)
        child.wait(10)


def test_the_command_costs_nothing_until_it_runs() -> None:
    program = (
        "import sys, watchkeeper.cli.journal; print('sqlalchemy' in sys.modules, 'pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
