"""The incident document: Markdown, made from what the store has of an incident. Pure.

Always true here: the same story and timeline give the same document, to the byte; people and machines are
told apart by a mark and a word; times are UTC; nothing that somebody wrote is markup of ours
(tests/incidents/test_document.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from watchkeeper.incidents import lifecycle
from watchkeeper.incidents.figures import durations, words
from watchkeeper.incidents.markdown import block, inline
from watchkeeper.incidents.models import FollowUp, Incident, Story, TimelineEntry
from watchkeeper.runbook.models.incidents import Incidents

_PERSON, _MACHINE = "● person", "○ machine"
_SPECIAL = ("summary", "impact", lifecycle.TIMELINE, lifecycle.FOLLOW_UPS)


def document(
    story: Story, timeline: Sequence[TimelineEntry], runbook: Incidents, *, whole: bool = True
) -> str:
    """The document of an incident. ``whole``: with every entry of the timeline, not the key events alone."""
    incident = story.incident
    parts = [
        _head(incident),
        _part("Summary", incident, "summary"),
        _part("Impact", incident, "impact", [_plain(incident.impact), _scope(incident)]),
        _part("Timeline", incident, lifecycle.TIMELINE, _table(one for one in timeline if one.key)),
    ]
    for name in dict.fromkeys(section for section in runbook.document.sections):
        if name.lower() not in _SPECIAL:
            parts.append(_part(name[:1].upper() + name[1:], incident, name.lower()))
    parts += [
        _part("Follow-up actions", incident, lifecycle.FOLLOW_UPS, _follow_ups(story.follow_ups)),
        _updates(story),
        _deadlines(story),
        _figures(incident),
        _missing(story),
    ]
    if whole:
        parts.append("\n".join(["## Everything that happened", "", *_table(timeline)]))
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _head(incident: Incident) -> str:
    rows = [
        ("Severity", incident.severity or "not set"),
        ("State", incident.state.value),
        ("Service", " ".join(filter(None, (incident.service, incident.env, incident.region)))),
        ("Commander", incident.commander or ""),
        ("Communications", incident.communications or ""),
        ("Scribe", incident.scribe or ""),
        ("Detected", _moment(incident.detected_at)),
        ("Opened", f"{_moment(incident.opened_at)} by {incident.opened_by}"),
        ("Acknowledged", _by(incident.acknowledged_at, incident.acknowledged_by)),
        ("Mitigated", _by(incident.mitigated_at, None)),
        ("Resolved", _by(incident.resolved_at, incident.resolved_by)),
        ("Closed", _by(incident.closed_at, incident.closed_by)),
    ]
    lines = [f"| {name} | {inline(value)} |" for name, value in rows if value]
    return "\n".join(
        [f"# Incident {incident.id}: {inline(incident.title)}", "", "| | |", "| --- | --- |", *lines]
    )


def _part(title: str, incident: Incident, name: str, own: Iterable[str] = ()) -> str:
    """A section: what is known by itself, what people wrote, and what they added after it was closed."""
    written = incident.sections.get(name)
    found = [line for line in own if line.strip()]
    if written is not None and written.text:
        found += ["", block(written.text), "", f"*{inline(written.by)}, {_moment(written.at)}*"]
    for one in incident.corrections:
        if one.section == name:
            found += ["", f"**Correction** by {inline(one.by)}, {_moment(one.at)}:", "", block(one.text)]
    if not found:
        if name == "summary":
            return ""
        found = ["*Nothing is written here yet.*"]
    return "\n".join([f"## {inline(title)}", "", *found])


def _plain(text: str) -> str:
    return block(text) if text.strip() else ""


def _scope(incident: Incident) -> str:
    return f"\nAffected: {inline(incident.scope)}" if incident.scope.strip() else ""


def _table(entries: Iterable[TimelineEntry]) -> Iterator[str]:
    rows = [
        f"| {_moment(one.at)} | {_PERSON if one.by_person else _MACHINE} {inline(one.who)} "
        f"| {inline(one.summary)} | {one.seq} |"
        for one in entries
    ]
    if rows:
        yield "| When (UTC) | Who | What | Entry |\n| --- | --- | --- | --- |"
        yield from rows


def _follow_ups(follow_ups: Sequence[FollowUp]) -> Iterator[str]:
    if follow_ups:
        yield "| | What | Owner | Due | Done |\n| --- | --- | --- | --- | --- |"
    for one in follow_ups:
        due = f"{one.due_on.astimezone(UTC):%Y-%m-%d}" if one.due_on else "no date"
        what = inline(one.title) + (f" (<{one.url}>)" if one.url else "")
        done = _by(one.done_at, one.done_by)
        yield f"| {one.id} | {what} | {inline(one.owner or 'nobody')} | {due} | {inline(done)} |"


def _updates(story: Story) -> str:
    lines = ["## Updates"]
    for one in reversed(story.updates):
        lines += ["", f"**{_moment(one.at)}**, {inline(one.by)}: {one.status.value}"]
        for audience, text in one.said.items():
            lines += ["", f"To {inline(audience)}:", "", *(f"> {line}" for line in block(text).splitlines())]
    return "\n".join(lines) if story.updates else ""


def _deadlines(story: Story) -> str:
    rows = [
        f"| {inline(one.title)} | {one.state} | {_moment(one.due_at)} | {inline(one.reason)} "
        f"| `{one.clause}` |"
        for one in story.clocks
    ]
    head = [
        "## Deadlines",
        "",
        "| What | How it ended | Due (UTC) | Why | Clause |",
        "| --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *rows]) if rows else ""


def _figures(incident: Incident) -> str:
    took = durations(incident)
    rows = [
        f"| Time to {name} | {words(getattr(took, name))} |"
        for name in ("detect", "acknowledge", "mitigate", "resolve")
    ]
    return "\n".join(["## Figures", "", "| | |", "| --- | --- |", *rows])


def _missing(story: Story) -> str:
    if story.incident.closed_at is not None or not story.close_gaps:
        return ""
    lines = [f"- **{inline(gap.what)}**: {inline(gap.how)}" for gap in story.close_gaps]
    return "\n".join(["## Missing before it may be closed", "", *lines])


def _by(at: datetime | None, who: str | None) -> str:
    return "" if at is None else _moment(at) + (f" by {who}" if who else "")


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
