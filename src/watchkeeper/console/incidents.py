"""What is known of one incident, read in one snapshot for its page and the API.

Always true: everything of one look is of one moment of the store; a signal's figure is what the role
``watch`` says now, and *unknown* where it says nothing (tests/console/test_incident.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection

from watchkeeper.access.models import Identity, Scope
from watchkeeper.console.picture import Picture
from watchkeeper.console.policy import Policy
from watchkeeper.incidents import lifecycle, reading, records
from watchkeeper.incidents.models import Author, Countdown, Incident, JoinedAlert, State, Story, TimelineEntry
from watchkeeper.launches import changes as launches
from watchkeeper.launches.changes import Recent
from watchkeeper.playbooks import reading as runs
from watchkeeper.playbooks.reading import RunView
from watchkeeper.runbook.models.playbooks import Playbook
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import journal
from watchkeeper.store.journal import Entry, Filter

BEFORE = timedelta(hours=24)
MOST_CHANGES = 200
MOST_RUNS = 5


@dataclass(frozen=True, slots=True)
class Change:
    """Something that was changed near the begin of an incident. ``near``: it is about the same service."""

    at: datetime
    kind: str
    title: str
    by: str = ""
    url: str = ""
    seq: int | None = None
    near: bool = False


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal of an incident's alerts, as it is now. ``state`` is met, page, warn or unknown."""

    title: str
    href: str
    against: str
    state: str
    value: float | None
    unit: str
    points: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """A playbook that an alert of the incident names. ``given``: what its inputs are likely to be."""

    name: str
    playbook: Playbook
    given: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Look:
    """One incident as its page shows it; ``changes`` nearest to its begin first."""

    story: Story
    timeline: tuple[TimelineEntry, ...]
    changes: tuple[Change, ...]
    others: tuple[Incident, ...]
    """Live incidents besides it: what it could be merged into."""
    playbooks: tuple[Offer, ...]
    runs: tuple[RunView, ...]
    """The newest runs for it, whole."""


def author(identity: Identity) -> Author:
    """Who acts, as incidents know them."""
    return Author(identity.name if identity.kind == "person" else identity.actor, identity.actor)


def role_of(identity: Identity) -> str:
    """What somebody is here, as the steps of playbooks ask for it; a token by its scopes."""
    if identity.role is not None:
        return identity.role.value
    return "admin" if identity.may(Scope.ADMIN) else "responder" if identity.may(Scope.RESPOND) else "viewer"


def look(conn: Connection, now: datetime, policy: Policy, number: int) -> Look:
    """Everything of one incident. Raises :class:`watchkeeper.incidents.models.NoSuchIncidentError`."""
    story = story_of(conn, now, policy.runbook, number)
    return Look(
        story,
        reading.timeline_of(conn, number),
        changes(conn, now, story.incident),
        tuple(one for one in reading.live(conn) if one.id != number),
        offers(policy, story),
        runs_of(conn, story.incident),
    )


def story_of(conn: Connection, now: datetime, runbook: Runbook, number: int) -> Story:
    """The story of an incident; of one that is closed or part of another nothing is missing any more."""
    story = reading.story(conn, now, runbook, number)
    over = story.incident.state in (State.CLOSED, State.MERGED)
    return replace(story, close_gaps=()) if over else story


def offers(policy: Policy, story: Story) -> tuple[Offer, ...]:
    """The playbooks that its alerts name, in the order in which these joined."""
    incident = story.incident
    rules = [policy.compiled.rule(alert.alertname) for alert in story.alerts]
    names = dict.fromkeys(rule.playbook for rule in rules if rule is not None and rule.playbook)
    found = []
    for name in names:
        playbook = policy.runbook.playbooks.get(name)
        if playbook is not None:
            known = {"service": incident.service, "env": incident.env, "region": incident.region}
            given = {one: known.get(one) or _text(spec.default) for one, spec in playbook.inputs.items()}
            found.append(Offer(name, playbook, given))
    return tuple(found)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def runs_of(conn: Connection, incident: Incident) -> tuple[RunView, ...]:
    """The newest runs for the incident."""
    listed = runs.runs(conn, subject=incident.subject, limit=MOST_RUNS)
    views = (runs.run(conn, one.id) for one in listed)
    return tuple(view for view in views if view is not None)


def next_clock(conn: Connection, runbook: Runbook, incident: Incident) -> Countdown | None:
    """The clock of an incident that runs out next."""
    alerts = records.joined(conn, incident.id)
    return lifecycle.next_clock(reading.countdowns(conn, runbook, incident, alerts))


def changes(conn: Connection, now: datetime, incident: Incident) -> tuple[Change, ...]:
    """What was changed from 24 hours before it was detected until it was over, nearest first."""
    begin, until = incident.detected_at, incident.resolved_at or now
    told = launches.recent(conn, begin, BEFORE / timedelta(hours=1))
    found = [_of_change(one, incident) for one in told if one.at <= until]
    silenced = Filter(kind="silence.*", since=begin - BEFORE, until=until)
    found += [_of_entry(entry) for entry in journal.entries(conn, silenced, MOST_CHANGES)]
    found.sort(key=lambda one: abs(one.at - begin))
    return tuple(found[:MOST_CHANGES])


def _of_change(one: Recent, incident: Incident) -> Change:
    near = one.service is not None and one.service == incident.service
    what = " ".join(part for part in (one.service, one.version) if part)
    title = f"{what}: {one.title}" if what else one.title
    return Change(one.at, one.kind, title, _name(one.by), one.url or "", one.seq, near)


def _of_entry(entry: Entry) -> Change:
    title = str(entry.facts.get("summary") or entry.kind)
    return Change(entry.at, entry.kind.partition(".")[0], title, _name(entry.actor), "", entry.seq)


def _name(actor: str) -> str:
    kind, _, name = actor.partition(":")
    return name or kind


def signals(picture: Picture, alerts: Iterable[JoinedAlert]) -> tuple[Signal, ...]:
    """The signals that the alerts are of, each once, as the role ``watch`` has them."""
    rows = {
        (layer["id"], row["id"]): row
        for layer in picture.overview.get("layers", ())
        for row in layer.get("signals", ())
    }
    found: dict[tuple[str, str], Signal] = {}
    for alert in alerts:
        place = _place(picture, alert)
        if place is not None and place not in found:
            found[place] = _signal(place, rows.get(place), alert)
    return tuple(found.values())


def _place(picture: Picture, alert: JoinedAlert) -> tuple[str, str] | None:
    layer, signal = alert.labels.get("layer"), alert.labels.get("signal")
    if layer and signal:
        return layer, signal
    rule = picture.policy.compiled.rule(alert.alertname) if picture.policy else None
    return None if rule is None else (rule.layer, rule.signal)


def _signal(place: tuple[str, str], row: dict[str, Any] | None, alert: JoinedAlert) -> Signal:
    layer, name = (quote(part, safe="") for part in place)
    href = f"/signals/{layer}/{name}"
    if row is None:
        return Signal(
            alert.summary or alert.alertname, href, "nobody watches it now", "unknown", None, "", ()
        )
    lines = [f"{word} {' · '.join(row[word])}" for word in ("warn", "page") if row.get(word)]
    against = row.get("why") if row.get("value") is None and row.get("why") else "; ".join(lines)
    points = tuple(row.get("points") or ())
    return Signal(row["title"], href, against or "", row["state"], row.get("value"), row["unit"], points)
