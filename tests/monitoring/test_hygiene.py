"""Hygiene: labels on every target, links that lead somewhere, dashboards that nobody has seen."""

from __future__ import annotations

from dataclasses import replace

from tests.monitoring.stage import START, default_runbook, load_text
from watchkeeper.monitoring.compile import compile_runbook
from watchkeeper.monitoring.hygiene import DASHBOARDS, LABELS, LINKS, Hygiene, dashboards, labels, links
from watchkeeper.monitoring.targets import Finding
from watchkeeper.runbook.loading import default_text

REQUIRED = ("service", "env", "region")
RUNBOOK = default_runbook().runbook
COMPILED = compile_runbook(RUNBOOK, "http://here")


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


def test_a_link_without_its_anchor_is_missed_and_named() -> None:
    anchors = {dict(rule.annotations)["runbook_url"].partition("#")[2] for rule in COMPILED.rules}
    base = "http://here/runbook"
    assert links(COMPILED, anchors, base).verdict == "met"
    standing = links(COMPILED, anchors - {"playbook-api-errors"}, base)
    assert standing.verdict == "missed"
    assert "ApiErrorRateWarn: there is no #playbook-api-errors" in standing.facts["broken"]


def test_links_to_another_place_are_unknown() -> None:
    elsewhere = load_text(default_text().replace("runbook_url: /runbook", "runbook_url: https://wiki/rb"))
    compiled = compile_runbook(elsewhere.runbook)
    hygiene = Hygiene(lambda: elsewhere.runbook, lambda: compiled, list, lambda: 1)
    assert hygiene(START)[LINKS].verdict == "unknown"


def test_the_clauses_of_the_default_runbook_all_stand() -> None:
    found: list[Finding] = []
    hygiene = Hygiene(lambda: RUNBOOK, lambda: COMPILED, lambda: found, lambda: 3, "http://here/")
    standings = hygiene(START)
    assert {name: one.verdict for name, one in standings.items()} == {
        LABELS: "met",
        LINKS: "met",
        DASHBOARDS: "unknown",
    }
    found.append(finding(1, 1))
    assert hygiene(START)[LABELS].verdict == "missed"


def test_a_new_runbook_is_checked_anew() -> None:
    compiled = COMPILED
    hygiene = Hygiene(lambda: RUNBOOK, lambda: compiled, list, lambda: 1, "http://here")
    assert hygiene(START)[LINKS].verdict == "met"
    broken = replace(
        COMPILED.rules[0],
        annotations=(("runbook_url", "http://here/runbook#playbook-gone"),),
    )
    compiled = replace(COMPILED, rules=(broken, *COMPILED.rules[1:]))
    assert hygiene(START)[LINKS].verdict == "missed"
