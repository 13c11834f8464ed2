"""One evaluation, decided: failures that page, hysteresis, and what no answer does to what there was."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from tests.monitoring.stage import Stage, load_text
from watchkeeper.monitoring.compile import METRICS_UNREACHABLE, RULE_FAILED
from watchkeeper.monitoring.labels import Labels
from watchkeeper.monitoring.service import EAGER_EVALUATIONS
from watchkeeper.monitoring.source import Answer, Failure, SourceError

RUNBOOK = """
runbook: 1
platform: Test
notifications:
  receivers: [{id: pd, pagerduty: {routing_key: {env: KEY}}}]
monitoring:
  layers:
    - id: l
      title: L
      signals:
        - {id: disk, title: Disk, expr: disk, warn: {above: 5}, page: {above: 10, clear: 7}}
        - {id: load, title: Load, expr: load, warn: {above: 5, for: 30s}}
        - {id: shown, title: Shown, expr: shown}
"""
A: Labels = (("__name__", "disk"), ("service", "a"))
B: Labels = (("__name__", "disk"), ("service", "b"))


class Scripted:
    """A source whose answers are set by the test, by metric."""

    def __init__(self, failure_hold: timedelta = timedelta(0)) -> None:
        self.failure_hold = failure_hold
        self.values: dict[str, dict[Labels, float]] = {}
        self.failing: dict[str, str] = {}
        self.down: str | None = None
        self.asked: list[tuple[str, ...]] = []

    async def evaluate(self, queries: Sequence[str], at_ms: int) -> list[Answer]:
        self.asked.append(tuple(queries))
        if self.down is not None:
            raise SourceError(self.down)
        return [self._answer(query) for query in queries]

    def _answer(self, query: str) -> Answer:
        metric, _, line = query.partition(" > ")
        if query in self.failing:
            return Failure(self.failing[query])
        found = self.values.get(metric, {})
        return {key: value for key, value in found.items() if not line or value > float(line)}


@pytest.fixture
def source() -> Scripted:
    return Scripted()


def stage_of(tmp_path: Path, source: Scripted) -> Stage:
    return Stage(tmp_path, load_text(RUNBOOK), source=source)


def names(stage: Stage) -> list[tuple[str, str]]:
    """Alert name and service, rule or nothing, of what fires."""
    found = []
    for alert in stage.service.alerts():
        labels = dict(alert.labels)
        if alert.state.value == "firing":
            found.append((labels["alertname"], labels.get("service") or labels.get("rule", "")))
    return sorted(found)


# -- hysteresis ---------------------------------------------------------------------------------


def test_an_alert_with_a_clear_line_ends_only_beyond_it(tmp_path: Path, source: Scripted) -> None:
    stage = stage_of(tmp_path, source)
    seen = []
    for value in (8, 10, 11, 8, 7.5, 7, 8, 10.5):
        source.values["disk"] = {A: value}
        stage.tick()
        seen.append(("LDiskPage", "a") in names(stage))
    assert seen == [False, False, True, True, True, False, False, True]
    stage.close()


def test_the_clear_line_of_one_service_holds_no_other(tmp_path: Path, source: Scripted) -> None:
    stage = stage_of(tmp_path, source)
    source.values["disk"] = {A: 11, B: 8}
    stage.tick()
    stage.tick()
    assert names(stage) == [("LDiskPage", "a"), ("LDiskWarn", "a"), ("LDiskWarn", "b")]
    stage.close()


def test_hysteresis_survives_a_restart_of_hours(tmp_path: Path, source: Scripted) -> None:
    stage = stage_of(tmp_path, source)
    source.values["disk"] = {A: 11}
    stage.tick()
    stage.clock.advance(7200)
    stage.restart()
    source.values["disk"] = {A: 8}
    stage.tick()
    assert ("LDiskPage", "a") in names(stage)
    stage.close()


# -- rules that fail ----------------------------------------------------------------------------


def test_a_rule_that_cannot_be_evaluated_is_an_alert_as_severe_as_itself(
    tmp_path: Path, source: Scripted
) -> None:
    stage = stage_of(tmp_path, source)
    source.failing = {"disk > 10": "many-to-many matching", "load > 5": "out of memory"}
    stage.tick()
    failed = [alert for alert in stage.service.alerts() if dict(alert.labels)["alertname"] == RULE_FAILED]
    assert [(dict(a.labels)["rule"], dict(a.labels)["severity"]) for a in failed] == [
        ("LDiskPage", "page"),
        ("LLoadWarn", "warn"),
    ]
    assert stage.verdict("monitoring.l.disk.page") == "unknown"
    assert stage.service.health["LDiskPage"].health == "err"
    assert stage.service.health["LDiskPage"].last_error == "many-to-many matching"
    assert stage.service.health["LDiskWarn"].health == "ok"
    assert [entry.subject for entry in stage.entries("rule.failed")] == ["rule:LDiskPage", "rule:LLoadWarn"]
    source.failing = {}
    stage.tick()
    assert names(stage) == []
    assert [entry.subject for entry in stage.entries("rule.recovered")] == [
        "rule:LDiskPage",
        "rule:LLoadWarn",
    ]
    stage.close()


def test_a_failing_rule_leaves_its_alerts_as_they_were(tmp_path: Path, source: Scripted) -> None:
    stage = stage_of(tmp_path, source)
    source.values["disk"] = {A: 11}
    stage.tick()
    source.failing = {"disk > 10": "no"}
    source.values["disk"] = {A: 1}
    stage.tick()
    assert ("LDiskPage", "a") in names(stage)
    assert [entry.facts["alertname"] for entry in stage.entries("alert.resolved")] == ["LDiskWarn"]
    stage.close()


def test_two_elements_that_are_one_alert_fail_the_rule(tmp_path: Path, source: Scripted) -> None:
    stage = stage_of(tmp_path, source)
    twin: Labels = (("__name__", "disk"), ("service", "a"), ("severity", "odd"))
    source.values["disk"] = {A: 11, twin: 12}
    stage.tick()
    assert (RULE_FAILED, "LDiskPage") in names(stage)
    assert ("LDiskPage", "a") not in names(stage)
    stage.close()


def test_a_flood_of_elements_is_one_failed_rule_and_not_a_flood_of_pages(
    tmp_path: Path, source: Scripted
) -> None:
    stage = stage_of(tmp_path, source)
    source.values["disk"] = {(("__name__", "disk"), ("service", str(n))): 11.0 for n in range(10_001)}
    stage.tick()
    assert names(stage) == [(RULE_FAILED, "LDiskPage"), (RULE_FAILED, "LDiskWarn")]
    assert len(stage.told()) <= 2
    stage.close()


# -- nobody to ask ------------------------------------------------------------------------------


def test_a_source_that_cannot_be_asked_is_one_page_and_not_one_for_each_rule(
    tmp_path: Path, source: Scripted
) -> None:
    stage = stage_of(tmp_path, source)
    source.values["disk"] = {A: 11}
    stage.tick()
    source.down = "cannot connect to prometheus:9090"
    stage.tick()
    assert (METRICS_UNREACHABLE, "") in names(stage)
    assert ("LDiskPage", "a") in names(stage)  # as it was
    assert all(name != RULE_FAILED for name, _ in names(stage))
    assert stage.verdict("monitoring.l.load.warn") == "unknown"
    assert stage.entries("rule.failed") == []
    source.down = None
    stage.tick()
    assert (METRICS_UNREACHABLE, "") not in names(stage)
    assert [(kind, name) for kind, name, _ in stage.told() if name == METRICS_UNREACHABLE] == [
        ("trigger", METRICS_UNREACHABLE),
        ("resolve", METRICS_UNREACHABLE),
    ]
    stage.close()


def test_a_source_that_fails_in_passing_pages_only_when_it_goes_on(tmp_path: Path) -> None:
    source = Scripted(failure_hold=timedelta(minutes=1))
    stage = stage_of(tmp_path, source)
    source.down = "restarting"
    for _ in range(4):
        stage.tick()
        assert names(stage) == []
        assert stage.verdict("monitoring.l.disk.page") == "unknown"
    stage.tick()
    assert names(stage) == [(METRICS_UNREACHABLE, "")]
    stage.close()


def test_pending_alerts_do_not_fire_on_time_that_nobody_watched(tmp_path: Path, source: Scripted) -> None:
    stage = stage_of(tmp_path, source)
    load: Labels = (("__name__", "load"),)
    source.values["load"] = {load: 6.0}
    stage.tick()
    stage.clock.jump(600)
    stage.tick()
    assert names(stage) == []
    stage.tick()
    assert names(stage) == [("LLoadWarn", "")]
    stage.close()


# -- what is asked ------------------------------------------------------------------------------


def test_each_text_is_asked_once_and_shown_signals_every_minute_once_all_were_seen(
    tmp_path: Path, source: Scripted
) -> None:
    stage = stage_of(tmp_path, source)
    for _ in range(EAGER_EVALUATIONS + 5):
        stage.tick()
    rules = ("disk > 5", "disk", "disk > 10", "disk > 7", "load > 5", "load")
    everything = (*rules, "shown")
    assert source.asked == [everything] * EAGER_EVALUATIONS + [rules, rules, rules, everything, rules]
    assert stage.verdict("monitoring.l.shown.present") == "unknown"
    source.values["shown"] = {(): 1.0}
    for _ in range(3):
        stage.tick()
    assert stage.verdict("monitoring.l.shown.present") == "met"
    stage.close()


def test_evaluating_twice_for_one_moment_changes_nothing(tmp_path: Path, source: Scripted) -> None:
    stage = stage_of(tmp_path, source)
    source.values["disk"] = {A: 11}
    stage.tick()
    told, entries = stage.told(), stage.entries()
    asyncio.run(stage.service.evaluate(stage.clock.now()))
    assert (stage.told(), stage.entries()) == (told, entries)
    stage.close()
