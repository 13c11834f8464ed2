"""To which incident an alert belongs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.incidents.desk import NOW
from watchkeeper.incidents.joining import Decision, Firing, Joins, Known, Opens, Reopens, decide
from watchkeeper.incidents.models import LIVE, State

HOUR = timedelta(hours=1)


def alert(fingerprint: str = "a", service: str | None = "api", **given: Any) -> Firing:
    labels = {"env": "prod"} | ({"service": service} if service else {})
    values: dict[str, Any] = {
        "episode": f"{fingerprint}-1",
        "alertname": "Errors",
        "severity": "page",
        "labels": labels,
        "summary": "it burns",
        "clause": None,
        "active_at": NOW,
        "fired_at": NOW,
    }
    return Firing(fingerprint, **{**values, **given})


def known(number: int = 1, state: State = State.OPEN, service: str | None = "api", **given: Any) -> Known:
    values: dict[str, Any] = {
        "env": "prod",
        "opened_at": NOW - HOUR,
        "resolved_at": None,
        "fingerprints": frozenset(),
        "alertnames": frozenset(),
        "group_keys": frozenset(),
    }
    return Known(number, state, service, **{**values, **given})


def resolved(minutes: float, **given: Any) -> Known:
    ended = NOW - timedelta(minutes=minutes)
    values = {"fingerprints": frozenset("a"), "resolved_at": ended, **given}
    return known(state=State.RESOLVED, **values)


def kind(decision: Decision | None) -> Any:
    return (
        decision if decision is None or isinstance(decision, Opens) else (type(decision), decision.incident)
    )


@pytest.mark.parametrize(
    ("firing", "incidents", "expected"),
    [
        (alert(), [], Opens()),
        (alert(severity="warn"), [], None),
        (alert(quiet="silence:1"), [], None),
        (alert(quiet="silence:1"), [known()], None),
        (alert(), [known()], (Joins, 1)),
        (alert(), [known(state=State.MITIGATED)], (Joins, 1)),
        (alert(severity="warn"), [known()], (Joins, 1)),
        (alert(), [known(service="db")], Opens()),
        (alert(), [known(env="staging")], Opens()),
        (alert(service=None), [known(service=None)], Opens()),
        (alert(service=None), [known(service=None, alertnames=frozenset(["Errors"]))], (Joins, 1)),
        (alert(group_key="g"), [known(service="db", group_keys=frozenset("g"))], (Joins, 1)),
        (alert(), [known(1, fingerprints=frozenset("a"), service="x"), known(2)], (Joins, 1)),
        (alert(), [known(1), known(2)], (Joins, 2)),
        (alert(), [resolved(59)], (Reopens, 1)),
        (alert(), [resolved(60)], (Reopens, 1)),
        (alert(), [resolved(61)], Opens()),
        (alert("b"), [resolved(5)], Opens()),
        (alert(severity="warn"), [resolved(5)], None),
        (alert(), [resolved(5), known(2)], (Joins, 2)),
        (alert(), [known(state=State.CLOSED, fingerprints=frozenset("a"))], Opens()),
    ],
)
def test_what_becomes_of_an_alert(firing: Firing, incidents: list[Known], expected: Any) -> None:
    assert kind(decide(firing, incidents, HOUR)) == expected


@given(
    severity=st.sampled_from(["page", "warn"]),
    quiet=st.sampled_from([None, "silence:1"]),
    service=st.sampled_from([None, "api", "db"]),
    incidents=st.lists(
        st.builds(
            known,
            st.integers(1, 9),
            st.sampled_from(list(State)),
            st.sampled_from([None, "api", "db"]),
            resolved_at=st.sampled_from([None, NOW, NOW - 2 * HOUR]),
            fingerprints=st.sampled_from([frozenset(), frozenset("a")]),
        ),
        unique_by=lambda one: one.id,
    ),
)
def test_an_audible_page_always_has_an_incident_and_only_live_ones_are_joined(
    severity: str, quiet: str | None, service: str | None, incidents: list[Known]
) -> None:
    found = decide(alert(service=service, severity=severity, quiet=quiet), incidents, HOUR)
    assert (found is None) == (quiet is not None) or severity == "warn"
    states = {one.id: one.state for one in incidents}
    if isinstance(found, Joins):
        assert states[found.incident] in LIVE
    if severity == "warn":
        assert found is None or isinstance(found, Joins)
