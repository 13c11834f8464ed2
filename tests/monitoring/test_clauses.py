"""Verdicts: met needs a measurement; unknown is not green; waived is not met; proof is renewed daily."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from tests.monitoring.stage import default_runbook
from watchkeeper.monitoring.alerts import Alert, AlertState, fingerprint_of
from watchkeeper.monitoring.clauses import (
    RENEW_AFTER,
    Recorded,
    Standing,
    due,
    of_presence,
    of_threshold,
    waived,
)
from watchkeeper.monitoring.compile import CompiledRule, compile_runbook
from watchkeeper.monitoring.labels import Labels, label_set
from watchkeeper.monitoring.missing import WHOLE
from watchkeeper.monitoring.source import Failure
from watchkeeper.runbook.models.waivers import Waiver

COMPILED = compile_runbook(default_runbook().runbook)
NOW = datetime(2026, 1, 5, tzinfo=UTC)
SHOP: Labels = (("env", "prod"), ("service", "shop"))


def rule(name: str = "ObjectsCapacityPage") -> CompiledRule:
    found = COMPILED.rule(name)
    assert found is not None
    return found


def firing(state: AlertState = AlertState.FIRING) -> Alert:
    labels = label_set([*SHOP, *rule().labels, ("alertname", rule().name)])
    return Alert(labels, fingerprint_of(labels), state, 0.9, NOW, "e")


def stands(
    value: Mapping[Labels, float] | Failure,
    alerts: tuple[Alert, ...] = (),
    failed: str | None = None,
    missing: tuple[Labels, ...] = (),
) -> Standing:
    return of_threshold(rule(), failed, value, alerts, missing)


def test_measured_within_the_line_is_met_and_says_how_close_it_is() -> None:
    standing = stands({SHOP: 0.5, (): 0.6})
    assert standing.verdict == "met"
    assert standing.facts["worst"] == 0.6
    assert "2 measured, worst 0.6" in standing.summary


def test_the_worst_of_a_signal_that_must_not_fall_is_the_lowest() -> None:
    standing = of_threshold(rule("UsersAuthSuccessPage"), None, {SHOP: 0.99, (): 0.98}, (), ())
    assert standing.facts["worst"] == 0.98


def test_a_firing_alert_is_missed_and_names_where() -> None:
    standing = stands({SHOP: 0.9}, (firing(),))
    assert standing.verdict == "missed"
    assert "env=prod service=shop" in standing.summary
    assert "alertname" not in standing.summary


@pytest.mark.parametrize("state", [AlertState.PENDING, AlertState.RESOLVED])
def test_an_alert_that_does_not_fire_is_no_miss(state: AlertState) -> None:
    assert stands({SHOP: 0.5}, (firing(state),)).verdict == "met"


def test_what_was_not_measured_is_unknown() -> None:
    assert stands({}, missing=(WHOLE,)).verdict == "unknown"
    assert stands({SHOP: 0.5}, missing=(SHOP,)).verdict == "unknown"
    assert "no data of env=prod service=shop" in stands({}, missing=(SHOP,)).summary


def test_a_rule_or_signal_that_failed_is_unknown_unless_it_fires() -> None:
    assert stands({}, failed="too many samples").verdict == "unknown"
    assert stands(Failure("time-out")).verdict == "unknown"
    assert stands(Failure("time-out"), (firing(),)).verdict == "missed"


def test_too_little_traffic_is_met_and_says_so() -> None:
    standing = stands({SHOP: float("nan")})
    assert (standing.verdict, "too little traffic" in standing.summary) == ("met", True)


def test_a_signal_without_thresholds_is_kept_while_it_is_measured() -> None:
    signal = next(one for one in COMPILED.signals if not one.has_rules)
    assert of_presence(signal, {SHOP: 1.0}, ()).verdict == "met"
    assert of_presence(signal, {}, (WHOLE,)).verdict == "unknown"
    assert of_presence(signal, Failure("no"), ()).verdict == "unknown"


def test_a_waived_clause_says_by_whom_and_how_it_would_stand() -> None:
    waiver = Waiver(clause="c", reason="moving", owner="ada", until=date(2026, 1, 5))
    missed = Standing("missed", "bad")
    shown = waived(missed, "c", {"c": waiver}, date(2026, 1, 5))
    assert (shown.verdict, shown.facts["otherwise"]) == ("waived", "missed")
    assert "ada" in shown.summary
    assert waived(missed, "c", {"c": waiver}, date(2026, 1, 6)) is missed
    assert waived(missed, "d", {"c": waiver}, date(2026, 1, 5)) is missed


def test_what_changed_and_what_is_a_day_old_is_told_again() -> None:
    met = Standing("met", "")
    standings = {"new": met, "same": met, "changed": met, "old": met, "ahead": met}
    recorded = {
        "same": Recorded("met", NOW - timedelta(hours=23)),
        "changed": Recorded("unknown", NOW),
        "old": Recorded("met", NOW - RENEW_AFTER),
        "ahead": Recorded("met", NOW + timedelta(hours=1)),  # the clock was set back
    }
    assert set(due(standings, recorded, NOW)) == {"new", "changed", "old"}


def test_a_long_list_of_alerts_is_cut_and_counted() -> None:
    many = tuple(
        replace(firing(), fingerprint=str(n), labels=label_set([*firing().labels, ("pod", str(n))]))
        for n in range(100)
    )
    standing = stands({}, many)
    assert "and 97 more" in standing.summary
    assert (len(standing.facts["firing"]), standing.facts["count"]) == (20, 100)
