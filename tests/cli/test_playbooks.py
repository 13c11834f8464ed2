"""``watchkeeper playbook``, as somebody on call types it."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.playbooks.support import Recording
from watchkeeper.cli.playbooks import app
from watchkeeper.playbooks.ports import Outcome
from watchkeeper.playbooks.runner import Runner
from watchkeeper.store import journal
from watchkeeper.store.clock import SystemClock
from watchkeeper.store.database import open_store

RUNBOOK = """
runbook: 1
platform: Test
playbooks:
  mend:
    title: Mend it
    summary: What to do when it is broken.
    inputs:
      service: {title: The service that fails}
      pods: {title: How many, default: 2}
    steps:
      - id: look
        action: smoke.run
        with: {service: "{{ inputs.service }}", key: {env: TOKEN}}
        undo: smoke.run
      - {id: decide, manual: "Scale {{ inputs.service }}?", four_eyes: true, deadline: 10m}
      - {id: scale, needs: decide, action: kubernetes.scale, with: {by: "{{ inputs.pods }}"}}
  plain: {title: Plain, steps: [{id: a, action: smoke.run}]}
"""


class Desk:
    """A data directory, and the command line over it."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        self.provider = Recording()
        open_store(self.data).close()

    def type(self, *words: str) -> Result:
        """Type ``watchkeeper playbook ...``."""
        return CliRunner().invoke(app, [*words, "--data", str(self.data)], env={"COLUMNS": "200"}, color=True)

    def work(self) -> None:
        """What the role ``work`` does."""
        with open_store(self.data) as store:
            Runner(store, SystemClock(), {"smoke.run": self.provider}, environ={"TOKEN": "hunter2!"}).look()

    def entries(self) -> list[str]:
        """The journal's kinds."""
        with open_store(self.data) as store, store.read() as conn:
            return [entry.kind for entry in journal.entries(conn)]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    (tmp_path / "runbook.yaml").write_text(RUNBOOK)
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


def test_playbooks_are_listed_and_shown(desk: Desk) -> None:
    assert desk.type("list").stdout == "mend   Mend it (3 steps)\nplain  Plain (1 steps)\n"
    shown = desk.type("show", "mend").stdout
    assert "What to do when it is broken." in shown
    assert "-i service=...  The service that fails" in shown
    assert "[default: 2]" in shown
    assert "<service>" in shown
    assert "nothing carries out kubernetes.scale here yet" in shown


def test_a_dry_run_prints_the_plan_and_changes_nothing(desk: Desk) -> None:
    result = desk.type("run", "mend", "-i", "service=shop\x1b[2J", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "service: shop" in result.stdout
    assert "\x1b[2J" not in result.stdout
    assert 'key: {"env": "TOKEN"}' in result.stdout
    assert "by: 2" in result.stdout
    assert "a person (two people)" in result.stdout
    assert result.stdout.endswith("nothing was changed\n")
    assert desk.entries() == []


def test_a_run_is_started_asked_answered_and_done(desk: Desk) -> None:
    started = desk.type(
        "run", "mend", "-i", "service=shop", "--id", "r1", "--as", "ada", "--for", "incident:1"
    )
    assert started.stdout == "run r1 was started\n"
    assert "nothing carries out runs here now" in started.stderr
    desk.provider.does["look"] = lambda _: Outcome({"pods": 3, "said": "a\x1b[31m\nb"}, "three pods")
    desk.work()
    status = desk.type("status", "r1").stdout
    assert "r1: waiting (Scale shop?)" in status
    assert "● look             done     action: smoke.run: three pods" in status
    assert "pods: 3" in status
    assert "\x1b" not in status
    assert "step decide asks two people: Scale shop?" in status
    assert "watchkeeper playbook answer r1 decide confirm|skip|abort --note ..." in status
    assert "Scale shop?" in desk.type("runs", "--live").stdout
    said = desk.type("answer", "r1", "decide", "confirm", "--as", "ada")
    assert "a second person must confirm it too" in said.stdout
    assert "confirmed by person:ada; one more must" in desk.type("status", "r1").stdout
    desk.type("answer", "r1", "decide", "confirm", "--as", "bob", "--note", "go")
    desk.work()
    assert 'do it by hand with {"by": 2}' in desk.type("status", "r1").stdout
    assert desk.type("answer", "r1", "scale", "confirm").exit_code == 0
    desk.work()
    document = json.loads(desk.type("status", "r1", "--json").stdout)
    assert (document["state"], document["steps"][1]["note"]) == ("done", "go")
    (line,) = json.loads(desk.type("runs", "--json").stdout)
    assert (line["id"], line["subject"], line["started_by"]) == ("r1", "incident:1", "person:ada")


def test_a_run_is_aborted_and_taken_back(desk: Desk) -> None:
    desk.type("run", "mend", "-i", "service=shop", "--id", "r1")
    desk.work()
    assert desk.type("abort", "r1", "--reason", "wrong one").stdout == "run r1 is being aborted\n"
    assert desk.type("abort", "r1", "--reason", "again").stdout == "run r1 was being aborted already\n"
    desk.work()
    status = desk.type("status", "r1").stdout
    assert "r1: aborted (wrong one)" in status
    assert "↶ look             undone" in status
    assert desk.provider.steps == ["look", "look"]


@pytest.mark.parametrize(("ends", "code"), [("well", 0), ("badly", 1)])
def test_a_run_is_followed_to_its_end(desk: Desk, ends: str, code: int) -> None:
    if ends == "badly":
        desk.provider.does["a"] = lambda _: Outcome({}, "")[0]  # type: ignore[index]  # a defect
    stop = threading.Event()
    with open_store(desk.data) as store:
        runner = Runner(store, SystemClock(), {"smoke.run": desk.provider})
        thread = threading.Thread(target=runner.run, args=(stop,))
        thread.start()
        try:
            result = desk.type("run", "plain", "--id", "r1", "--follow")
        finally:
            stop.set()
            runner.wake()
            thread.join(20)
    assert result.exit_code == code
    assert result.stdout.splitlines()[-1].startswith("r1: done" if code == 0 else "r1: failed (step a failed")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "nope"], 1, "there is no playbook 'nope'; there is mend, plain"),
        (["run", "mend"], 1, "playbook mend needs service (The service that fails)"),
        (["run", "mend", "--dry-run"], 1, "playbook mend needs service"),
        (["run", "mend", "-i", "service"], 2, "write key=value"),
        (["run", "mend", "-i", "servce=x", "-i", "service=y"], 1, "has no input 'servce'"),
        (["status", "nope"], 1, "there is no run 'nope'"),
        (["answer", "nope", "a", "confirm"], 1, "there is no run 'nope'"),
        (["answer", "nope", "a", "maybe"], 2, "'maybe' is not one of"),
        (["abort", "nope", "--reason", "x"], 1, "there is no run 'nope'"),
        (["show", "nope"], 1, "there is no playbook 'nope'"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    desk: Desk, words: list[str], code: int, said: str
) -> None:
    result = desk.type(*words)
    assert result.exit_code == code
    assert said in " ".join(result.stderr.split())
    assert desk.entries() == []


def test_without_a_store_it_says_how_one_is_made(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["runs", "--data", str(tmp_path / "nothing")])
    assert result.exit_code == 1
    assert "`watchkeeper serve` makes one" in result.stderr
