"""Hygiene: labels on every target, dashboards that nobody has seen."""

from __future__ import annotations

from tests.monitoring.stage import START, default_runbook
from watchkeeper.monitoring.hygiene import DASHBOARDS, LABELS, Hygiene, dashboards, labels
from watchkeeper.monitoring.targets import Finding

REQUIRED = ("service", "env", "region")
RUNBOOK = default_runbook().runbook


def finding(without: int, series: int, label: str = "region") -> Finding:
    return Finding("shop", "shop:80", "http://shop:80/metrics", label, without, series)


def test_a_target_without_a_label_is_missed_and_named() -> None:
    standing = labels([finding(3, 10)], 2, REQUIRED)
    assert standing.verdict == "missed"
    assert "shop:80" in standing.summary
    assert "region" in standing.summary


def test_series_that_carry_the_label_themselves_are_no_problem() -> None:
    assert labels([finding(0, 10)], 1, REQUIRED).verdict == "met"
    assert labels([], 1, REQUIRED).verdict == "met"


def test_a_target_that_has_not_answered_and_no_target_at_all_are_unknown() -> None:
    assert labels([finding(0, 0)], 1, REQUIRED).verdict == "unknown"
    assert labels([], 0, REQUIRED).verdict == "unknown"


def test_dashboards_that_nobody_has_seen_are_unknown() -> None:
    assert dashboards("Grafana").verdict == "unknown"


def test_the_clauses_of_the_default_runbook_all_stand() -> None:
    found: list[Finding] = []
    hygiene = Hygiene(lambda: RUNBOOK, lambda: found, lambda: 3)
    standings = hygiene(START)
    assert {name: one.verdict for name, one in standings.items()} == {LABELS: "met", DASHBOARDS: "unknown"}
    found.append(finding(1, 1))
    assert hygiene(START)[LABELS].verdict == "missed"
