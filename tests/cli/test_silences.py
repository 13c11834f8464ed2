"""``watchkeeper silences``, as somebody calls it before a rollout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from watchkeeper.cli.silences import app


def run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--data", str(data)], color=True)


def test_a_silence_is_made_shown_and_ended(data: Path) -> None:
    made = run(
        data, "add", "alertname=~Api.*", "--for", "2h", "--reason", "rollout 1.42\x1b[2J", "--as", "Ada"
    )
    assert made.exit_code == 0, made.output
    assert '{alertname=~"Api.*"}' in made.stdout
    assert "it hides 1 of 3 alerts: ApiErrorRatePage" in made.stdout
    assert "\x1b" not in made.stdout
    (listed,) = json.loads(run(data, "--json").stdout)
    assert (listed["id"], listed["state"], listed["owner"]) == (1, "active", "Ada")
    assert run(data, "end", "1").exit_code == 0
    assert run(data).stdout == "no silence: everybody hears of everything\n"
    assert [one["state"] for one in json.loads(run(data, "--all", "--json").stdout)] == ["over"]


def test_a_preview_changes_nothing(data: Path) -> None:
    shown = run(data, "add", "alertname!=DatabaseStorageWarn", "service=~.+", "--for", "30m", "--preview")
    assert shown.exit_code == 0
    assert (
        "it would hide 2 of 3 alerts: ApiErrorRatePage, JobsQueueDepthWarn; nothing was changed"
        in shown.stdout
    )
    assert run(data, "--json").stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["api", "--for", "2h", "--reason", "r"], "'api' is not a matcher"),
        (["service=api", "--for", "2", "--reason", "r"], "is not a duration"),
        (["service=api", "--for", "8d", "--reason", "r"], "at most 7d long"),
        (["service=api", "--for", "2h"], "needs its reason"),
        (["service=~.*", "--for", "2h", "--reason", "r"], "hold for every alert"),
        (["service=api", "--for", "2h", "--reason", "r", "--from", "tomorrow"], "is no time"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence_and_nothing_is_made(
    data: Path, arguments: list[str], said: str
) -> None:
    result = run(data, "add", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert run(data, "--json").stdout.strip() == "[]"


def test_a_number_that_is_none_is_said(data: Path) -> None:
    result = run(data, "end", "9")
    assert result.exit_code == 1
    assert "there is no silence 9" in result.stderr


def test_maintenance_windows_of_the_runbook_in_force_are_listed(data: Path) -> None:
    window = {
        "id": "vacuum", "title": "Vacuum\x1b[2J", "match": ["service=db"],
        "every": "daily", "at": "02:00", "for": "2h", "reason": "rewriting",
    }  # fmt: skip
    book = {"runbook": 1, "platform": "Island", "monitoring": {"maintenance": [window]}}
    copy = {"runbook": json.dumps(book), "overlay": None, "digest": ""}
    (data / "runbook-in-force.json").write_text(json.dumps(copy))
    shown = run(data)
    assert shown.exit_code == 0, shown.output
    assert '{service="db"}' in shown.stdout
    assert "every day at 02:00 (UTC) for 2 hours: rewriting" in shown.stdout
    assert "\x1b" not in shown.stdout
    (listed,) = json.loads(run(data, "--json").stdout)
    assert (listed["window"], listed["matchers"], listed["state"] in ("active", "planned")) == (
        "vacuum", ["service=db"], True,
    )  # fmt: skip
    assert run(data, "--all", "--json").stdout.strip() == "[]"
