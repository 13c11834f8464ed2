"""The monitoring section as one document: nothing in it is greener, newer or surer than what is known."""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.app.serving import RUNBOOK
from tests.monitoring.stage import load_text
from watchkeeper.monitoring import overview
from watchkeeper.monitoring.alerts import Alert, AlertState
from watchkeeper.monitoring.clauses import Standing, Verdict
from watchkeeper.monitoring.compile import compile_runbook
from watchkeeper.monitoring.evaluation import Observation, Policy
from watchkeeper.monitoring.inhibition import Inhibited
from watchkeeper.monitoring.labels import label_set
from watchkeeper.monitoring.overview import MAX_POINTS, History
from watchkeeper.monitoring.source import Failure

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
STEP = timedelta(seconds=15)
TEXT = RUNBOOK.replace(
    "      playbook: look\n",
    """        - id: free
          title: Free space
          expr: min by (service, env, region) (free_ratio)
          warn: {below: 20%}
        - {id: shown, title: Shown, expr: "sum by (service, env, region) (visits)"}
      playbook: look
""",
)
ERRORS, FREE, SHOWN = "api.error-rate", "api.free", "api.shown"
A, B = (label_set([("service", name), ("env", "p"), ("region", "r")]) for name in "ab")


@pytest.fixture(scope="module")
def policy() -> Policy:
    loaded = load_text(TEXT)
    return Policy(loaded.runbook, compile_runbook(loaded.runbook), STEP)


def seen(policy: Policy, at: datetime, **values: Any) -> Observation:
    """What was answered: per signal a value, several by label set, or a failure."""
    exprs = {
        signal.identity.removeprefix("api.").replace("-", "_"): signal.expr
        for signal in policy.compiled.signals
    }
    answers = {
        exprs[name]: value if isinstance(value, dict | Failure) else {A: value}
        for name, value in values.items()
    }
    return Observation(at, answers)


def signals(policy: Policy, history: History, *alerts: Alert, **more: Any) -> dict[str, dict[str, Any]]:
    standings = more.pop("standings", all_met(policy))
    (layer,) = overview.layers(policy, history, alerts, standings, **more)
    json.dumps(layer, allow_nan=False)
    return {f"{layer['id']}.{signal['id']}": signal for signal in layer["signals"]}


def all_met(policy: Policy) -> dict[str, Standing]:
    clauses = (clause for signal in policy.compiled.signals for clause in signal.clauses)
    return {clause: Standing("met", "fine") for clause in clauses}


def alert(name: str, state: AlertState = AlertState.FIRING, **labels: str) -> Alert:
    pairs = {"alertname": name, "service": "a", **labels}
    fired = None if state is AlertState.PENDING else START
    return Alert(label_set(pairs.items()), name, state, 0.2, START, "e1", fired_at=fired)


def test_the_value_of_a_signal_is_its_worst_one(policy: Policy) -> None:
    history = History()
    history.observe(START, seen(policy, START, error_rate={A: 0.1, B: 0.3}, free={A: 0.9, B: 0.4}), policy)
    assert (history.last(ERRORS), history.last(FREE)) == (0.3, 0.4)


def test_no_data_a_nan_and_a_failure_are_no_value(policy: Policy) -> None:
    history = History()
    for number, answer in enumerate(({}, {A: math.nan}, Failure("no")), start=1):
        at = START + number * STEP
        history.observe(at - STEP / 2, seen(policy, at, error_rate=0.1), policy)
        assert history.last(ERRORS) == 0.1
        history.observe(at, seen(policy, at, error_rate=answer), policy)
        assert history.last(ERRORS) is None


def test_while_nothing_can_be_asked_there_is_no_value(policy: Policy) -> None:
    history = History()
    history.observe(START, seen(policy, START, error_rate=0.1), policy)
    later = START + STEP
    history.observe(later, Observation(later, unreachable="it is down"), policy)
    assert history.last(ERRORS) is None
    assert history.points(ERRORS) == [0.1, None]


def test_a_quarter_of_an_hour_is_kept_and_shown_in_at_most_sixty_points(policy: Policy) -> None:
    history = History()
    for second in range(0, 3600, 5):
        at = START + timedelta(seconds=second)
        history.observe(at, seen(policy, at, error_rate=float(second)), policy)
    points = history.points(ERRORS)
    assert len(points) == MAX_POINTS
    assert points[-1] == 3595
    assert points[0] is not None
    assert points[0] >= 3595 - 900
    assert points == sorted(points, key=lambda value: value or 0)


def test_a_clock_that_is_set_back_does_not_stop_the_picture(policy: Policy) -> None:
    history = History()
    history.observe(START, seen(policy, START, error_rate=0.5), policy)
    back = START - timedelta(hours=1)
    history.observe(back, seen(policy, back, error_rate=0.1), policy)
    assert history.last(ERRORS) == 0.1
    assert history.points(ERRORS) == [0.1]


def test_a_signal_that_a_reload_took_away_is_forgotten(policy: Policy) -> None:
    history = History()
    history.observe(START, seen(policy, START, free=0.5), policy)
    loaded = load_text(RUNBOOK)
    fewer = Policy(loaded.runbook, compile_runbook(loaded.runbook), STEP)
    history.observe(START + STEP, seen(fewer, START + STEP, error_rate=0.1), fewer)
    assert history.points(FREE) == []


def test_each_signal_says_its_thresholds_as_the_runbook_does(policy: Policy) -> None:
    found = signals(policy, History())
    assert found[ERRORS]["page"] == ["> 5% over 3s for 1s"]
    assert found[FREE]["warn"] == ["< 20%"]
    assert found[SHOWN]["warn"] == found[SHOWN]["page"] == []


def test_what_was_never_evaluated_is_unknown_and_says_so(policy: Policy) -> None:
    for signal in signals(policy, History(), standings={}).values():
        assert (signal["state"], signal["why"], signal["value"]) == ("unknown", "not evaluated yet", None)


def test_a_signal_is_as_bad_as_its_worst_alert_and_verdict(policy: Policy) -> None:
    history = History()
    history.observe(START, seen(policy, START, error_rate=0.1, free=0.1, shown=5.0), policy)
    found = signals(policy, history)
    assert {name: signal["state"] for name, signal in found.items()} == {
        ERRORS: "ok",
        FREE: "ok",
        SHOWN: "shown",
    }
    pending = alert("ApiErrorRatePage", AlertState.PENDING)
    assert signals(policy, history, pending)[ERRORS]["state"] == "pending"
    assert signals(policy, history, pending, alert("ApiErrorRatePage"))[ERRORS]["state"] == "page"
    assert signals(policy, history, alert("ApiFreeWarn"))[FREE]["state"] == "warn"
    assert signals(policy, history, alert("ApiFreeWarn", AlertState.RESOLVED))[FREE]["state"] == "ok"
    verdicts: tuple[Verdict, ...] = ("unknown", "missed")
    for verdict in verdicts:
        standings = {
            **all_met(policy),
            "monitoring.api.error-rate.page": Standing(verdict, "API: HTTP error rate: no data"),
        }
        assert signals(policy, history, standings=standings)[ERRORS]["state"] == verdict
        without = signals(policy, History(), standings=standings)[ERRORS]
        assert without["why"] == "no data"


def test_where_rules_are_not_evaluated_nothing_is_green_and_no_value_is_now(policy: Policy) -> None:
    history = History()
    history.observe(START, seen(policy, START, error_rate=0.01, free=0.9, shown=5.0), policy)
    found = signals(policy, history, alert("ApiFreeWarn"), halted="no evaluation was recorded for 60 s")
    assert [signal["state"] for signal in found.values()] == ["unknown", "warn", "unknown"]
    assert {signal["value"] for signal in found.values()} == {None}
    assert {signal["why"] for signal in found.values()} == {"no evaluation was recorded for 60 s"}


def test_alerts_are_told_with_what_they_are_and_who_speaks_for_them() -> None:
    one, pending = alert("ApiFreeWarn", severity="warn"), alert("Other", AlertState.PENDING, severity="page")
    over = alert("Over", AlertState.RESOLVED)
    quiet = {one.fingerprint: Inhibited(pending.fingerprint, "Other", "it is the cause")}
    rows = overview.alert_rows([one, pending, over], quiet, {one.fingerprint: "s", pending.fingerprint: "t"})
    assert [row["alertname"] for row in rows] == ["ApiFreeWarn", "Other"]
    first, second = rows
    assert (first["state"], first["severity"], first["labels"], first["summary"]) == (
        *("firing", "warn"),
        {"service": "a"},
        "s",
    )
    assert (first["active_ms"], first["fired_ms"], second["fired_ms"]) == (1767614400000, 1767614400000, None)
    assert (first["inhibited_by"], second["inhibited_by"]) == ("Other", None)


def test_the_document_is_json_whatever_is_measured(policy: Policy) -> None:
    history = History()
    history.observe(START, seen(policy, START, error_rate=math.inf, free=-math.inf), policy)
    found = signals(policy, history)
    assert json.loads(json.dumps(found, allow_nan=False))[ERRORS]["value"] > 1e308
    hot = dataclasses.replace(alert("A"), value=math.nan)
    (row,) = overview.alert_rows([hot], {}, {"A": ""})
    assert row["value"] is None
