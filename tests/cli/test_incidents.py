"""``watchkeeper incidents``: the whole life of one from a shell, and what is said where it is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.app.responses import Watch
from tests.incidents.desk import TEXT
from watchkeeper.cli.main import app
from watchkeeper.store.clock import SystemClock


class _Shell:
    def __init__(self, directory: Path) -> None:
        self.data, self.runbook = directory / "data", directory / "runbook.yaml"
        self.runbook.write_text(TEXT)
        self.watch = Watch(self.data)
        self.watch.clock._now = SystemClock().now()
        self.watch.fire()
        self.watch.fire("two", alertname="ApiSlow")
        self.watch.look()

    def run(self, *arguments: str, code: int = 0) -> str:
        said: Result = CliRunner().invoke(app, ["incidents", *arguments, "--data", str(self.data)])
        assert said.exit_code == code, said.output
        assert "\x1b" not in said.output
        return said.output

    def do(self, *arguments: str, code: int = 0) -> str:
        return self.run(*arguments, "--as", "ada", "-r", str(self.runbook), code=code)


@pytest.fixture
def shell(tmp_path: Path) -> _Shell:
    return _Shell(tmp_path)


def test_an_incident_from_the_page_to_the_closed_document(shell: _Shell, tmp_path: Path) -> None:
    book = ("-r", str(shell.runbook))
    assert "ApiErrors: 7 % of requests fail" in shell.run("list")
    assert "NEXT  acknowledge: nobody has it yet" in shell.run("show", "1", *book)
    assert shell.do("ack", "1", "--note", "on it") == "ada has incident 1\n"
    assert shell.do("severity", "1", "SEV-1") == "incident 1 is SEV-1\n"
    assert shell.do("assign", "1", "scribe", "ben") == "scribe of incident 1: ben\n"
    said = shell.run("update", "1", "identified", "--impact", "<b>All</b>", "--preview", *book)
    assert "Inside the company (product@example.org, boss@example.org):\n  SEV-1: identified." in said
    said = shell.do("update", "1", "identified", "--impact", "<b>All</b>")
    assert said == "told: status, product@example.org, boss@example.org\n"
    shell.do("mitigate", "1", "--note", "rolled back")
    assert "before resolve: ApiErrors: it fires" in shell.run("show", "1", *book)
    assert "not back at their baseline" in shell.do("resolve", "1", code=1)
    shell.watch.end()
    shell.watch.end("two")
    shell.watch.look()
    shell.do("resolve", "1")
    assert "root cause: write this section" in shell.do("close", "1", code=1)
    shell.do("write", "1", "Root cause", "A deploy <script>alert(1)</script>")
    shell.do("followup", "add", "1", "Test it", "--owner", "ben", "--due", "2099-01-02")
    shell.do("rate", "1", "ApiErrors", "useful")
    entry = next(one.seq for one in shell.watch.entries("incident.role"))
    shell.do("pick", "1", str(entry))
    assert shell.do("close", "1") == "incident 1 is closed\n"
    shell.do("followup", "done", "1")
    text = shell.run("document", "1", *book)
    assert "<script>" not in text
    assert "<b>" not in text
    assert "| ● person ada |" in text
    assert "| ○ machine incidents |" in text
    (row,) = json.loads(shell.run("figures", "--json"))
    assert (row["service"], row["pages"], row["rated"], row["useful_ratio"]) == ("api", 2, 1, 1.0)
    assert "1 of 1 rated, 2 in all" in shell.run("figures")
    assert shell.run("list") == "● no incident\n"
    assert json.loads(shell.run("list", "--all", "--json"))[0]["state"] == "closed"
    shell.do("reopen", "1", "--reason", "it was not")
    assert "it was not" in shell.run("show", "1", "--timeline", *book)


def test_split_and_merge_and_waive(shell: _Shell) -> None:
    assert shell.do("split", "1", "ApiSlow", "--title", "Slow only") == "incident 2: Slow only\n"
    assert shell.do("merge", "2", "--into", "1") == "incident 2 is part of incident 1\n"
    assert shell.do("open", "By hand", "--severity", "SEV-3").startswith("incident 3: By hand; ada leads")
    deadline = next(one for one in shell.watch.story(1).clocks if one.deadline_id)
    assert shell.do("waive", "1", str(deadline.deadline_id), "--reason", "a drill").startswith("waived: ")
    assert shell.watch.evidence("triage") == ["met", "waived"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("severity", "9", "SEV-1"), "there is no incident 9"),
        (
            ("severity", "1", "SEV-9"),
            "there is no severity 'SEV-9' in the runbook; it has SEV-1, SEV-2, SEV-3",
        ),
        (("split", "1", "Nope", "--title", "x"), "incident 1 has no alert 'Nope'"),
        (("waive", "1", "77", "--reason", "x"), "there is no deadline 77"),
        (("reopen", "1", "--reason", "x"), "incident 1 is open; only one that was resolved reopens"),
        (("write", "1", "poetry", "x"), "the document has no section 'poetry'"),
    ],
)
def test_what_cannot_be_done_is_said_with_exit_code_1(
    shell: _Shell, arguments: tuple[str, ...], said: str
) -> None:
    assert said in shell.do(*arguments, code=1)
