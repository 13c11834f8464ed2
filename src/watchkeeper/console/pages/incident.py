"""``/incidents/<number>``: what is broken for whom, the clock that runs out next, what to do; then all of it.

Always true: what is shown is one moment of the store; what somebody typed into a form that could not be taken
stands in it again (tests/console/test_incident.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from markupsafe import Markup, escape
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from watchkeeper.access.models import Identity
from watchkeeper.console import incident_words, incidents
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader
from watchkeeper.console.incidents import Look
from watchkeeper.console.pages.incident_actions import Refused, actions
from watchkeeper.console.people import RowNumber
from watchkeeper.console.picture import Picture
from watchkeeper.console.policy import NoPolicyError
from watchkeeper.console.prose import prose
from watchkeeper.console.rendering import seen_other
from watchkeeper.incidents import documenting
from watchkeeper.incidents.document import document
from watchkeeper.incidents.models import IncidentError, Status, TimelineEntry
from watchkeeper.incidents.policy import section

ENTRIES_SHOWN = 100
NEXT_IN = (("15", "in 15 min"), ("30", "in 30 min"), ("60", "in 1 h"), ("120", "in 2 h"), ("240", "in 4 h"))
Show = Literal["", "people", "key"]
Typed = Mapping[str, Mapping[str, str]]


class _Looks:
    """What everybody sees who looks at one incident while one picture stands: read once for all."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._picture: Picture | None = None
        self._known: dict[int, asyncio.Task[Look]] = {}

    async def at(self, picture: Picture, number: int) -> Look:
        """The incident of that number. Raises HTTPException where there is none."""
        if picture is not self._picture:
            self._picture, self._known = picture, {}
        if number not in self._known:
            self._known[number] = asyncio.create_task(run_in_threadpool(self._look, picture, number))
        return await asyncio.shield(self._known[number])

    def _look(self, picture: Picture, number: int) -> Look:
        if picture.policy is None:
            raise NoPolicyError("no runbook is in force yet; the role watch is still starting")
        try:
            with self._console.store.read() as conn:
                return incidents.look(conn, picture.at, picture.policy, number)
        except IncidentError as error:
            raise HTTPException(404, f"{error}. The list has those that there are: /incidents") from None


def router(console: Console) -> APIRouter:
    """``/incidents/{number}``, what can be done there, and its document."""
    routes = APIRouter(include_in_schema=False)
    looks = _Looks(console)

    async def show(
        request: Request,
        identity: Identity,
        number: int,
        *,
        view: Show = "",
        status: int = 200,
        typed: Typed | None = None,
        refused: Refused | None = None,
    ) -> Response:
        picture = await console.pictures.now()
        found = await looks.at(picture, number)
        return await console.page(
            request,
            identity,
            "incident.html",
            status=status,
            picture=picture,
            show=view,
            typed=typed or {},
            problem=refused.message if refused else "",
            gaps=refused.gaps if refused else (),
            back_to=refused.back_to if refused else "",
            preview=refused.preview if refused else (),
            preview_key=refused.preview_key if refused else "",
            made=refused.made if refused else {},
            **_context(picture, found, view),
        )

    @routes.get("/incidents/{number}")
    async def incident(
        request: Request,
        identity: Reader,
        number: RowNumber,
        show_: Annotated[Show, Query(alias="show")] = "",
    ) -> Response:
        return await show(request, identity, number, view=show_)

    @routes.get("/incidents/{number}/document")
    async def as_document(request: Request, identity: Reader, number: RowNumber) -> Response:
        picture = await console.pictures.now()
        found = await looks.at(picture, number)
        text = await run_in_threadpool(written, picture, found)
        return await console.page(
            request,
            identity,
            "incident_document.html",
            picture=picture,
            incident=found.story.incident,
            body=prose(text),
            gaps=found.story.close_gaps,
        )

    @routes.get("/incidents/{number}/document.md")
    async def as_markdown(identity: Reader, number: RowNumber) -> Response:
        picture = await console.pictures.now()
        found = await looks.at(picture, number)
        text = await run_in_threadpool(written, picture, found)
        name = f'attachment; filename="incident-{number}.md"'
        return Response(
            text, media_type="text/markdown; charset=utf-8", headers={"Content-Disposition": name}
        )

    @routes.get("/incidents/{number}/{_action}")
    async def back(identity: Reader, number: RowNumber, _action: str) -> Response:
        """Where a form was sent is no page of its own; whoever asks for it again sees the incident."""
        return seen_other(f"/incidents/{number}")

    routes.include_router(actions(console, show))
    return routes


def written(picture: Picture, found: Look) -> str:
    """The document of an incident, as Markdown."""
    assert picture.policy is not None  # the look was refused without
    return document(found.story, found.timeline, section(picture.policy.runbook))


def _context(picture: Picture, found: Look, view: Show) -> dict[str, Any]:
    assert picture.policy is not None
    runbook = picture.policy.runbook
    policy, story = section(runbook), found.story
    incident = story.incident
    names = {contact.id: contact.name for contact in runbook.contacts}
    receipts: dict[int, list[Any]] = {update.id: [] for update in story.updates}
    for receipt in story.receipts:
        receipts.setdefault(receipt.update_id, []).append(receipt)
    every = policy.deadlines.update
    wants = incident.severity in every.severities and incident.live
    return {
        "incident": incident,
        "story": story,
        "timeline": _chosen(found.timeline, view),
        "entries_shown": ENTRIES_SHOWN,
        "key_events": sum(1 for one in found.timeline if one.key),
        "changes": [
            {
                **{name: getattr(one, name) for name in one.__slots__},
                "before": incident_words.distance(one.at, incident.detected_at),
            }
            for one in found.changes
        ],
        "changes_hint": "Looked at: told changes (POST /api/changes), the runbook, maintenance, silences.",
        "other_incidents": found.others,
        "playbooks": found.playbooks,
        "runs": found.runs,
        "outputs": lambda step: sorted((str(name), value) for name, value in step.outputs.items()),
        "signals": incidents.signals(picture, story.alerts),
        "receipts": receipts,
        "ratings": {(one.fingerprint, one.episode): one for one in story.ratings},
        "tone": incident_words.tone(incident),
        "stages": incident_words.stages(story.stage, incident, bool(story.updates)),
        "action_words": incident_words.ACTIONS,
        "receipt_words": incident_words.RECEIPTS,
        "severities": policy.severities,
        "severity_definition": next(
            (s.definition for s in policy.severities if s.id == incident.severity), ""
        ),
        "statuses": [status.value for status in Status],
        "next_in": [
            ("", f"in {every.every.words}, as the runbook says" if wants else "when there is news"),
            *NEXT_IN,
        ],
        "sections": documenting.section_names(runbook),
        "people": sorted(names.items()),
        "stakeholders": ", ".join(who.title for who in policy.stakeholders),
        "person": lambda name: names.get(name, name) if name else "",
        "markdown": prose,
        "said": incident_words.said,
        "raw": lambda text: Markup(escape(text or "")),  # whole, however long: it is edited  # noqa: S704
    }


def _chosen(entries: Sequence[TimelineEntry], view: Show) -> list[TimelineEntry]:
    """The entries that are asked for, newest first."""
    if view == "people":
        return [one for one in reversed(entries) if one.by_person]
    if view == "key":
        return [one for one in reversed(entries) if one.key]
    return list(reversed(entries))
