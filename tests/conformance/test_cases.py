"""Our own scripts hold for Prometheus too: promtool gives the results that they expect.

Prometheus 2.42 stands in for Prometheus 3 where the two agree; ``prometheus3_*.test`` is where they do not.
"""

from __future__ import annotations

import math
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance.promqltest import scripts
from tests.conformance.script import Clear, Command, Eval, Load, read
from tests.monitoring.promtool import PROMTOOL, needs_promtool
from watchkeeper.monitoring.labels import METRIC_NAME, Labels
from watchkeeper.monitoring.promql.ast import quote
from watchkeeper.monitoring.promql.durations import format_duration
from watchkeeper.monitoring.promql.printer import format_number
from watchkeeper.monitoring.promql.series_notation import Special, Value

CASES = [
    path for path in scripts([Path(__file__).parent / "cases"]) if not path.name.startswith("prometheus3")
]


def _metric(labels: Labels) -> str:
    return "{" + ",".join(f"{name}={quote(value)}" for name, value in labels) + "}"


def _value(value: Value) -> str:
    if isinstance(value, Special):
        return value.value
    return format_number(value)


def _expectations(command: Eval) -> list[tuple[int, dict[Labels, float]]]:
    """What an evaluation gives, time by time; nothing where it must fail or gives no vector."""
    if command.must_fail or command.string is not None or command.points is not None:
        return []
    if command.scalar is not None:
        return [(command.start_ms, {(): command.scalar})]
    times = range(command.start_ms, command.end_ms + 1, command.step_ms or 1)
    found = []
    for position, time in enumerate(times):
        values = {
            labels: value
            for labels, series in command.series.items()
            if position < len(series) and isinstance(value := series[position], float)
        }
        found.append((time, values))
    return found


def _asked(command: Eval, time_ms: int) -> str:
    """The expression; with ``start()`` and ``end()`` as the instant query at ``time_ms`` must have them."""
    start, end = command.start_ms / 1000, command.end_ms / 1000
    return command.text.replace("start()", f"{start:.3f}").replace("end()", f"{end:.3f}")


def _in_prometheus_terms(commands: list[Command]) -> list[dict[str, Any]]:
    """The script as promtool's unit tests, one for each stretch between two ``clear``."""
    tests: list[dict[str, Any]] = [{"promql_expr_test": []}]
    for command in commands:
        if isinstance(command, Clear):
            tests.append({"promql_expr_test": []})
        elif isinstance(command, Load):
            assert "interval" not in tests[-1], "one load between two clears"
            tests[-1]["interval"] = format_duration(command.step_ms)
            tests[-1]["input_series"] = [
                {"series": _metric(series.labels), "values": " ".join(map(_value, series.values))}
                for series in command.series
            ]
        elif isinstance(command, Eval):
            for time, values in _expectations(command):
                tests[-1]["promql_expr_test"].append(_asks(_asked(command, time), time, values))
    return tests


def _asks(expr: str, time_ms: int, values: dict[Labels, float]) -> dict[str, Any]:
    """One question. To promtool NaN equals nothing: it is asked which values differ from themselves."""
    if any(math.isnan(value) for value in values.values()):
        expr = f"({expr}) != bool ({expr})"
        values = {
            tuple(pair for pair in labels if pair[0] != METRIC_NAME): float(math.isnan(value))
            for labels, value in values.items()
        }
    samples = [{"labels": _metric(labels), "value": value} for labels, value in values.items()]
    return {"expr": expr, "eval_time": format_duration(time_ms), "exp_samples": samples}


@needs_promtool
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_prometheus_gives_what_our_scripts_expect(path: Path, tmp_path: Path) -> None:
    tests = _in_prometheus_terms(read(path.read_text(encoding="utf-8")))
    suite = tmp_path / "suite.yml"
    suite.write_text(yaml.safe_dump({"rule_files": [], "evaluation_interval": "1m", "tests": tests}))
    command = [PROMTOOL, "test", "rules", str(suite)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
