"""``watchkeeper changes``, as an engineer or a script on the machine calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from watchkeeper.cli.main import app


def run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["changes", *arguments, "--data", str(data)])


def test_a_change_is_told_and_listed(data: Path) -> None:
    given = ["--service", "backend", "--env", "prod", "--version", "2.4.1", "--key", "d7", "--as", "ada"]
    told = run(data, "add", "Faster uploads", *given, "--at", "10m")
    assert told.exit_code == 0, told.output
    assert "deploy: backend 2.4.1 (prod): Faster uploads (recorded)" in told.stdout
    assert "known already" in run(data, "add", "Again", *given).stdout
    assert "Faster uploads  by ada" in run(data, "list").stdout
    (one,) = json.loads(run(data, "list", "--json", "--service", "backend").stdout)
    assert (one["kind"], one["minutes_ago"], one["by"]) == ("deploy", 10, "ada")
    assert "nothing that we were told of" in run(data, "list", "--service", "worker").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x", "--kind", "rumour"], "no kind of change"),
        ([" "], "needs its title"),
        (["x", "--url", "x"], "http or https"),
        (["x", "--at", "2199-01-01"], "in the future"),
    ],
)
def test_what_cannot_be_recorded_is_a_sentence(data: Path, arguments: list[str], said: str) -> None:
    refused = run(data, "add", *arguments)
    assert refused.exit_code == 1
    assert said in refused.stderr
