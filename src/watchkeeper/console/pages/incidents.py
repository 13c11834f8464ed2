"""``/incidents``: what is open, what was lately, and opening one by hand.

Always true: what is live stands first, the worst first, whatever page is asked for
(tests/console/test_incidents.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from watchkeeper.access.models import Identity
from watchkeeper.console import incidents
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader, Responder
from watchkeeper.console.people import FormError, sentence
from watchkeeper.console.picture import Picture
from watchkeeper.console.rendering import seen_other
from watchkeeper.incidents import reading, service
from watchkeeper.incidents.models import LIVE, Countdown, Incident, IncidentError, State
from watchkeeper.store.canonical import storable

PAGE_ROWS = 50
LOOKED_THROUGH = 2000
"""So many of the newest incidents are looked through for those that filters ask for."""
STATES = {
    "live": ("Open", LIVE),
    "resolved": ("Resolved", (State.RESOLVED,)),
    "closed": ("Closed", (State.CLOSED, State.MERGED)),
}
Text = Annotated[str, Query(max_length=300)]
Field = Annotated[str, Form(max_length=8000)]


@dataclass(frozen=True, slots=True)
class Filters:
    """What is looked for; what is empty is not asked."""

    state: str = ""
    severity: str = ""
    service: str = ""

    def takes(self, one: Incident) -> bool:
        """Whether that incident is looked for, whatever its state."""
        severity = one.severity or "none"
        return (not self.severity or severity == self.severity) and (
            not self.service or self.service.lower() in (one.service or "").lower()
        )

    def address(self, **changed: str | int) -> str:
        """The page with these filters, some of them ``changed``."""
        given = {"state": self.state, "severity": self.severity, "service": self.service, **changed}
        shown = {name: value for name, value in given.items() if value != ""}
        return f"/incidents?{urlencode(shown)}" if shown else "/incidents"


@dataclass(frozen=True, slots=True)
class Row:
    """One incident of the list, with the clock that runs out next."""

    incident: Incident
    clock: Countdown | None


@dataclass(frozen=True, slots=True)
class Typed:
    """The form for a new incident as somebody filled it."""

    title: str = ""
    severity: str = ""
    impact: str = ""
    scope: str = ""
    service: str = ""


def router(console: Console) -> APIRouter:
    """``/incidents``."""
    routes = APIRouter(include_in_schema=False)

    def read(
        picture: Picture, filters: Filters, before: int | None
    ) -> tuple[list[Row], list[Row], int | None]:
        with console.store.read() as conn:
            live = [one for one in reading.live(conn) if filters.takes(one)] if before is None else []
            clocks = _clocks(conn, picture, live)
            states = None if filters.state not in STATES else STATES[filters.state][1]
            past: list[Incident] = []
            more, looked = before, 0
            while filters.state != "live" and len(past) <= PAGE_ROWS and looked < LOOKED_THROUGH:
                batch = reading.listed(conn, states=states, before=more, limit=200)
                looked += len(batch)
                past += [one for one in batch if not one.live and filters.takes(one)]
                if len(batch) < 200:
                    break
                more = batch[-1].id
        going_on = past[PAGE_ROWS - 1].id if len(past) > PAGE_ROWS else None
        shown = live if filters.state in ("", "live") else []
        return (
            [Row(one, clocks.get(one.id)) for one in shown],
            [Row(one, None) for one in past[:PAGE_ROWS]],
            going_on,
        )

    async def listing(
        request: Request,
        identity: Identity,
        filters: Filters,
        before: int | None = None,
        *,
        status: int = 200,
        typed: Typed | None = None,
        problem: str = "",
    ) -> Response:
        picture = await console.pictures.now()
        live, past, going_on = await run_in_threadpool(read, picture, filters, before)
        policy = picture.policy.runbook.incidents if picture.policy else None
        return await console.page(
            request,
            identity,
            "incidents.html",
            status=status,
            picture=picture,
            filters=filters,
            tabs=[("", "All"), *((key, word) for key, (word, _) in STATES.items())],
            live=live,
            past=past,
            going_on=going_on,
            later=before is not None,
            severities=policy.severities if policy else (),
            typed=typed,
            problem=problem,
            **_words(picture),
        )

    @routes.get("/incidents")
    async def all_of_them(
        request: Request,
        identity: Reader,
        state: Text = "",
        severity: Text = "",
        service: Text = "",
        before: Annotated[int | None, Query(ge=1, le=2**62)] = None,
    ) -> Response:
        chosen = Filters(state if state in STATES else "", severity.strip(), service.strip())
        return await listing(request, identity, chosen, before)

    @routes.post("/incidents")
    async def open_one(
        request: Request,
        identity: Responder,
        title: Field = "",
        severity: Field = "",
        impact: Field = "",
        scope: Field = "",
        service: Field = "",
    ) -> Response:
        typed = Typed(
            *(storable(text.replace("\r\n", "\n")) for text in (title, severity, impact, scope, service))
        )
        try:
            made = await run_in_threadpool(make, identity, typed)
        except (IncidentError, FormError) as error:
            problem = sentence(str(error))
            return await listing(request, identity, Filters(), status=400, typed=typed, problem=problem)
        console.pictures.outdated()
        return seen_other(f"/incidents/{made.id}", f"Incident {made.id} is open, and you lead it.")

    def make(identity: Identity, typed: Typed) -> Incident:
        for name, longest in (("title", 300), ("impact", 4000), ("scope", 1000), ("service", 100)):
            if len(getattr(typed, name)) > longest:
                raise FormError(f"the {name} is longer than {longest:,} characters; nothing was opened")
        runbook = console.policy().runbook
        with console.store.write() as conn:
            return service.open_by_hand(
                conn,
                console.clock.now(),
                runbook,
                incidents.author(identity),
                " ".join(typed.title.split()),
                severity=typed.severity or None,
                service=typed.service.strip() or None,
                impact=typed.impact,
                scope=typed.scope,
            )

    return routes


def _clocks(conn: Any, picture: Picture, live: list[Incident]) -> dict[int, Countdown]:
    """The clock of each live incident that runs out next."""
    if picture.policy is None or picture.policy.runbook.incidents is None:
        return {}
    return {
        one.id: found
        for one in live[:PAGE_ROWS]
        if (found := incidents.next_clock(conn, picture.policy.runbook, one)) is not None
    }


def _words(picture: Picture) -> dict[str, Any]:
    names: dict[str, str] = {}
    if picture.policy:
        names = {contact.id: contact.name for contact in picture.policy.runbook.contacts}
    return {
        "person": lambda name: names.get(name, name) if name else "",
    }
