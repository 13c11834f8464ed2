"""``watchkeeper rules``: export for Prometheus, and unit tests of rule files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.monitoring.promtool import PROMTOOL, needs_promtool
from watchkeeper.cli.rules import app
from watchkeeper.monitoring.rulefile import load_rules, read_rules
from watchkeeper.runbook.loading import default_text


@pytest.fixture
def runbook(tmp_path: Path) -> Path:
    path = tmp_path / "runbook.yaml"
    path.write_text(default_text(), encoding="utf-8")
    return path


def test_export_prints_the_rules_of_the_runbook(runbook: Path) -> None:
    done = CliRunner().invoke(app, ["export", "--runbook", str(runbook)])
    assert done.exit_code == 0, done.output
    groups = read_rules(done.stdout)
    assert {group.interval_ms for group in groups} == {15_000}, "as often as the runbook says"
    rules = [rule for group in groups for rule in group.rules]
    assert len(rules) >= 12
    for rule in rules:
        assert dict(rule.labels)["severity"] in ("warn", "page")
        assert {"summary", "runbook_url", "clause"} <= dict(rule.annotations).keys()


def test_export_writes_a_file(runbook: Path, tmp_path: Path) -> None:
    target = tmp_path / "rules.yml"
    done = CliRunner().invoke(app, ["export", "-r", str(runbook), "-o", str(target)])
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert load_rules(target)
    done = CliRunner().invoke(app, ["export", "-r", str(runbook), "-o", str(tmp_path / "no" / "rules.yml")])
    assert done.exit_code == 1
    assert "cannot be written: No such file" in done.output


def test_export_of_a_broken_runbook_says_where_it_is_broken(runbook: Path) -> None:
    runbook.write_text(runbook.read_text(encoding="utf-8").replace("monitoring:", "monitorin:", 1))
    done = CliRunner().invoke(app, ["export", "-r", str(runbook)])
    assert done.exit_code == 1
    assert f"{runbook}:" in done.output
    assert "Traceback" not in done.output


@needs_promtool
def test_promtool_accepts_the_export(runbook: Path, tmp_path: Path) -> None:
    target = tmp_path / "rules.yml"
    CliRunner().invoke(app, ["export", "-r", str(runbook), "-o", str(target)])
    done = subprocess.run(
        [PROMTOOL, "check", "rules", str(target)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_unit_tests_of_several_files(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    case = "tests: [{promql_expr_test: [{expr: 1 + 1, eval_time: 0m, exp_samples: [{value: %s}]}]}]\n"
    good.write_text(case % 2)
    bad.write_text(case % 3)
    done = CliRunner().invoke(app, ["test", str(good)])
    assert done.exit_code == 0
    assert done.stdout == f"Unit Testing:  {good}\n  SUCCESS\n\n"
    done = CliRunner().invoke(app, ["test", str(good), str(bad), str(tmp_path / "absent.yml")])
    assert done.exit_code == 1
    assert done.output.count("SUCCESS") == 1
    assert done.output.count("FAILED") == 2
    assert "exp: {} 3" in done.output
