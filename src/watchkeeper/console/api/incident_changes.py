"""``/api/incidents``, acting: everything that people can do on an incident's page, for programs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, HTTPException
from pydantic import Field
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from watchkeeper.access.models import Identity
from watchkeeper.app.responding import acknowledge_alerts
from watchkeeper.console import incidents
from watchkeeper.console.api.incidents import FollowUp, Incident, Rating, Update
from watchkeeper.console.api.problems import CHANGES, Answer, Asked, refusing
from watchkeeper.console.api.values import (
    Chapter,
    IdInPath,
    Moment,
    NameInPath,
    Note,
    Paragraph,
    Sentence,
    Title,
    Word,
)
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Responder
from watchkeeper.console.parameters import LARGEST_ID
from watchkeeper.incidents import models, records, service
from watchkeeper.incidents.models import Author, IncidentError, Role
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store.canonical import storable
from watchkeeper.store.deadlines import DeadlineError

Number = Annotated[int, Field(ge=1, le=LARGEST_ID)]
Status = Literal["investigating", "identified", "monitoring", "resolved"]
Found = TypeVar("Found")


class Change(Asked):
    """``revision``: the incident as you saw it; a change that somebody made after it is then a conflict."""

    revision: Number | None = None


class Noted(Change):
    """A change with a word about it."""

    note: Note = ""


class NewIncident(Asked):
    """An incident that no alert tells of."""

    title: Title
    severity: Word | None = Field(None, description="Of the runbook, such as `SEV-2`.")
    service: Word | None = Field(None, description="Alerts of the same service join it.")
    env: Word | None = None
    region: Word | None = None
    impact: Paragraph = ""
    scope: Sentence = ""


class Description(Noted):
    """What is to be different; what is left out or null stays as it is, an empty role is nobody's."""

    title: Word | None = None
    severity: Word | None = None
    scope: Sentence | None = None
    impact: Paragraph | None = None
    commander: Word | None = None
    communications: Word | None = None
    scribe: Word | None = None
    public: bool | None = Field(None, description="Whether the status page shows it.")
    components: list[Word] | None = Field(None, max_length=50)


class WantedUpdate(Change):
    """How it stands."""

    status: Status
    impact: Paragraph = ""
    eta: Word = ""
    note: Paragraph = Field("", description="For engineers only.")
    next_update_at: Moment | None = Field(None, description="As the runbook says, where it is not given.")


class PostedUpdate(WantedUpdate):
    """An update that is sent. Without ``to`` every audience is told."""

    to: list[Word] | None = Field(None, max_length=50, description="Only these audiences.")
    said: dict[Word, Paragraph] | None = Field(
        None, max_length=50, description="Other words for an audience."
    )


class Way(Answer):
    """Where something is sent."""

    whom: str
    receiver: str


class Message(Answer):
    """What one audience would be told."""

    audience: str
    title: str
    text: str
    recipients: list[Way]
    unreachable: list[str] = Field(description="Whom no way leads to.")


class Messages(Answer):
    """What each audience would be told."""

    messages: list[Message]


class Resolution(Noted):
    """It is over. ``override``: why, although its signals are not at their baseline; only from a person."""

    override: Sentence | None = None


class Reason(Change):
    """Why."""

    reason: Sentence


class Merge(Change):
    """The incident that it is a part of."""

    into: Number


class AlertLife(Asked):
    """One life of an alert."""

    fingerprint: Word
    episode: Word


class Split(Change):
    """Alerts that become an incident of their own."""

    title: Title
    alerts: list[AlertLife] = Field(min_length=1, max_length=200)


class KeyEvent(Asked):
    """An entry of the journal, and whether it stands in the document."""

    seq: Number
    key: bool = True


class Text(Change):
    """A section's text."""

    text: Chapter = Field(description="Markdown.")


class NewFollowUp(Asked):
    """Something to do after the incident."""

    title: Title
    owner: Word | None = None
    due: date | None = None
    url: Word | None = None


class ChangedFollowUp(Asked):
    """What is to be different of a follow-up."""

    title: Word | None = None
    owner: Word | None = None
    due: date | None = None
    url: Word | None = None
    done: Literal[True] | None = None


class Usefulness(AlertLife):
    """Whether one life of an alert was worth waking somebody for."""

    useful: bool
    note: Note = ""


class Waived(Answer):
    """A deadline that need not be kept."""

    id: int
    clause: str
    state: str
    due_at: datetime
    reason: str


class Why(Asked):
    """Why a deadline need not be kept."""

    reason: Sentence = Field(min_length=1)


def _end_of(day: date | None) -> datetime | None:
    """The end of a day that something is due on, UTC."""
    if day is None:
        return None
    if not 2000 <= day.year < 2200:
        raise HTTPException(400, "due: outside the years 2000 to 2199")
    return datetime.combine(day, time(23, 59), UTC)


def change(
    conn: Connection, now: datetime, runbook: Runbook, number: int, by: Author, asked: Description
) -> models.Incident:
    """Everything that ``asked`` wants to be different, in one transaction of the caller's."""
    found = records.load(conn, number, lock=True)
    records.check_revision(conn, found, asked.revision)
    if asked.severity is not None:
        service.set_severity(conn, now, runbook, number, by, asked.severity, note=asked.note.strip())
    for role in Role:
        person = getattr(asked, role.value)
        if person is not None:
            service.assign(conn, now, runbook, number, by, role, person or None)
    return service.describe(
        conn,
        now,
        runbook,
        number,
        by,
        title=asked.title,
        scope=asked.scope,
        impact=asked.impact,
        public=asked.public,
        components=asked.components,
    )


def router(console: Console) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/api/incidents", tags=["incidents"])

    async def work(identity: Identity, do: Callable[[Connection, datetime, Runbook, Author], Found]) -> Found:
        def write() -> Found:
            runbook = console.policy().runbook
            with refusing(), console.store.write() as conn:
                return do(conn, console.clock.now(), runbook, incidents.author(identity))

        found = await run_in_threadpool(write)
        console.pictures.outdated()
        return found

    @routes.post("", operation_id="openIncident", responses=CHANGES, status_code=201)
    async def open_one(identity: Responder, asked: NewIncident) -> Incident:
        """Open an incident that no alert tells of; you have it, and lead it."""
        made = await work(
            identity,
            lambda conn, now, runbook, by: service.open_by_hand(conn, now, runbook, by, **asked.model_dump()),
        )
        return Incident.model_validate(made)

    @routes.patch("/{number}", operation_id="changeIncident", responses=CHANGES)
    async def changed(identity: Responder, number: IdInPath, asked: Description) -> Incident:
        """Severity, roles, title, scope, impact, and whether the status page shows it."""
        done = await work(
            identity, lambda conn, now, runbook, by: change(conn, now, runbook, number, by, asked)
        )
        return Incident.model_validate(done)

    @routes.post("/{number}/acknowledge", operation_id="acknowledgeIncident", responses=CHANGES)
    async def acknowledge(identity: Responder, number: IdInPath, asked: Noted) -> Incident:
        """Take it and its firing alerts; whoever does leads it, where nobody does yet."""
        done = await work(
            identity,
            lambda conn, now, runbook, by: service.acknowledge(
                conn, now, runbook, number, by, acknowledge_alerts, asked.note.strip()
            ),
        )
        return Incident.model_validate(done)

    def read_preview(number: int, asked: WantedUpdate) -> Messages:
        runbook, now = console.policy().runbook, console.clock.now()
        with refusing(), console.store.read() as conn:
            incident = records.load(conn, number)
            made = service.preview(runbook, incident, now, **_said(asked))
        return Messages.model_validate({"messages": list(made)}, from_attributes=True)

    @routes.post("/{number}/updates/preview", operation_id="previewUpdate", responses=CHANGES)
    async def preview(identity: Responder, number: IdInPath, asked: WantedUpdate) -> Messages:
        """What each audience would be told. Nothing is changed."""
        return await run_in_threadpool(read_preview, number, asked)

    @routes.post("/{number}/updates", operation_id="postUpdate", responses=CHANGES, status_code=201)
    async def update(identity: Responder, number: IdInPath, asked: PostedUpdate) -> Update:
        """Say how it stands; every audience is told in its words."""
        done = await work(
            identity,
            lambda conn, now, runbook, by: service.post_update(
                conn, now, runbook, number, by,
                **_said(asked), to=asked.to, said=asked.said, revision=asked.revision,
            ),
        )  # fmt: skip
        return Update.model_validate(done)

    @routes.post("/{number}/mitigate", operation_id="mitigateIncident", responses=CHANGES)
    async def mitigate(identity: Responder, number: IdInPath, asked: Noted) -> Incident:
        """Customers feel nothing any more, though the cause may be there."""
        done = await work(
            identity,
            lambda conn, now, runbook, by: service.mitigate(
                conn, now, runbook, number, by, asked.note.strip(), revision=asked.revision
            ),
        )
        return Incident.model_validate(done)

    @routes.post("/{number}/resolve", operation_id="resolveIncident", responses=CHANGES)
    async def resolve(identity: Responder, number: IdInPath, asked: Resolution) -> Incident:
        """It is over: refused while its signals are not at their baseline."""
        done = await work(
            identity,
            lambda conn, now, runbook, by: service.resolve(
                conn, now, runbook, number, by,
                override=asked.override, note=asked.note.strip(), revision=asked.revision,
            ),
        )  # fmt: skip
        return Incident.model_validate(done)

    @routes.post("/{number}/close", operation_id="closeIncident", responses=CHANGES)
    async def close(identity: Responder, number: IdInPath, asked: Change) -> Incident:
        """The document is complete: refused while something is missing in it."""
        done = await work(
            identity,
            lambda conn, now, runbook, by: service.close(
                conn, now, runbook, number, by, revision=asked.revision
            ),
        )
        return Incident.model_validate(done)

    @routes.post("/{number}/reopen", operation_id="reopenIncident", responses=CHANGES)
    async def reopen(identity: Responder, number: IdInPath, asked: Reason) -> Incident:
        """It was not over."""
        done = await work(
            identity,
            lambda conn, now, runbook, by: service.reopen(
                conn, now, runbook, number, by, asked.reason, revision=asked.revision
            ),
        )
        return Incident.model_validate(done)

    @routes.post("/{number}/merge", operation_id="mergeIncident", responses=CHANGES)
    async def merge(identity: Responder, number: IdInPath, asked: Merge) -> Incident:
        """It is part of another incident, which is answered with."""
        done = await work(
            identity,
            lambda conn, now, runbook, by: service.merge(
                conn, now, runbook, number, by, asked.into, revision=asked.revision
            ),
        )
        return Incident.model_validate(done)

    @routes.post("/{number}/split", operation_id="splitIncident", responses=CHANGES, status_code=201)
    async def split(identity: Responder, number: IdInPath, asked: Split) -> Incident:
        """Some of its alerts become an incident of their own, which is answered with."""
        pairs = [(one.fingerprint, one.episode) for one in asked.alerts]
        done = await work(
            identity,
            lambda conn, now, runbook, by: service.split(
                conn, now, runbook, number, by, pairs, asked.title, revision=asked.revision
            ),
        )
        return Incident.model_validate(done)

    @routes.put("/{number}/key-events", operation_id="pickKeyEvent", responses=CHANGES)
    async def pick(identity: Responder, number: IdInPath, asked: KeyEvent) -> Incident:
        """An entry of the journal stands in the document, or does not."""
        how = service.pick_event if asked.key else service.unpick_event
        done = await work(
            identity, lambda conn, now, runbook, by: how(conn, now, runbook, number, by, asked.seq)
        )
        return Incident.model_validate(done)

    @routes.put("/{number}/sections/{name}", operation_id="writeSection", responses=CHANGES)
    async def write(identity: Responder, number: IdInPath, name: NameInPath, asked: Text) -> Incident:
        """Write a section of the document; what stood there stays in the journal."""
        done = await work(
            identity,
            lambda conn, now, runbook, by: service.write_section(
                conn, now, runbook, number, by, storable(name), asked.text, revision=asked.revision
            ),
        )
        return Incident.model_validate(done)

    @routes.post("/{number}/follow-ups", operation_id="addFollowUp", responses=CHANGES, status_code=201)
    async def add(identity: Responder, number: IdInPath, asked: NewFollowUp) -> FollowUp:
        """Something is to be done after the incident."""
        due = _end_of(asked.due)
        done = await work(
            identity,
            lambda conn, now, runbook, by: service.add_follow_up(
                conn, now, runbook, number, by, asked.title, owner=asked.owner, due_on=due, url=asked.url
            ),
        )
        return FollowUp.model_validate(done)

    @routes.patch("/{number}/follow-ups/{follow_up}", operation_id="changeFollowUp", responses=CHANGES)
    async def follow(
        identity: Responder, number: IdInPath, follow_up: IdInPath, asked: ChangedFollowUp
    ) -> FollowUp:
        """Change a follow-up, or say that it is done."""
        due = _end_of(asked.due)

        def do(conn: Connection, now: datetime, runbook: Runbook, by: Author) -> models.FollowUp:
            records.load(conn, number)
            if all(one.id != follow_up for one in records.follow_ups_of(conn, number)):
                raise HTTPException(404, f"incident {number} has no follow-up {follow_up}")
            found = service.edit_follow_up(
                conn, now, runbook, follow_up, by,
                title=asked.title, owner=asked.owner, due_on=due, url=asked.url,
            )  # fmt: skip
            return service.complete_follow_up(conn, now, runbook, follow_up, by) if asked.done else found

        return FollowUp.model_validate(await work(identity, do))

    @routes.put("/{number}/ratings", operation_id="rateAlert", responses=CHANGES)
    async def rate(identity: Responder, number: IdInPath, asked: Usefulness) -> Rating:
        """Whether an alert was worth waking somebody for; the figures count it."""
        done = await work(
            identity,
            lambda conn, now, runbook, by: service.rate_alert(
                conn, now, runbook, number, by, asked.fingerprint, asked.episode,
                useful=asked.useful, note=asked.note,
            ),
        )  # fmt: skip
        return Rating.model_validate(done)

    @routes.post("/{number}/deadlines/{deadline}/waive", operation_id="waiveDeadline", responses=CHANGES)
    async def waive(identity: Responder, number: IdInPath, deadline: IdInPath, asked: Why) -> Waived:
        """A person lets a deadline go; the verdict is *waived*, with the name and the reason."""

        def do(conn: Connection, now: datetime, runbook: Runbook, by: Author) -> Waived:
            try:
                done = service.waive_deadline(conn, now, runbook, number, by, deadline, asked.reason)
            except DeadlineError as error:
                raise IncidentError(str(error)) from None
            return Waived.model_validate(done)

        return await work(identity, do)

    return routes


def _said(asked: WantedUpdate) -> dict[str, Any]:
    """An update as :mod:`watchkeeper.incidents.service` takes it."""
    return {
        "status": models.Status(asked.status),
        "impact": asked.impact,
        "eta": asked.eta,
        "note": asked.note,
        "next_update_at": asked.next_update_at,
    }
