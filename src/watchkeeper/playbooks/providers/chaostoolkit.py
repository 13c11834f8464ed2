"""``chaostoolkit.run``: an experiment of the Chaos Toolkit, in a child process.

Always true: it fails when any activity failed or the experiment is not ``completed``, although ``chaos`` ends
with exit code 0 then (tests/playbooks/providers/test_chaostoolkit.py).
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from watchkeeper.playbooks.ports import Context, Outcome, StepFailed
from watchkeeper.playbooks.providers import guarded

KEYS = ("experiment", "variables", "environment", "inherit", "rollbacks", "grace")
_MISSING = (
    "the Chaos Toolkit is not installed here: pip install chaostoolkit, beside Watchkeeper or on the PATH"
)


class ChaosToolkit:
    """Carries out ``chaostoolkit.run``."""

    def run(self, context: Context) -> Outcome:
        """Run ``experiment`` (a path, from the runbook's folder) with ``variables``; read its journal."""
        context.only(*KEYS)
        chaos = shutil.which("chaos") or shutil.which("chaos", path=str(Path(sys.executable).parent))
        if chaos is None:
            raise StepFailed(_MISSING)
        experiment = context.folder / context.text("experiment")
        if not experiment.is_file():
            raise StepFailed(f"there is no experiment {experiment}")
        with tempfile.TemporaryDirectory(prefix="watchkeeper-chaos-") as directory:
            journal = Path(directory) / "journal.json"
            command = [chaos, "--no-version-check", "--log-file", str(Path(directory) / "log"), "run"]
            command += ["--journal-path", str(journal)]
            command += ["--rollback-strategy", str(context.with_.get("rollbacks", "deviated"))]
            for name, value in dict(context.with_.get("variables", {})).items():
                command += ["--var", f"{name}={value}"]
            ended = guarded.run(
                context,
                [*command, str(experiment)],
                guarded.environment(
                    context,
                    {str(k): str(v) for k, v in dict(context.with_.get("environment", {})).items()},
                    [str(name) for name in context.with_.get("inherit", [])],
                ),
                cwd=Path(directory),
                grace_seconds=context.duration("grace", "30s"),
            )
            if ended.why is not None:
                raise StepFailed(f"the experiment: {ended.why}", unsure=True)
            return _outcome(journal, ended)


def _outcome(path: Path, ended: guarded.Ended) -> Outcome:
    try:
        journal = json.loads(path.read_bytes())
        status = str(journal.get("status"))
        failed = [activity for activity in _activities(journal) if activity.get("status") != "succeeded"]
    except (OSError, ValueError, AttributeError):
        last = (ended.stderr or ended.stdout).strip().splitlines() or ["it said nothing"]
        raise StepFailed(
            f"chaos left no journal that can be read (exit code {ended.code}): {last[-1][:300]}", unsure=True
        ) from None
    named = [str(activity.get("activity", {}).get("name", "?")) for activity in failed]
    deviates = bool(journal.get("deviated"))
    outputs = {"status": status, "deviated": deviates, "exit_code": ended.code, "failed": named}
    if status != "completed":
        raise StepFailed(f"the experiment is {status}, not completed", outputs, unsure=True)
    if failed or deviates or ended.code != 0:
        names = ", ".join(named) or "none by name"
        deviated = "; the system deviated from its steady state" if deviates else ""
        raise StepFailed(f"activities of the experiment failed: {names}{deviated}", outputs, unsure=True)
    return Outcome(outputs, f"the experiment completed: {journal.get('experiment', {}).get('title', '')}")


def _activities(journal: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for states in (journal.get("steady_states") or {}).values():
        if isinstance(states, dict):
            yield from states.get("probes") or []
    yield from journal.get("run") or []
    yield from journal.get("rollbacks") or []
