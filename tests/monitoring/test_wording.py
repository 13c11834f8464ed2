"""What is said about alerts: annotations, groups, and that a bad template silences nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.monitoring.stage import PLACE, default_runbook
from watchkeeper.monitoring.alerts import Alert, AlertState, fingerprint_of
from watchkeeper.monitoring.compile import METRICS_UNREACHABLE, compile_runbook
from watchkeeper.monitoring.evaluation import failure_labels
from watchkeeper.monitoring.grouping import Group, Occasion, Send
from watchkeeper.monitoring.labels import Labels, label_set
from watchkeeper.monitoring.wording import MEMBERS_TOLD, Wording, number
from watchkeeper.notify.models import Kind, Notification

T0 = datetime(2026, 1, 5, tzinfo=UTC)
COMPILED = compile_runbook(default_runbook().runbook, "http://here")
WORDING = Wording(COMPILED)


def alert(labels: Labels, value: float = 0.5, state: AlertState = AlertState.FIRING) -> Alert:
    return Alert(labels, fingerprint_of(labels), state, value, T0, fingerprint_of(labels), T0)


def of_rule(name: str, **more: str) -> Alert:
    rule = COMPILED.rule(name)
    assert rule is not None
    return alert(label_set({**PLACE, **dict(rule.labels), "alertname": name, **more}.items()))


def send(occasion: Occasion, *alerts: Alert) -> Send:
    group = Group("k", ("pd",), label_set({"alertname": "X"}.items()), "dedup", T0, T0)
    return Send(occasion, group, alerts)


def test_an_alert_says_what_where_and_over_which_line() -> None:
    found = WORDING.annotations(of_rule("ApiErrorRatePage"))
    assert found["summary"] == (
        "HTTP error rate (5xx): 50%, above 5% over 2 minutes; service shop, env prod, region eu"
    )
    assert found["runbook_url"] == "http://here/runbook#playbook-api-errors"


def test_labels_are_text_and_never_templates() -> None:
    summary = WORDING.annotations(of_rule("ApiErrorRatePage", service="{{ $value }}"))["summary"]
    assert "service {{ $value }}" in summary


def test_a_template_that_cannot_be_filled_still_tells() -> None:
    rule = replace(COMPILED.rules[0], annotations=(("summary", "{{ humanize $labels.service }}"),))
    wording = Wording(replace(COMPILED, rules=(rule,), _by_name={}))
    summary = wording.annotations(of_rule(rule.name))["summary"]
    assert "cannot be filled in" in summary


def test_a_failed_rule_is_told_with_its_clause_and_playbook() -> None:
    rule = COMPILED.rule("ApiErrorRatePage")
    assert rule is not None
    told = WORDING.notification(send(Occasion.TRIGGER, alert(failure_labels(rule))), T0)
    assert (told.severity, told.clause, told.playbook) == ("page", rule.clause, "api-errors")
    assert "cannot be evaluated" in told.summary


def test_a_source_that_cannot_be_asked_is_told_as_a_page() -> None:
    labels = label_set({"alertname": METRICS_UNREACHABLE, "severity": "page"}.items())
    told = WORDING.notification(send(Occasion.TRIGGER, alert(labels)), T0)
    assert (told.severity, told.is_page) == ("page", True)
    assert "nothing is watched" in told.summary


def test_one_alert_is_told_as_itself() -> None:
    told = WORDING.notification(send(Occasion.TRIGGER, of_rule("ApiErrorRatePage")), T0)
    assert (told.kind, told.alertname, told.severity) == (Kind.TRIGGER, "ApiErrorRatePage", "page")
    assert (told.dedup_key, told.order_key, told.members) == ("dedup", "dedup", ())
    assert told.labels["service"] == "shop"
    assert [link.text for link in told.links] == ["Runbook"]
    assert Notification.from_json(told.to_json()) == told


def test_a_group_is_told_by_its_gravest_member_and_lists_the_others() -> None:
    warn = of_rule("ApiErrorRateWarn", service="a")
    page = replace(of_rule("ApiErrorRatePage", service="b"), active_at=T0 + timedelta(minutes=1))
    told = WORDING.notification(send(Occasion.UPDATE, warn, page), T0)
    assert (told.severity, told.alertname, told.starts_at) == ("page", "ApiErrorRatePage", T0)
    assert told.summary.startswith("2 alerts: ")
    assert [member.labels["service"] for member in told.members] == ["b", "a"]
    assert "service" not in told.labels
    assert told.labels["env"] == "prod"


def test_a_very_large_group_is_cut() -> None:
    many = [of_rule("ApiErrorRatePage", service=str(n)) for n in range(MEMBERS_TOLD + 10)]
    told = WORDING.notification(send(Occasion.TRIGGER, *many), T0)
    assert len(told.members) == MEMBERS_TOLD
    assert told.summary.startswith(f"{MEMBERS_TOLD + 10} alerts")
    assert told.total == MEMBERS_TOLD + 10
    assert Notification.from_json(told.to_json()) == told


def test_a_storm_says_what_is_broken_with_counts() -> None:
    alerts = [of_rule("ApiErrorRatePage", service=str(n)) for n in range(1200)]
    alerts += [of_rule("JobsFailureRatePage", service=str(n)) for n in range(3)]
    group = Group("k", ("pd",), label_set({"severity": "page"}.items()), "dedup", T0, T0, storm=True)
    told = WORDING.notification(Send(Occasion.TRIGGER, group, tuple(alerts)), T0)
    first, second = (COMPILED.rule(name) for name in ("ApiErrorRatePage", "JobsFailureRatePage"))
    assert first is not None
    assert second is not None
    assert told.summary == f"1,203 alerts: {first.title} ×1,200, {second.title} ×3; 1,200 services"
    assert len(told.members) == MEMBERS_TOLD


def test_a_resolve_says_when_it_ended_even_if_the_alert_is_forgotten() -> None:
    ended = replace(of_rule("ApiErrorRatePage"), state=AlertState.RESOLVED)
    told = WORDING.notification(send(Occasion.RESOLVE, ended), T0 + timedelta(minutes=5))
    assert (told.kind, told.ends_at) == (Kind.RESOLVE, T0 + timedelta(minutes=5))
    forgotten = WORDING.notification(send(Occasion.RESOLVE), T0)
    assert (forgotten.kind, forgotten.dedup_key, forgotten.alertname) == (Kind.RESOLVE, "dedup", "X")


def test_an_alert_of_a_rule_that_is_gone_is_told_by_its_name() -> None:
    labels = label_set({**PLACE, "alertname": "Gone", "severity": "warn"}.items())
    assert WORDING.annotations(alert(labels))["summary"].startswith("Gone ")
    assert WORDING.clause(alert(labels)) is None


def test_values_that_json_cannot_say_are_words() -> None:
    values = [number(value) for value in (1.5, float("nan"), float("inf"), float("-inf"))]
    assert values == [1.5, "NaN", "+Inf", "-Inf"]
