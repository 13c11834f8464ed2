"""Every threshold of the reference runbook: over the line and back, to the second; promtool agrees."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import yaml

from tests.monitoring.scenarios import SCENARIOS, STEP, STEPS, Scenario
from tests.monitoring.stage import PLACE, START, Stage, default_runbook, target
from watchkeeper.monitoring.alerts import Alert, AlertState, Transition, TransitionKind
from watchkeeper.monitoring.compile import compile_runbook
from watchkeeper.monitoring.export import rule_groups
from watchkeeper.monitoring.rulefile import write_rules
from watchkeeper.monitoring.wording import Wording

URL = "http://127.0.0.1:8321"
COMPILED = compile_runbook(default_runbook().runbook, URL)
BY_NAME = [pytest.param(scenario, id=scenario.alert) for scenario in SCENARIOS]
Happened = dict[tuple[str, str], list[tuple[int, Transition]]]


def test_there_is_a_scenario_for_every_threshold_of_the_default_runbook() -> None:
    assert sorted(one.alert for one in SCENARIOS) == sorted(rule.name for rule in COMPILED.rules)


@pytest.fixture(scope="module")
def happened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Happened]:
    """All scenarios at once, each a target of its own; what happened to each alert of each service."""
    stage = Stage(tmp_path_factory.mktemp("thresholds"))
    seen: Happened = {}
    base = int(START.timestamp())
    for step in range(STEPS):
        if step:
            stage.clock.advance(STEP)
        for scenario in SCENARIOS:
            stage.scrape(scenario.text(step, base), target_of(scenario))
        decision = stage.evaluate()
        assert decision is not None
        assert not decision.failed
        for name, change in decision.transitions:
            service = dict(change.alert.labels).get("service", "")
            seen.setdefault((name, service), []).append((step * STEP, change))
    yield seen
    stage.close()


def target_of(scenario: Scenario) -> Any:
    return target({**PLACE, "service": scenario.service}, instance=f"{scenario.service}:80")


@pytest.mark.parametrize("scenario", BY_NAME)
def test_the_alert_fires_and_resolves_at_the_second(scenario: Scenario, happened: Happened) -> None:
    changes = happened[scenario.alert, scenario.service]
    changed = [(second, change.kind) for second, change in changes if change.kind != TransitionKind.PENDING]
    assert changed[:2] == [
        (scenario.fires, TransitionKind.FIRING),
        (scenario.resolves, TransitionKind.RESOLVED),
    ], scenario.says
    assert [kind for _, kind in changed[2:]] in ([], [TransitionKind.FORGOTTEN])


@pytest.mark.parametrize("scenario", BY_NAME)
def test_the_alert_carries_the_labels_that_people_look_for(scenario: Scenario, happened: Happened) -> None:
    fired = next(
        change.alert
        for _, change in happened[scenario.alert, scenario.service]
        if change.kind is TransitionKind.FIRING
    )
    labels = dict(fired.labels)
    assert labels == {
        **PLACE,
        "service": scenario.service,
        "alertname": scenario.alert,
        **{name: value.replace("*", f"{scenario.service}:80") for name, value in scenario.labels.items()},
        **dict(rule_of(scenario).labels),
    }
    assert labels["severity"] == ("page" if scenario.alert.endswith("Page") else "warn")


def rule_of(scenario: Scenario) -> Any:
    rule = COMPILED.rule(scenario.alert)
    assert rule is not None
    return rule


# -- the same, by promtool ----------------------------------------------------------------------


def promtool_series(scenario: Scenario) -> list[dict[str, str]]:
    """The scenario in promtool's notation; ours adds the target's labels when it scrapes."""
    extra = {**PLACE, "service": scenario.service, "instance": f"{scenario.service}:80", "job": "stage"}
    added = ",".join(f'{name}="{value}"' for name, value in extra.items())
    found = []
    for name, series in scenario.series.items():
        metric, _, own = name.partition("{")
        labels = f"{own.removesuffix('}')},{added}" if own else added
        values, there = [], False
        for step in range(STEPS):
            value = series(step, 0)
            values.append(repr(value) if value is not None else "stale" if there else "_")
            there = value is not None
        found.append({"series": f"{metric}{{{labels}}}", "values": " ".join(values)})
    return found


def promtool_tests(scenario: Scenario, fired: Alert, ended: Alert) -> dict[str, Any]:
    """Quiet until just before, firing at the second, firing until just before the end, quiet at the end.

    Annotations quote the value, which is the same for us and promtool where no window is involved.
    """
    moments: list[tuple[int, Alert | None]] = [
        (scenario.fires - STEP, None),
        (scenario.fires, fired),
        (scenario.resolves - STEP, ended),
        (scenario.resolves, None),
    ]
    if "[" in rule_of(scenario).expr:
        query = f'ALERTS{{alertname="{scenario.alert}",alertstate="firing"}}'
        samples = [
            {
                "expr": query,
                "eval_time": f"{second}s",
                "exp_samples": [{"labels": alerts_series(alert), "value": 1}] if alert else [],
            }
            for second, alert in moments
        ]
        return {"promql_expr_test": samples}
    wording = Wording(COMPILED)
    alerts = [
        {
            "eval_time": f"{second}s",
            "alertname": scenario.alert,
            "exp_alerts": [
                {
                    "exp_labels": {name: value for name, value in alert.labels if name != "alertname"},
                    "exp_annotations": wording.annotations(alert),
                }
            ]
            if alert
            else [],
        }
        for second, alert in moments
    ]
    return {"alert_rule_test": alerts}


def alerts_series(alert: Alert) -> str:
    pairs = ", ".join(f'{name}="{value}"' for name, value in alert.labels)
    return f'ALERTS{{alertstate="firing", {pairs}}}'


@pytest.mark.needs_prometheus
@pytest.mark.skipif(which("promtool") is None, reason="promtool (Debian: prometheus) is not installed")
@pytest.mark.parametrize("scenario", BY_NAME)
def test_promtool_agrees(scenario: Scenario, happened: Happened, tmp_path: Path) -> None:
    changes = [change for _, change in happened[scenario.alert, scenario.service]]
    fired = next(change.alert for change in changes if change.kind is TransitionKind.FIRING)
    ended = next(change.alert for change in changes if change.kind is TransitionKind.RESOLVED)
    assert ended.state is AlertState.RESOLVED  # and it has the value of the last evaluation at which it fired
    (tmp_path / "rules.yml").write_text(write_rules(rule_groups(COMPILED)))
    document = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{STEP}s",
        "tests": [
            {
                "interval": f"{STEP}s",
                "input_series": promtool_series(scenario),
                **promtool_tests(scenario, fired, ended),
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(document, width=100_000))
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
