"""Which alerts stay quiet: a page over the warning of the same signal, a cause over its symptoms."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.monitoring.alerts import Alert, AlertState, fingerprint_of
from watchkeeper.monitoring.inhibition import inhibited, refers_to
from watchkeeper.monitoring.labels import label_set
from watchkeeper.runbook.models.monitoring import CauseOverSymptom, Inhibition

T0 = datetime(2026, 1, 5, tzinfo=UTC)


def alert(
    signal: str, severity: str, state: AlertState = AlertState.FIRING, layer: str = "api", **more: str
) -> Alert:
    name = f"{layer}-{signal}-{severity}"
    pairs = {"alertname": name, "layer": layer, "signal": signal, "severity": severity, **more}
    labels = label_set(pairs.items())
    return Alert(labels, fingerprint_of(labels), state, 1.0, T0, f"e-{fingerprint_of(labels)}")


def quiet(*alerts: Alert, policy: Inhibition | None = None) -> list[str]:
    found = inhibited(alerts, policy or Inhibition())
    return [dict(one.labels)["alertname"] for one in alerts if one.fingerprint in found]


def test_a_page_hides_the_warning_of_the_same_signal_in_the_same_place() -> None:
    assert quiet(alert("lag", "warn", env="prod"), alert("lag", "page", env="prod")) == ["api-lag-warn"]


@pytest.mark.parametrize(
    "page",
    [
        alert("lag", "page", env="staging"),
        alert("errors", "page", env="prod"),
        alert("lag", "page", layer="jobs", env="prod"),
        alert("lag", "page", AlertState.PENDING, env="prod"),
        alert("lag", "page", AlertState.RESOLVED, env="prod"),
    ],
)
def test_it_hides_nothing_else(page: Alert) -> None:
    assert quiet(alert("lag", "warn", env="prod"), page) == []


def test_nothing_is_hidden_where_the_runbook_does_not_want_it() -> None:
    alerts = (alert("lag", "warn"), alert("lag", "page"))
    assert quiet(*alerts, policy=Inhibition(page_over_warn=False)) == []


CAUSE = Inhibition(
    causes=(
        CauseOverSymptom(
            cause=("db.storage",), symptom=("api.errors", "api.lag.page"), equal=("env",), reason="full disk"
        ),
    )
)


def test_a_cause_that_pages_hides_its_symptoms_in_the_same_environment() -> None:
    cause = alert("storage", "page", layer="db", env="prod")
    symptoms = [
        alert("errors", "warn", env="prod"),
        alert("errors", "page", env="prod"),
        alert("errors", "page", env="staging"),
        alert("lag", "warn", env="prod"),
        alert("lag", "page", env="prod", service="x"),
    ]
    assert quiet(cause, *symptoms, policy=CAUSE) == ["api-errors-warn", "api-errors-page", "api-lag-page"]
    found = inhibited([cause, *symptoms], CAUSE)
    why = found[symptoms[4].fingerprint]
    assert (why.by, why.by_name, why.reason) == (cause.fingerprint, "db-storage-page", "full disk")


def test_a_cause_that_only_warns_hides_nothing() -> None:
    alerts = (alert("storage", "warn", layer="db", env="prod"), alert("errors", "page", env="prod"))
    assert quiet(*alerts, policy=CAUSE) == []


def test_a_label_that_both_lack_agrees() -> None:
    assert quiet(alert("storage", "page", layer="db"), alert("errors", "page"), policy=CAUSE) == [
        "api-errors-page"
    ]


def test_a_reference_without_severity_means_any_and_for_a_cause_its_page() -> None:
    labels = {"layer": "a", "signal": "b", "severity": "warn"}
    assert refers_to("a.b", labels)
    assert refers_to("a.b.warn", labels)
    assert not refers_to("a.b.page", labels)
    assert not refers_to("a.b", labels, default_severity="page")
    assert not refers_to("a.c", labels)


signals = st.sampled_from(["one", "two"])
firing = st.builds(
    alert,
    signals,
    st.sampled_from(["warn", "page"]),
    st.sampled_from(list(AlertState)),
    layer=st.just("l"),
    env=st.sampled_from(["a", "b"]),
)


@given(st.lists(firing, max_size=8), st.booleans(), st.lists(st.tuples(signals, signals), max_size=2))
def test_only_what_fires_is_hidden_only_by_what_fires_and_never_by_itself(
    alerts: list[Alert], over: bool, causes: list[tuple[str, str]]
) -> None:
    rules = tuple(
        CauseOverSymptom(cause=(f"l.{one}",), symptom=(f"l.{two}",), reason="r") for one, two in causes
    )
    found = inhibited(alerts, Inhibition(page_over_warn=over, causes=rules))
    firing_now = {one.fingerprint for one in alerts if one.state is AlertState.FIRING}
    assert set(found) <= firing_now
    assert all(why.by in firing_now and why.by != key for key, why in found.items())
