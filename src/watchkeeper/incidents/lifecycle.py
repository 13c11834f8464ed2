"""What an incident needs next: its stage, what is allowed, the one next action, the clock that runs out next,
and what is missing before it may be resolved or closed. Pure.

Always true here: an incident that is neither closed nor merged has exactly one next action, and that action
is allowed or says what blocks it; resolve is allowed exactly when :func:`resolve_gaps` is empty, close
exactly when :func:`close_gaps` is (tests/incidents/test_lifecycle.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from watchkeeper.incidents.models import (
    Action,
    Countdown,
    FollowUp,
    Gap,
    Incident,
    JoinedAlert,
    NextAction,
    Stage,
    State,
    Update,
)
from watchkeeper.runbook.models.incidents import Incidents

TIMELINE, ROOT_CAUSE, FOLLOW_UPS = "timeline", "root cause", "follow-up actions"
"""The sections of the document that are more than text; the names of the runbook, lower case."""
IMPACT = "impact"
_OWNER, _DUE = "owner", "due date"


def acknowledged(incident: Incident, alerts: Sequence[JoinedAlert]) -> bool:
    """Whether somebody has it: an acknowledgement that was taken back, or a page that joined, asks again."""
    waiting = any(
        one.severity == "page" and one.resolved_at is None and one.acknowledged_at is None for one in alerts
    )
    return incident.acknowledged_at is not None and not waiting


def stage(incident: Incident, alerts: Sequence[JoinedAlert], updates: Sequence[Update]) -> Stage:
    """Which step of the response an incident is in."""
    if incident.state in (State.RESOLVED, State.CLOSED, State.MERGED):
        return Stage.DOCUMENT
    if not acknowledged(incident, alerts):
        return Stage.DETECT
    if incident.severity is None:
        return Stage.TRIAGE
    if incident.state is State.MITIGATED:
        return Stage.RESOLVE
    return Stage.STABILISE if updates else Stage.COMMUNICATE


def allowed(
    incident: Incident, alerts: Sequence[JoinedAlert], resolve: Sequence[Gap], close: Sequence[Gap]
) -> frozenset[Action]:
    """What may be done now, without a reason."""
    if incident.state in (State.CLOSED, State.MERGED):
        return frozenset()
    found = {Action.SET_SEVERITY, Action.POST_UPDATE, Action.DOCUMENT}
    if incident.live and not acknowledged(incident, alerts):
        found.add(Action.ACKNOWLEDGE)
    if incident.state is State.OPEN:
        found.add(Action.MITIGATE)
    if incident.live and not resolve:
        found.add(Action.RESOLVE)
    if incident.state is State.RESOLVED and not close:
        found.add(Action.CLOSE)
    return frozenset(found)


def next_action(
    incident: Incident,
    alerts: Sequence[JoinedAlert],
    updates: Sequence[Update],
    clocks: Sequence[Countdown],
    resolve: Sequence[Gap],
    close: Sequence[Gap],
    now: datetime,
) -> NextAction | None:
    """The one thing to do next; None for an incident that is closed or merged."""
    due = {one.clause: one.due_at for one in clocks if one.running}
    if incident.state in (State.CLOSED, State.MERGED):
        return None
    if incident.state is State.RESOLVED:
        until = due.get("incidents.document")
        if close:
            return NextAction(Action.DOCUMENT, f"missing: {_listed(close)}", until)
        return NextAction(Action.CLOSE, "the document is complete", until)
    if not acknowledged(incident, alerts):
        until = due.get("incidents.acknowledge")
        return NextAction(Action.ACKNOWLEDGE, "nobody has it yet", until)
    if incident.severity is None:
        until = due.get("incidents.triage")
        return NextAction(Action.SET_SEVERITY, "nobody has said how bad it is", until)
    talking = sorted(
        (
            one
            for one in clocks
            if one.running and one.clause in ("incidents.update", "incidents.communicate")
        ),
        key=lambda one: one.due_at,
    )
    if talking and (talking[0].warn_at <= now or not updates):
        why = "stakeholders have heard nothing yet" if not updates else "the next update is due"
        return NextAction(Action.POST_UPDATE, why, talking[0].due_at)
    if not resolve:
        return NextAction(Action.RESOLVE, "the signals are back at their baseline")
    if incident.state is State.OPEN:
        return NextAction(Action.MITIGATE, f"not at baseline: {_listed(resolve)}")
    if talking:
        return NextAction(
            Action.POST_UPDATE, "until the signals are back at their baseline", talking[0].due_at
        )
    return NextAction(Action.RESOLVE, "it waits for its signals", blocked=tuple(resolve))


def next_clock(clocks: Sequence[Countdown]) -> Countdown | None:
    """The clock that runs out next; None while none runs."""
    running = [one for one in clocks if one.running]
    return min(running, key=lambda one: (one.due_at, one.clause), default=None)


def resolve_gaps(alerts: Sequence[JoinedAlert]) -> tuple[Gap, ...]:
    """Which signals are not back at their baseline."""
    newest: dict[str, JoinedAlert] = {}
    for one in sorted(alerts, key=lambda one: (one.fired_at or one.joined_at, one.episode)):
        newest[one.fingerprint] = one
    found = []
    for one in newest.values():
        if one.resolved_at is None:
            found.append(Gap(one.alertname, f"it fires: {one.summary}"))
        elif not one.at_baseline:
            found.append(Gap(one.alertname, f"nobody knows whether its signal is well: {one.ended}"))
    return tuple(found)


def close_gaps(incident: Incident, follow_ups: Sequence[FollowUp], runbook: Incidents) -> tuple[Gap, ...]:
    """What the document lacks."""
    found = []
    if incident.state is not State.RESOLVED:
        found.append(Gap("resolution", "resolve the incident first"))
    if incident.severity is None:
        found.append(Gap("severity", "say how bad it was"))
    for name in dict.fromkeys(section.lower() for section in runbook.document.sections):
        written = name in incident.sections and bool(incident.sections[name].text.strip())
        if name == TIMELINE and not written and not incident.key_events:
            found.append(Gap(name, "pick the key events of the timeline into the document"))
        elif name == FOLLOW_UPS and not written and not follow_ups:
            found.append(Gap(name, "add one, or write in the section why none is needed"))
        elif name not in (TIMELINE, FOLLOW_UPS) and not written:
            found.append(Gap(name, "write this section of the document"))
    if not incident.impact.strip():
        found.append(Gap(IMPACT, "say what customers felt, or that they felt nothing"))
    for one in follow_ups:
        lacks = missing_of(one, runbook)
        if lacks:
            found.append(Gap(f"follow-up {one.id}", f"{one.title}: it has no {' and no '.join(lacks)}"))
    return tuple(found)


def missing_of(follow_up: FollowUp, runbook: Incidents) -> tuple[str, ...]:
    """Which of the things that the runbook asks of a follow-up it does not have."""
    has = {_OWNER: bool(follow_up.owner), _DUE: follow_up.due_on is not None}
    wanted = (need.lower() for need in runbook.document.follow_ups_need)
    return tuple(need for need in wanted if need in has and not has[need])


def _listed(gaps: Sequence[Gap]) -> str:
    return ", ".join(gap.what for gap in gaps[:5]) + (f" and {len(gaps) - 5} more" if len(gaps) > 5 else "")
