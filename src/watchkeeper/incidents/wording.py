"""Incidents in lines for a terminal. Pure; nothing that somebody wrote can move the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from watchkeeper.incidents.figures import Figures, words
from watchkeeper.incidents.models import Countdown, Incident, State, Story

_MARKS = {
    State.OPEN: "■",
    State.MITIGATED: "△",
    State.RESOLVED: "●",
    State.CLOSED: "·",
    State.MERGED: "·",
}


def listed_lines(incident: Incident) -> list[str]:
    """An incident in a list."""
    where = " ".join(filter(None, (incident.service, incident.env, incident.region)))
    head = (
        f"{_MARKS[incident.state]} {incident.id:>4}  {incident.state.value:<9} {incident.severity or 'SEV ?'}"
    )
    lead = f"{incident.commander} leads" if incident.commander else "nobody leads"
    return [
        _clean(f"{head}  {incident.title}"),
        _clean(f"        {where}  since {_at(incident.opened_at)} · {lead}"),
    ]


def story_lines(story: Story, now: datetime) -> list[str]:
    """One incident, what is next first."""
    lines = listed_lines(story.incident)
    if story.next is not None:
        until = f", {_left(story.next.due_at, now)}" if story.next.due_at else ""
        lines.append(f"  NEXT  {story.next.action.value}: {story.next.because}{until}")
        lines += [f"        {gap.what}: {gap.how}" for gap in story.next.blocked]
    if story.clock is not None:
        lines.append(f"  CLOCK {story.clock.title}, {_left(story.clock.due_at, now)}")
    incident = story.incident
    for name in ("scope", "impact", "communications", "scribe"):
        if getattr(incident, name):
            lines.append(f"  {name}: {getattr(incident, name)}")
    for one in story.alerts:
        state = "fires" if one.resolved_at is None else f"ended {_at(one.resolved_at)}: {one.ended}"
        lines.append(f"  alert {one.alertname} ({one.severity}) {one.fingerprint} {one.episode}: {state}")
    lines += [f"  before resolve: {gap.what}: {gap.how}" for gap in story.resolve_gaps]
    if incident.state is State.RESOLVED:
        lines += [f"  before close: {gap.what}: {gap.how}" for gap in story.close_gaps]
    for one_ in story.follow_ups:
        due = f"{one_.due_on:%Y-%m-%d}" if one_.due_on else "no date"
        done = f", done by {one_.done_by}" if one_.done_at else ""
        lines.append(f"  follow-up {one_.id}: {one_.title} ({one_.owner or 'nobody'}, {due}{done})")
    lines += [_clock_line(one, now) for one in story.clocks]
    for update in story.updates[:5]:
        lines.append(f"  {_at(update.at)} {update.by}: {update.status.value}. {update.impact}")
    return [_clean(line) for line in lines]


def figures_lines(found: Sequence[Figures]) -> list[str]:
    """One line per service and quarter, under a heading."""
    if not found:
        return ["no incident was opened in that time"]
    head = ("quarter", "service", "incidents", "detect", "acknowledge", "mitigate", "resolve", "useful pages")
    rows = [
        (
            one.quarter,
            one.service,
            str(one.incidents),
            words(one.detect_seconds),
            words(one.acknowledge_seconds),
            words(one.mitigate_seconds),
            words(one.resolve_seconds),
            f"{one.useful} of {one.rated} rated, {one.pages} in all",
        )
        for one in found
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return [
        _clean("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        for row in (head, *rows)
    ]


def incident_json(incident: Incident) -> dict[str, Any]:
    """An incident as plain JSON, times in RFC 3339."""
    return {name: _plain(getattr(incident, name)) for name in Incident.__slots__}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    slots = getattr(type(value), "__slots__", None)
    if slots and not isinstance(value, str):
        return {name: _plain(getattr(value, name)) for name in slots}
    return value


def _clock_line(one: Countdown, now: datetime) -> str:
    mark = f", deadline {one.deadline_id}" if one.deadline_id else ""
    if one.running:
        return f"  {one.title}: {_left(one.due_at, now)}{mark}"
    return f"  {one.title}: {one.state}" + (f" ({one.reason})" if one.reason else "")


def _left(due: datetime, now: datetime) -> str:
    return f"{words(due - now)} left" if due > now else f"overdue by {words(now - due)}"


def _at(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def _clean(line: str) -> str:
    return "".join(char if char.isprintable() else " " for char in line)
