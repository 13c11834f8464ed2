from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.runbook.documents import MINIMAL, default
from watchkeeper.cli.runbook import app
from watchkeeper.runbook.loading import default_text


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("WATCHKEEPER_RUNBOOK", "WATCHKEEPER_OVERLAY", "WATCHKEEPER_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result


def write(here: Path, text: str) -> None:
    (here / "runbook.yaml").write_text(text, encoding="utf-8")


def test_init_writes_the_default_which_is_valid_and_free_of_findings(here: Path) -> None:
    run("init")
    assert (here / "runbook.yaml").read_text(encoding="utf-8") == default_text()
    assert "80 clauses" in run("check").stdout
    assert "nothing found" in run("lint").stdout


def test_init_never_overwrites(here: Path) -> None:
    write(here, "mine")
    assert "not touched" in run("init", code=1).stderr
    assert (here / "runbook.yaml").read_text(encoding="utf-8") == "mine"


def test_init_into_a_missing_directory_says_so(here: Path) -> None:
    assert "cannot be written" in run("init", "nowhere/runbook.yaml", code=1).stderr


def test_check_reports_every_mistake_with_its_place(here: Path) -> None:
    write(here, default("over: 2m", "ovre: 2m").replace("playbook: jobs-backlog", "playbook: job-backlog"))
    shown = run("check", code=1).stderr
    assert "runbook.yaml:118:29: monitoring.layers.api.signals.error-rate.page: unknown key `ovre`" in shown
    assert "did you mean `over`?" in shown
    assert "there is no playbook `job-backlog`" in shown
    assert shown.rstrip().endswith("2 problems")


def test_check_finds_bad_promql_inside_the_block(here: Path) -> None:
    write(
        here,
        default(
            "/ sum by (service, env, region) (rate(http_requests_total[$window]))\n", "/ summ by (x) (y)\n"
        ),
    )
    problem = json.loads(run("check", "--json", code=1).stdout)["problems"][0]
    line = default_text().split("\n")[problem["line"] - 1]
    assert problem["subject"] == "monitoring.layers.api.signals.error-rate.expr.3"
    assert line.strip().startswith("/ sum by")
    assert problem["column"] > line.index("/")


@pytest.mark.parametrize(
    ("expr", "message"),
    [
        ("x_total[5m]", "gives a matrix"),
        ("'\"words\"'", "gives a string"),
        ("time()", "gives a scalar"),
        ("rate(x_total)", "bad PromQL"),
        ("sum(", "bad PromQL"),
    ],
)
def test_check_refuses_what_is_no_signal(here: Path, expr: str, message: str) -> None:
    write(here, MINIMAL.replace("sum by (service, env, region) (rate(x_total[$window]))", expr))
    assert message in run("check", code=1).stderr


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe\x00",
        b"a: [",
        b"\t",
        b"- 1",
        b"3",
        b"runbook: 1",
        b"a: &a [*a]",
        b"[" * 5000,
        b"? {a: b}\n: c\n",
        b"\0" * 99,
    ],
)
@pytest.mark.parametrize(
    "command", [["check"], ["lint"], ["render"], ["status"], ["explain", "x"], ["check", "--json"]]
)
def test_no_file_content_ends_in_a_traceback(here: Path, raw: bytes, command: list[str]) -> None:
    (here / "runbook.yaml").write_bytes(raw)
    assert run(*command, code=1).output.strip()


@pytest.mark.parametrize("command", [["check"], ["lint"], ["render", "--runbook", "gone.yaml"]])
def test_a_missing_runbook_says_how_to_get_one(here: Path, command: list[str]) -> None:
    assert "watchkeeper runbook init" in run(*command, code=1).stderr


@pytest.mark.parametrize("command", [["render"], ["status"], ["explain", "incidents.acknowledge"]])
def test_where_no_runbook_is_the_default_is_shown_and_said_to_be(here: Path, command: list[str]) -> None:
    result = run(*command)
    assert "this is the default runbook" in result.stderr
    assert "this is the default runbook" not in result.stdout
    assert result.stdout


def test_a_waiver_that_is_over_fails_the_check_and_not_the_rendering(here: Path) -> None:
    waiver = "waivers:\n  - {clause: incidents.acknowledge, reason: r, owner: o, until: 2020-01-01}\n"
    write(here, default("waivers: []\n", waiver))
    assert "ended on 2020-01-01" in run("check", code=1).stderr
    assert "Operations Runbook" in run("render").stdout
    assert "ended-waiver" in run("lint", code=1).stdout
    assert "over: the clause holds again" in run("explain", "incidents.acknowledge").stdout


def test_lint_exits_with_one_and_says_what_to_write(here: Path) -> None:
    write(here, default("by: full-object-checksum", "by: etag"))
    assert "instead: set by: full-object-checksum" in run("lint", code=1).stdout
    findings = json.loads(run("lint", "--json", code=1).stdout)["findings"]
    assert [finding["rule"] for finding in findings] == ["etag-comparison"]


def test_lint_knows_the_labels_of_results(here: Path) -> None:
    write(
        here,
        default(
            "- max by (service, env, region, queue) (job_queue_depth)", "- max by (env) (job_queue_depth)"
        ),
    )
    findings = json.loads(run("lint", "--json", code=1).stdout)["findings"]
    assert [finding["rule"] for finding in findings] == ["dropped-labels"]


def test_render_writes_the_document(here: Path) -> None:
    write(here, default_text())
    shown = run("render").stdout
    assert shown.startswith("# Operations Runbook\n")
    run("render", "--output", "book.md")
    assert (here / "book.md").read_text(encoding="utf-8") == shown
    assert "cannot be written" in run("render", "-o", "nowhere/book.md", code=1).stderr


def test_status_without_a_store_is_unknown_and_says_so(here: Path) -> None:
    write(here, default_text())
    result = run("status")
    assert "Every clause is unknown" in result.stderr
    assert "0 met · 0 missed · 0 waived · 80 unknown" in result.stdout
    assert "backups.postgres.dump.cadence" in result.stdout
    assert not (here / ".watchkeeper").exists()


def test_status_as_json_lists_every_clause(here: Path) -> None:
    write(here, default_text())
    document = json.loads(run("status", "--json").stdout)
    assert document["counts"]["unknown"] == len(document["clauses"]) == 80
    assert document["clauses"][0]["id"] == "monitoring.api.error-rate.warn"
    assert "no evidence" in document["note"]


def test_status_shows_the_last_evidence_and_when_the_next_is_due(here: Path) -> None:
    from datetime import timedelta

    from watchkeeper.store.clock import SystemClock
    from watchkeeper.store.database import open_store
    from watchkeeper.store.journal import append

    write(here, default_text())
    now = SystemClock().now()
    with open_store(here / ".watchkeeper") as store, store.write() as conn:
        for clause, age in (("backups.postgres.dump.cadence", 3), ("backups.postgres.wal.cadence", 2)):
            at, facts = now - timedelta(hours=age), {"summary": f"done {age} h ago"}
            append(conn, at, "backup.done", "worker", "treazr", facts, [(clause, "met")])
    document = json.loads(run("status", "--json").stdout)
    rows = {row["id"]: row for row in document["clauses"]}
    dump, wal = rows["backups.postgres.dump.cadence"], rows["backups.postgres.wal.cadence"]
    assert (dump["verdict"], dump["evidence"]["summary"]) == ("met", "done 3 h ago")
    assert dump["next_due"] == (now + timedelta(hours=21)).isoformat()
    assert wal["verdict"] == "missed"
    assert document["counts"] == {"met": 1, "missed": 1, "waived": 0, "unknown": 78}
    shown = run("status")
    assert "● met     backups.postgres.dump.cadence" in shown.stdout
    assert "#1 " in shown.stdout
    assert shown.stderr == ""


def test_status_with_a_broken_store_is_unknown_and_says_so(here: Path) -> None:
    write(here, default_text())
    data = here / ".watchkeeper"
    data.mkdir()
    from watchkeeper.store.database import FILE_NAME

    (data / FILE_NAME).write_bytes(b"not a database" * 100)
    result = run("status")
    assert "Every clause is unknown" in result.stderr
    assert "80 unknown" in result.stdout


def test_explain_says_the_sentence_the_line_the_rule_and_the_promql(here: Path) -> None:
    write(here, default_text())
    shown = run("explain", "monitoring.api.error-rate.page").stdout
    assert "Page when HTTP error rate (5xx) is above 5% over 2 minutes." in shown
    assert "runbook.yaml:118:" in shown
    assert "ApiErrorRatePage" in shown
    assert "[2m]" in shown
    assert "> 0.05" in shown
    assert "api-errors" in shown


def test_explain_shows_what_measures_a_signal_without_thresholds(here: Path) -> None:
    write(here, default_text())
    shown = run("explain", "monitoring.api.latency-p99.present").stdout
    assert "histogram_quantile(0.99" in shown
    assert "ApiLatency" not in shown


def test_explain_says_cadence_deadline_and_waiver(here: Path) -> None:
    waiver = "waivers:\n  - {clause: incidents.acknowledge, reason: r, owner: Ada, until: 2999-01-01}\n"
    write(here, default("waivers: []\n", waiver))
    assert "nightly" in run("explain", "backups.postgres.dump.cadence").stdout
    shown = run("explain", "incidents.acknowledge").stdout
    assert "5 minutes" in shown
    assert "until 2999-01-01 by Ada" in shown


def test_explain_names_the_nearest_clause_of_a_typo(here: Path) -> None:
    write(here, default_text())
    assert (
        "did you mean `monitoring.api.error-rate.page`?"
        in run("explain", "monitoring.api.error-rat.page", code=1).stderr
    )
    below = run("explain", "monitoring.api.error-rate", code=1).stderr
    assert "monitoring.api.error-rate.warn, monitoring.api.error-rate.page" in below


def test_every_clause_of_the_default_can_be_explained(here: Path) -> None:
    from tests.runbook.documents import read
    from watchkeeper.runbook.clauses import clauses

    write(here, default_text())
    for clause in clauses(read(default_text()).runbook)[::4]:
        assert clause.sentence in run("explain", clause.id).stdout


def test_the_runbook_can_be_named_by_the_environment(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "mine.yaml").write_text(MINIMAL, encoding="utf-8")
    monkeypatch.setenv("WATCHKEEPER_RUNBOOK", "mine.yaml")
    assert "valid: 3 clauses" in run("check").stdout


def test_an_overlay_is_checked_with_the_runbook(here: Path) -> None:
    write(here, default_text())
    (here / "over.yaml").write_text("incidents: {}\n", encoding="utf-8")
    assert "over.yaml:1:1" in run("check", "--overlay", "over.yaml", code=1).stderr


def test_the_commands_are_cheap_to_import() -> None:
    code = (
        "import sys, watchkeeper.cli.runbook\n"
        "print([name for name in ('pydantic', 'yaml', 'numpy', 'sqlalchemy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
