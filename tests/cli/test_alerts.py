"""``watchkeeper alerts`` and ``alerts ack``, as somebody calls them at night."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

from sqlalchemy import select
from typer.testing import CliRunner, Result

from watchkeeper.cli.alerts import app
from watchkeeper.store import journal
from watchkeeper.store.database import open_store
from watchkeeper.store.models import alerts


def _run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--data", str(data)], color=True)


def _acked(data: Path) -> dict[str, str | None]:
    with open_store(data) as store, store.read() as conn:
        return {row.fingerprint: row.acked_by for row in conn.execute(select(alerts))}


def test_the_list_says_who_has_what_and_cannot_move_the_cursor(data: Path) -> None:
    assert _run(data, "ack", "f1", "--as", "Ada").exit_code == 0
    text = _run(data).stdout
    assert "Ada has it" in text
    assert "\x1b" not in text
    listed = json.loads(_run(data, "--json").stdout)
    assert [one["acknowledged_by"] for one in listed] == ["Ada", None, None]


def test_an_alert_is_taken_by_name_by_whoever_is_logged_in(data: Path) -> None:
    result = _run(data, "ack", "ApiErrorRatePage", "--note", "rolling back")
    assert result.exit_code == 0
    who = getpass.getuser()
    assert result.stdout == f"{who} has ApiErrorRatePage; no receiver had been told of it\n"
    assert _acked(data) == {"f1": who, "f2": None, "f3": None}
    with open_store(data) as store, store.read() as conn:
        (entry,) = journal.entries(conn, journal.Filter(kind="alert.acknowledged"))
    assert (entry.actor, entry.facts["note"]) == (f"person:{who}", "rolling back")


def test_all_takes_what_fires_and_nothing_else(data: Path) -> None:
    assert _run(data, "ack", "--all", "--as", "Ada").exit_code == 0
    assert _acked(data) == {"f1": "Ada", "f2": "Ada", "f3": None}
    again = _run(data, "ack", "--all", "--as", "Grace")
    assert again.stdout == "Ada had it already\n"
    assert _acked(data)["f1"] == "Ada"


def test_a_name_that_does_not_fire_takes_nothing_and_says_what_does(data: Path) -> None:
    result = _run(data, "ack", "f1", "DatabaseStorageWarn")
    assert result.exit_code == 1
    assert "no alert 'DatabaseStorageWarn' fires; nothing was done" in result.stderr
    assert "ApiErrorRatePage, JobsQueueDepthWarn" in result.stderr
    assert set(_acked(data).values()) == {None}


def test_without_a_name_it_asks_for_one(data: Path) -> None:
    result = _run(data, "ack")
    assert result.exit_code == 2
    assert "--all" in result.stderr


def test_where_there_is_no_store_it_says_so_and_makes_none(tmp_path: Path) -> None:
    result = _run(tmp_path / "none", "ack", "--all")
    assert result.exit_code == 1
    assert "there is no store" in result.stderr
    assert not (tmp_path / "none").exists()
