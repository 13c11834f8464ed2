"""Experiments of the Chaos Toolkit. Its place is taken by a program that leaves its journals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.playbooks.providers.contexts import context
from watchkeeper.playbooks.ports import StepFailed
from watchkeeper.playbooks.providers.chaostoolkit import ChaosToolkit

CHAOS = """#!/usr/bin/env python3
import json, os, shutil, sys
words = sys.argv[1:]
assert words[:3] == ["--no-version-check", "--log-file", words[2]], words
assert words[3] == "run" and os.path.isfile(words[-1]), words
journal = words[words.index("--journal-path") + 1]
source = os.environ["JOURNAL"]
if source != "none": shutil.copy(source, journal)
print("ran", [w for w in words if w.startswith("n=")])
sys.exit(int(os.environ.get("CODE", "0")))
"""


def _activity(name: str, status: str = "succeeded") -> dict[str, Any]:
    return {"activity": {"name": name, "type": "action"}, "status": status, "output": None}


def _journal(**more: Any) -> dict[str, Any]:
    return {
        "experiment": {"title": "Kill a pod"},
        "status": "completed",
        "deviated": False,
        "steady_states": {"before": {"probes": [_activity("up")]}, "after": {"probes": []}, "during": []},
        "run": [_activity("kill")],
        "rollbacks": [],
        **more,
    }


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    program = tmp_path / "chaos"
    program.write_text(CHAOS)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "kill.json").write_text("{}")

    def carry_out(journal: Any, code: int = 0) -> Any:
        (tmp_path / "journal.json").write_text(journal if isinstance(journal, str) else json.dumps(journal))
        environment = {"JOURNAL": str(tmp_path / "journal.json"), "CODE": code}
        with_ = {"experiment": "kill.json", "variables": {"n": 3}, "environment": environment}
        return ChaosToolkit().run(context(with_, folder=tmp_path))

    return carry_out


def test_an_experiment_that_completed_succeeds(run: Any) -> None:
    outcome = run(_journal())
    assert outcome.summary == "the experiment completed: Kill a pod"
    assert outcome.outputs == {"status": "completed", "deviated": False, "exit_code": 0, "failed": []}


@pytest.mark.parametrize(
    ("journal", "code", "message"),
    [
        (_journal(run=[_activity("kill", "failed")]), 0, "activities of the experiment failed: kill"),
        (_journal(rollbacks=[_activity("mend", "failed")]), 0, "failed: mend"),
        (_journal(steady_states={"before": {"probes": [_activity("up", "failed")]}}), 0, "failed: up"),
        (_journal(status="failed"), 0, "the experiment is failed, not completed"),
        (_journal(status="interrupted"), 0, "the experiment is interrupted, not completed"),
        (_journal(deviated=True), 0, "the system deviated from its steady state"),
        (_journal(), 1, "activities of the experiment failed: none by name"),
        ("not json", 0, r"chaos left no journal that can be read \(exit code 0\): ran"),
        ("[]", 0, "no journal that can be read"),
    ],
)
def test_it_fails_where_anything_failed_whatever_the_exit_code(
    run: Any, journal: Any, code: int, message: str
) -> None:
    with pytest.raises(StepFailed, match=message):
        run(journal, code)


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    with pytest.raises(StepFailed, match="there is no experiment"):
        ChaosToolkit().run(context({"experiment": "nope.json"}, folder=tmp_path))
    (tmp_path / "chaos").unlink()
    with pytest.raises(StepFailed, match="pip install chaostoolkit"):
        ChaosToolkit().run(context({"experiment": "kill.json"}, folder=tmp_path))
