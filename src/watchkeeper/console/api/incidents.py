"""``/api/incidents``, reading: the list, one with all that is known of it, its timeline and its document."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from watchkeeper.console import incidents
from watchkeeper.console.api.problems import Answer, problems, refusing
from watchkeeper.console.api.values import IdInPath
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader
from watchkeeper.console.parameters import LARGEST_ID
from watchkeeper.incidents import reading
from watchkeeper.incidents.document import document
from watchkeeper.incidents.models import LIVE, State
from watchkeeper.incidents.policy import section

PAGE = 100
LOOKED_THROUGH = 2000


class Section(Answer):
    """A section of the document."""

    text: str = Field(description="Markdown.")
    by: str
    at: datetime


class Incident(Answer):
    """An incident."""

    id: int
    title: str
    state: Literal["open", "mitigated", "resolved", "closed", "merged"]
    severity: str | None = Field(description="Null until somebody says how bad it is.")
    service: str | None
    env: str | None
    region: str | None
    scope: str
    impact: str = Field(description="What customers feel.")
    status: Literal["investigating", "identified", "monitoring", "resolved"]
    eta: str
    public: bool
    components: list[str]
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
    sections: dict[str, Section]
    key_events: list[int]
    revision: int = Field(description="Send it with a change: who changed it meanwhile is not overwritten.")


class Incidents(Answer):
    """Incidents, the newest first."""

    incidents: list[Incident]
    next_before: int | None = Field(description="Send it as `before` for those that are older.")


class Clock(Answer):
    """A deadline of the runbook, running or with its verdict."""

    clause: str
    title: str
    state: str
    starts_at: datetime
    warn_at: datetime = Field(description="80 % of its time is gone.")
    due_at: datetime
    deadline_id: int | None
    settled_at: datetime | None
    settled_by: str | None
    reason: str


class Gap(Answer):
    """Something that is missing."""

    what: str
    how: str


class NextAction(Answer):
    """The one thing to do next."""

    action: str
    because: str
    due_at: datetime | None
    blocked: list[Gap]


class JoinedAlert(Answer):
    """One life of an alert that belongs to the incident."""

    fingerprint: str
    episode: str
    alertname: str
    severity: str
    summary: str
    labels: dict[str, str]
    clause: str | None
    fired_at: datetime | None
    joined_at: datetime
    resolved_at: datetime | None
    because: str
    at_baseline: bool


class Update(Answer):
    """What was said at a moment."""

    id: int
    at: datetime
    by: str
    status: str
    severity: str | None
    impact: str
    eta: str
    note: str
    next_update_at: datetime | None
    said: dict[str, str] = Field(description="The words that each audience was told.")


class Receipt(Answer):
    """What became of one message of an update."""

    update_id: int
    audience: str
    whom: str
    receiver: str
    state: str
    settled_at: datetime | None
    attempts: int
    error: str | None


class FollowUp(Answer):
    """Something to do after the incident."""

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


class Rating(Answer):
    """Whether an alert was worth waking somebody for."""

    fingerprint: str
    episode: str
    alertname: str
    useful: bool
    note: str
    at: datetime
    by: str


class Change(Answer):
    """Something that was changed near the begin of the incident."""

    at: datetime
    kind: str
    title: str
    by: str
    url: str
    seq: int | None


class Story(Answer):
    """All that is known of an incident but its timeline."""

    incident: Incident
    stage: str
    next: NextAction | None
    clock: Clock | None = Field(description="The one that runs out next.")
    clocks: list[Clock]
    alerts: list[JoinedAlert]
    updates: list[Update]
    receipts: list[Receipt]
    follow_ups: list[FollowUp]
    ratings: list[Rating]
    resolve_gaps: list[Gap] = Field(description="Why it cannot be resolved yet.")
    close_gaps: list[Gap] = Field(description="Why it cannot be closed yet.")
    merged_from: list[int]
    changes: list[Change] = Field(description="From 24 hours before it began, the nearest first.")


class TimelineEntry(Answer):
    """One line of the timeline."""

    seq: int
    at: datetime
    kind: str
    actor: str
    by_person: bool
    subject: str
    summary: str
    note: str
    key: bool = Field(description="It stands in the document.")


class Timeline(Answer):
    """Everything that happened, oldest first."""

    entries: list[TimelineEntry]


class Step(Answer):
    """One step of a run, or the undo of one."""

    id: str
    kind: str
    words: str
    state: str
    current: bool
    begun_at: datetime | None
    ended_at: datetime | None
    due_at: datetime | None
    summary: str
    error: str | None
    note: str
    outputs: dict[str, Any]
    question: str
    verdicts: list[str] = Field(description="What may be answered now; empty while nothing is asked.")
    role: str
    four_eyes: bool
    confirmed_by: list[str]
    undo: bool


class Run(Answer):
    """One execution of a playbook."""

    id: str
    playbook: str
    title: str
    subject: str | None
    inputs: dict[str, Any]
    state: str
    problem: str | None
    started_at: datetime
    started_by: str
    ended_at: datetime | None
    steps: list[Step]
    undos: list[Step]


class Runs(Answer):
    """The newest runs for an incident, the newest first."""

    runs: list[Run]


class Question(BaseModel):
    """Which incidents. What is empty is not asked."""

    state: Literal["", "live", "open", "mitigated", "resolved", "closed", "merged"] = ""
    severity: str = Field("", max_length=100)
    service: str = Field("", max_length=300, description="Stands in the service's name.")
    before: int | None = Field(None, ge=1, le=LARGEST_ID, description="Older than this number.")

    def fits(self, one: Any) -> bool:
        """Whether that incident is asked for."""
        return (not self.severity or one.severity == self.severity) and (
            self.service.strip().lower() in (one.service or "").lower()
        )

    @property
    def states(self) -> tuple[State, ...] | None:
        """The states that are asked for; None: any."""
        if not self.state:
            return None
        return LIVE if self.state == "live" else (State(self.state),)


def router(console: Console) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/api/incidents", tags=["incidents"])

    def read(question: Question) -> Incidents:
        found: list[Incident] = []
        before, looked, more = question.before, 0, True
        with console.store.read() as conn:
            while more and len(found) < PAGE and looked < LOOKED_THROUGH:
                batch = reading.listed(conn, states=question.states, before=before, limit=PAGE)
                looked, more = looked + len(batch), len(batch) == PAGE
                for one in batch:
                    if len(found) == PAGE:
                        more = True
                        break
                    before = one.id
                    found += [Incident.model_validate(one)] if question.fits(one) else []
        return Incidents(incidents=found, next_before=before if more else None)

    @routes.get("", operation_id="listIncidents", responses=problems())
    async def listed(identity: Reader, question: Annotated[Question, Query()]) -> Incidents:
        """Incidents, newest first, up to 100 at a time."""
        return await run_in_threadpool(read, question)

    def read_one(number: int) -> Story:
        runbook, now = console.policy().runbook, console.clock.now()
        with refusing(404), console.store.read() as conn:
            story = incidents.story_of(conn, now, runbook, number)
            changes = incidents.changes(conn, now, story.incident)
        given = {name: getattr(story, name) for name in Story.model_fields if name != "changes"}
        return Story.model_validate({**given, "changes": changes}, from_attributes=True)

    @routes.get("/{number}", operation_id="getIncident", responses=problems(404))
    async def one(identity: Reader, number: IdInPath) -> Story:
        """One incident: what is next, its clocks, alerts, updates, follow-ups, and what is missing."""
        return await run_in_threadpool(read_one, number)

    def read_timeline(number: int) -> Timeline:
        with refusing(404), console.store.read() as conn:
            return Timeline.model_validate(
                {"entries": list(reading.timeline_of(conn, number))}, from_attributes=True
            )

    @routes.get("/{number}/timeline", operation_id="getIncidentTimeline", responses=problems(404))
    async def timeline(identity: Reader, number: IdInPath) -> Timeline:
        """What happened, oldest first: the journal's entries about it, its alerts, runs and follow-ups."""
        return await run_in_threadpool(read_timeline, number)

    def read_runs(number: int) -> Runs:
        with refusing(404), console.store.read() as conn:
            found = incidents.runs_of(conn, reading.one(conn, number))
        return Runs.model_validate({"runs": list(found)}, from_attributes=True)

    @routes.get("/{number}/runs", operation_id="listIncidentRuns", responses=problems(404))
    async def listed_runs(identity: Reader, number: IdInPath) -> Runs:
        """The newest runs of playbooks for it: their steps, what they printed, what they ask."""
        return await run_in_threadpool(read_runs, number)

    def read_document(number: int) -> str:
        runbook, now = console.policy().runbook, console.clock.now()
        with refusing(404), console.store.read() as conn:
            story = reading.story(conn, now, runbook, number)
            return document(story, reading.timeline_of(conn, number), section(runbook))

    @routes.get(
        "/{number}/document.md",
        operation_id="getIncidentDocument",
        response_class=Response,
        responses={
            **problems(404),
            200: {"description": "Markdown.", "content": {"text/markdown": {"schema": {"type": "string"}}}},
        },
    )
    async def as_document(identity: Reader, number: IdInPath) -> Response:
        """The document, as Markdown."""
        text = await run_in_threadpool(read_document, number)
        return Response(text, media_type="text/markdown; charset=utf-8")

    return routes
