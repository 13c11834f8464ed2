"""What an incident needs next, what is allowed, and what is missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.incidents.desk import NOW, runbook_of
from watchkeeper.incidents import lifecycle
from watchkeeper.incidents.models import (
    Action,
    Countdown,
    FollowUp,
    Gap,
    Incident,
    JoinedAlert,
    Section,
    Stage,
    State,
    Status,
    Update,
)
from watchkeeper.incidents.policy import section

INCIDENTS = section(runbook_of())
BLANK = Incident(
    id=1,
    title="t",
    state=State.OPEN,
    severity=None,
    service="api",
    env="prod",
    region=None,
    scope="",
    impact="",
    status=Status.INVESTIGATING,
    eta="",
    public=False,
    components=(),
    commander=None,
    communications=None,
    scribe=None,
    detected_at=NOW,
    opened_at=NOW,
    opened_by="x",
    acknowledged_at=None,
    acknowledged_by=None,
    triaged_at=None,
    mitigated_at=None,
    resolved_at=None,
    resolved_by=None,
    closed_at=None,
    closed_by=None,
    merged_into=None,
    sections={},
    corrections=(),
    key_events=(),
    left_out=(),
    revision=1,
)
ACKED = replace(BLANK, acknowledged_at=NOW, acknowledged_by="ada")
TRIAGED = replace(ACKED, severity="SEV-1")
SAID = Update(1, 1, NOW, "ada", Status.IDENTIFIED, "SEV-1", "", "", "", None, {}, ())
FIRES = JoinedAlert(
    1, "a", "e1", "Errors", "page", "7 %", {}, None, NOW, NOW, NOW, None, "", "", False, NOW, "ada"
)
WELL = replace(FIRES, resolved_at=NOW, at_baseline=True, acknowledged_at=None)
GONE = replace(FIRES, resolved_at=NOW, at_baseline=False, ended="it gives no data")


def clock(clause: str = "update", due: float = 15, **given: Any) -> Countdown:
    end = NOW + timedelta(minutes=due)
    return Countdown(f"incidents.{clause}", clause, "running", NOW, NOW + (end - NOW) * 0.8, end, 1, **given)


@pytest.mark.parametrize(
    ("incident", "alerts", "updates", "clocks", "minute", "action", "stage"),
    [
        (BLANK, [FIRES], [], [], 0, Action.ACKNOWLEDGE, Stage.DETECT),
        (ACKED, [FIRES], [], [], 0, Action.SET_SEVERITY, Stage.TRIAGE),
        (TRIAGED, [FIRES], [], [clock()], 0, Action.POST_UPDATE, Stage.COMMUNICATE),
        (TRIAGED, [FIRES], [SAID], [clock()], 11, Action.MITIGATE, Stage.STABILISE),
        (TRIAGED, [FIRES], [SAID], [clock()], 12, Action.POST_UPDATE, Stage.STABILISE),
        (TRIAGED, [WELL], [SAID], [clock()], 5, Action.RESOLVE, Stage.STABILISE),
        (
            replace(TRIAGED, state=State.MITIGATED),
            [FIRES],
            [SAID],
            [clock()],
            5,
            Action.POST_UPDATE,
            Stage.RESOLVE,
        ),
        (replace(TRIAGED, state=State.MITIGATED), [FIRES], [SAID], [], 5, Action.RESOLVE, Stage.RESOLVE),
        (TRIAGED, [replace(FIRES, acknowledged_at=None)], [SAID], [], 5, Action.ACKNOWLEDGE, Stage.DETECT),
        (replace(TRIAGED, state=State.RESOLVED), [WELL], [SAID], [], 5, Action.DOCUMENT, Stage.DOCUMENT),
        (replace(TRIAGED, state=State.CLOSED), [WELL], [SAID], [], 5, None, Stage.DOCUMENT),
        (replace(TRIAGED, state=State.MERGED), [FIRES], [SAID], [], 5, None, Stage.DOCUMENT),
    ],
)
def test_the_one_next_action(
    incident: Incident,
    alerts: list[JoinedAlert],
    updates: list[Update],
    clocks: list[Countdown],
    minute: float,
    action: Action | None,
    stage: Stage,
) -> None:
    gaps = lifecycle.resolve_gaps(alerts)
    missing = lifecycle.close_gaps(incident, [], INCIDENTS)
    now = NOW + timedelta(minutes=minute)
    found = lifecycle.next_action(incident, alerts, updates, clocks, gaps, missing, now)
    assert (found.action if found else None) is action
    assert lifecycle.stage(incident, alerts, updates) is stage


def test_the_clock_that_runs_out_next_is_one_that_runs() -> None:
    settled = replace(clock("triage", 1), state="met")
    assert lifecycle.next_clock([clock("document", 60), settled, clock("update", 15)]) == clock("update", 15)
    assert lifecycle.next_clock([settled]) is None


def test_a_signal_that_nobody_measures_is_not_at_its_baseline() -> None:
    assert lifecycle.resolve_gaps([FIRES]) == (Gap("Errors", "it fires: 7 %"),)
    assert (
        lifecycle.resolve_gaps([GONE])[0].how == "nobody knows whether its signal is well: it gives no data"
    )
    assert lifecycle.resolve_gaps([WELL]) == ()
    assert lifecycle.resolve_gaps([]) == ()


def test_of_an_alert_that_fired_again_the_last_time_counts() -> None:
    later = NOW + timedelta(minutes=5)
    assert lifecycle.resolve_gaps([GONE, replace(WELL, episode="e2", fired_at=later)]) == ()
    assert len(lifecycle.resolve_gaps([replace(FIRES, episode="e2", fired_at=later), WELL])) == 1


def named(incident: Incident, *work: FollowUp) -> list[str]:
    return [gap.what for gap in lifecycle.close_gaps(incident, work, INCIDENTS)]


def test_what_the_document_lacks_is_named_one_by_one() -> None:
    done = replace(TRIAGED, state=State.RESOLVED)
    assert named(done) == ["timeline", "root cause", "follow-up actions", "impact"]
    text = Section("said", "ada", NOW)
    done = replace(done, key_events=(3,), sections={"root cause": text}, impact="all")
    work = FollowUp(4, 1, "test it", None, None, None, NOW, "ada", None, None)
    assert lifecycle.close_gaps(done, [work], INCIDENTS) == (
        Gap("follow-up 4", "test it: it has no owner and no due date"),
    )
    assert named(done, replace(work, owner="ben", due_on=NOW)) == []
    assert named(replace(done, state=State.OPEN), replace(work, owner="b", due_on=NOW)) == ["resolution"]
    assert named(
        replace(done, severity=None, sections={"root cause": Section(" ", "a", NOW)}, impact=" ")
    ) == [
        "severity",
        "root cause",
        "follow-up actions",
        "impact",
    ]


@given(
    state=st.sampled_from(list(State)),
    acked=st.booleans(),
    severity=st.sampled_from([None, "SEV-1", "SEV-3"]),
    alerts=st.lists(st.sampled_from([FIRES, WELL, GONE]), max_size=2),
    said=st.booleans(),
    clocks=st.lists(st.sampled_from([clock(), clock("communicate", 5)]), max_size=2),
    minute=st.integers(0, 30),
)
def test_there_is_one_next_action_and_it_is_allowed_or_says_what_blocks_it(
    state: State,
    acked: bool,
    severity: str | None,
    alerts: list[JoinedAlert],
    said: bool,
    clocks: list[Countdown],
    minute: int,
) -> None:
    incident = replace(BLANK, state=state, severity=severity, acknowledged_at=NOW if acked else None)
    resolve = lifecycle.resolve_gaps(alerts)
    close = lifecycle.close_gaps(incident, [], INCIDENTS)
    now = NOW + timedelta(minutes=minute)
    found = lifecycle.next_action(incident, alerts, [SAID] if said else [], clocks, resolve, close, now)
    may = lifecycle.allowed(incident, alerts, resolve, close)
    if state in (State.CLOSED, State.MERGED):
        assert found is None
        assert may == frozenset()
        return
    assert found is not None
    assert found.action in may or found.blocked
    assert (Action.RESOLVE in may) == (incident.live and not resolve)
    assert (Action.CLOSE in may) == (state is State.RESOLVED and not close)
