"""Incidents as everything else speaks of them: states, roles, clocks, gaps, what stands in the store. Pure.

Always true here: what one reads is frozen, its times are aware UTC moments, and ``revision`` grows with every
change of an incident (tests/incidents/test_service.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class IncidentError(Exception):
    """What was asked of an incident cannot be done; the message says why, and what to do instead."""


class NoSuchIncidentError(IncidentError):
    """There is no incident of that number."""


class ConflictError(IncidentError):
    """Somebody else changed the incident meanwhile; the message says who and what. Nothing was done."""


class RefusedError(IncidentError):
    """It is not complete. ``gaps`` are what is missing, each with what to do about it."""

    def __init__(self, message: str, gaps: tuple[Gap, ...]) -> None:
        super().__init__(message)
        self.gaps = gaps


class State(StrEnum):
    """How far an incident is."""

    OPEN = "open"
    MITIGATED = "mitigated"
    RESOLVED = "resolved"
    CLOSED = "closed"
    MERGED = "merged"


LIVE = (State.OPEN, State.MITIGATED)
"""The states in which customers may still be hurt."""


class Status(StrEnum):
    """What the public and stakeholders are told."""

    INVESTIGATING = "investigating"
    IDENTIFIED = "identified"
    MONITORING = "monitoring"
    RESOLVED = "resolved"


class Stage(StrEnum):
    """The steps of the response, as the runbook has them."""

    DETECT = "detect"
    TRIAGE = "triage"
    STABILISE = "stabilise"
    COMMUNICATE = "communicate"
    RESOLVE = "resolve"
    DOCUMENT = "document"


class Role(StrEnum):
    """What one person is for in an incident."""

    COMMANDER = "commander"
    COMMUNICATIONS = "communications"
    SCRIBE = "scribe"


class Action(StrEnum):
    """The one thing to do next."""

    ACKNOWLEDGE = "acknowledge"
    SET_SEVERITY = "set severity"
    POST_UPDATE = "post update"
    MITIGATE = "mitigate"
    RESOLVE = "resolve"
    DOCUMENT = "document"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Author:
    """Whoever acts: ``name`` for people, ``actor`` for the journal (``person:ada``, ``token:ci``)."""

    name: str
    actor: str

    @classmethod
    def person(cls, name: str) -> Author:
        """A person, by name."""
        return cls(name, f"person:{name}")


SYSTEM = Author("Watchkeeper", "component:incidents")
"""The author of what nobody did by hand."""


@dataclass(frozen=True, slots=True)
class Section:
    """What somebody wrote in the document, last. Earlier text stays in the journal."""

    text: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Correction:
    """What somebody added to a section after the incident was closed. What stood there stays."""

    section: str
    text: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident. ``severity`` is None until triage; ``sections`` by the runbook's names, lower case.

    ``key_events`` are the seqs of journal entries that somebody picked into the document, ``left_out`` those
    that somebody took out of it.
    """

    id: int
    title: str
    state: State
    severity: str | None
    service: str | None
    env: str | None
    region: str | None
    scope: str
    impact: str
    status: Status
    eta: str
    public: bool
    components: tuple[str, ...]
    commander: str | None
    communications: str | None
    scribe: str | None
    detected_at: datetime
    opened_at: datetime
    opened_by: str
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    triaged_at: datetime | None
    mitigated_at: datetime | None
    resolved_at: datetime | None
    resolved_by: str | None
    closed_at: datetime | None
    closed_by: str | None
    merged_into: int | None
    sections: Mapping[str, Section]
    corrections: tuple[Correction, ...]
    key_events: tuple[int, ...]
    left_out: tuple[int, ...]
    revision: int

    @property
    def live(self) -> bool:
        """Whether it is neither resolved nor closed nor part of another one."""
        return self.state in LIVE

    @property
    def subject(self) -> str:
        """The journal's name for it: ``incident:12``."""
        return f"incident:{self.id}"

    def role(self, role: Role) -> str | None:
        """Who has that role."""
        who: str | None = getattr(self, role.value)
        return who


@dataclass(frozen=True, slots=True)
class JoinedAlert:
    """One episode of an alert that belongs to an incident. ``because``: why it does.

    ``ended``: why it resolved, for people; ``at_baseline`` whether its signal was measured well then.
    """

    incident_id: int
    fingerprint: str
    episode: str
    alertname: str
    severity: str
    summary: str
    labels: Mapping[str, str]
    clause: str | None
    active_at: datetime | None
    fired_at: datetime | None
    joined_at: datetime
    resolved_at: datetime | None
    because: str
    ended: str = ""
    at_baseline: bool = False
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    """Of the alert as it fires now; None for one that has resolved."""


@dataclass(frozen=True, slots=True)
class Told:
    """One message that was put in the outbox. ``whom``: a stakeholder's id, or empty for the channel."""

    audience: str
    whom: str
    receiver: str
    to: str | None
    outbox_id: int


@dataclass(frozen=True, slots=True)
class Update:
    """What was said of an incident at a moment. ``said``: the words, by audience."""

    id: int
    incident_id: int
    at: datetime
    by: str
    status: Status
    severity: str | None
    impact: str
    eta: str
    note: str
    next_update_at: datetime | None
    said: Mapping[str, str]
    told: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Something to do after an incident."""

    id: int
    incident_id: int
    title: str
    owner: str | None
    due_on: datetime | None
    url: str | None
    created_at: datetime
    created_by: str
    done_at: datetime | None
    done_by: str | None


@dataclass(frozen=True, slots=True)
class Rating:
    """Whether it was worth being woken for one episode of an alert."""

    fingerprint: str
    episode: str
    alertname: str
    service: str | None
    useful: bool
    note: str
    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class Countdown:
    """A clock of an incident: a deadline that runs, or what became of it.

    ``state`` is running, met, missed, waived or void. ``deadline_id`` is None for the acknowledgement, which
    the escalation judges; it cannot be waived by hand.
    """

    clause: str
    title: str
    state: str
    starts_at: datetime
    warn_at: datetime
    due_at: datetime
    deadline_id: int | None = None
    settled_at: datetime | None = None
    settled_by: str | None = None
    reason: str = ""

    @property
    def running(self) -> bool:
        """Whether it still counts down."""
        return self.state == "running"


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that is missing. ``what`` is short (``root cause``), ``how`` says how to fill it."""

    what: str
    how: str


@dataclass(frozen=True, slots=True)
class NextAction:
    """The one thing to do next, why, and until when; ``blocked``: why it cannot be done yet."""

    action: Action
    because: str
    due_at: datetime | None = None
    blocked: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one message: ``state`` is pending, delivered, dead or superseded; ``unknown`` once the
    outbox has forgotten it."""

    update_id: int
    audience: str
    whom: str
    receiver: str
    to: str | None
    state: str
    settled_at: datetime | None
    attempts: int
    error: str | None


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One line of the timeline. ``key``: it stands in the document. ``who``: the actor's name alone."""

    seq: int
    at: datetime
    kind: str
    actor: str
    who: str
    by_person: bool
    subject: str
    summary: str
    key: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One way of telling somebody. ``whom``: a stakeholder's id, or empty for the channel."""

    whom: str
    receiver: str
    to: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What one audience is told by an update, and where. ``unreachable``: whom no way leads to."""

    audience: str
    title: str
    text: str
    recipients: tuple[Recipient, ...]
    unreachable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of one incident: what its page shows."""

    incident: Incident
    stage: Stage
    next: NextAction | None
    clock: Countdown | None
    """The one that runs out next."""
    clocks: tuple[Countdown, ...]
    alerts: tuple[JoinedAlert, ...]
    updates: tuple[Update, ...]
    """Newest first."""
    receipts: tuple[Receipt, ...]
    follow_ups: tuple[FollowUp, ...]
    ratings: tuple[Rating, ...]
    resolve_gaps: tuple[Gap, ...]
    close_gaps: tuple[Gap, ...]
    allowed: frozenset[Action] = field(default_factory=frozenset)
    """What may be done now. Resolving at baseline only, or with a reason."""
    merged_from: tuple[int, ...] = ()
