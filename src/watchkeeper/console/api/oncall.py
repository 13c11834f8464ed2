"""``/api/oncall``: who has the watch, the schedule, and standing in for somebody."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from watchkeeper.access.models import Identity
from watchkeeper.console.api.problems import CHANGES, Answer, Asked, problems, refusing
from watchkeeper.console.api.values import IdInPath, Sentence, Word
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader, Responder
from watchkeeper.oncall import overrides as stored
from watchkeeper.oncall.ical import feed
from watchkeeper.oncall.overrides import Stored, Wanted, find_rota
from watchkeeper.oncall.report import shift_json, watch
from watchkeeper.oncall.rota import shifts, whole_shifts
from watchkeeper.oncall.verification import verified
from watchkeeper.oncall.wording import read_moment


class Way(Answer):
    """A way that pages somebody."""

    way: str
    verified_at: datetime | None = Field(description="When it was verified last; null: never.")


class Contact(Answer):
    """A person, and every way to reach them."""

    id: str
    name: str
    phone: str | None = None
    email: str | None = None
    slack: str | None = None
    receivers: list[str] = Field(default_factory=list)
    ways: list[Way] | None = Field(None, description="The ways that page them; not told in a schedule.")


class OfOverride(Answer):
    """The override that makes a shift."""

    id: int | None = Field(description="Null for one that stands in the runbook.")
    reason: str | None


class Shift(Answer):
    """Somebody's shift. Where an end is null there is none within two years."""

    contact: Contact | None = Field(description="Null: nobody is on call.")
    start: datetime | None
    end: datetime | None
    layer: str | None
    override: OfOverride | None


class Watch(Shift):
    """A rota now."""

    rota: str
    title: str
    timezone: str
    next: Shift = Field(description="Who takes over.")


class Watches(Answer):
    """Every rota now."""

    rotas: list[Watch]


class Schedule(Answer):
    """Shifts of a rota, in order and without gaps; where nobody is on call, a shift says so."""

    rota: str
    timezone: str
    shifts: list[Shift]


class Override(Answer):
    """Somebody instead of the rota."""

    id: int
    rota: str
    contact: str
    start: datetime
    end: datetime
    reason: str | None
    created_at: datetime
    created_by: str
    cancelled_at: datetime | None
    cancelled_by: str | None


class Overrides(Answer):
    """Overrides, oldest made first."""

    overrides: list[Override]


class WantedOverride(Asked):
    """Who stands in, and when. Times without an offset are on the rota's clocks."""

    contact: Word
    start: str | None = Field(None, max_length=40, description="Now, where it is not given.")
    end: str = Field(max_length=40, description="2026-11-27 18:00, or 2026-11-27T18:00+01:00.")
    rota: Word | None = Field(None, description="The runbook's default, where it is not given.")
    reason: Sentence | None = None


class Span(Asked):
    """Which part of which rota's schedule."""

    rota: str = Field("", max_length=300, description="The runbook's default, where it is not given.")
    start: str = Field("", max_length=40, alias="from", description="A time; now, where it is not given.")
    weeks: int = Field(4, ge=1, le=104)


def override_document(one: Stored) -> Override:
    """An override as the API shows it."""
    return Override(
        id=one.id,
        rota=one.rota,
        contact=one.override.contact,
        start=one.override.start,
        end=one.override.end,
        reason=one.override.reason,
        created_at=one.created_at,
        created_by=one.created_by,
        cancelled_at=one.cancelled_at,
        cancelled_by=one.cancelled_by,
    )


def router(console: Console) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/api/oncall", tags=["on call"])

    def read_now() -> Watches:
        book, now = console.policy().runbook, console.clock.now()
        with console.store.read() as conn:
            found = [
                watch(rota, stored.standing(conn, book, rota.id, now), now) for rota in book.oncall.rotas
            ]
            ways = verified(conn)
        return Watches(rotas=[Watch.model_validate(one.to_json(book, ways)) for one in found])

    @routes.get("/now", operation_id="getOnCall", responses=problems())
    async def now(identity: Reader) -> Watches:
        """Who is on call in each rota, until when, how they are reached, who is next."""
        return await run_in_threadpool(read_now)

    def read_schedule(span: Span, as_calendar: bool) -> Schedule | bytes:
        book, moment = console.policy().runbook, console.clock.now()
        with refusing():
            rota = find_rota(book, span.rota or None)
            begin = read_moment(span.start, rota.timezone) if span.start else moment
        end = begin + timedelta(weeks=span.weeks)
        with console.store.read() as conn:
            overrides = stored.standing(conn, book, rota.id, begin)
        if as_calendar:
            return feed(book, rota, overrides, moment, begin, end)
        found = whole_shifts(rota, overrides, begin, end)
        if any(shift.endless for shift in found):
            found = shifts(rota, overrides, begin, end)
        rows = [Shift.model_validate(shift_json(shift, book)) for shift in found]
        return Schedule(rota=rota.id, timezone=rota.timezone, shifts=rows)

    @routes.get("/schedule", operation_id="getSchedule", responses=problems())
    async def schedule(identity: Reader, span: Annotated[Span, Query()]) -> Schedule:
        """The shifts of a rota."""
        found = await run_in_threadpool(read_schedule, span, False)
        assert isinstance(found, Schedule)
        return found

    @routes.get(
        "/schedule.ics",
        operation_id="getCalendar",
        responses={
            **problems(),
            200: {"description": "RFC 5545.", "content": {"text/calendar": {"schema": {"type": "string"}}}},
        },
        response_class=Response,
    )
    async def calendar(identity: Reader, span: Annotated[Span, Query()]) -> Response:
        """The same as an iCalendar feed, without phone numbers and addresses."""
        found = await run_in_threadpool(read_schedule, span, True)
        assert isinstance(found, bytes)
        return Response(found, media_type="text/calendar")

    def read_overrides(rota: str) -> Overrides:
        with refusing():
            only = find_rota(console.policy().runbook, rota).id if rota else None
        with console.store.read() as conn:
            found = stored.upcoming(conn, console.clock.now(), only)
        return Overrides(overrides=[override_document(one) for one in found])

    @routes.get("/overrides", operation_id="listOverrides", responses=problems())
    async def overrides(
        identity: Reader, rota: Annotated[str, Query(max_length=300, description="Only of this rota.")] = ""
    ) -> Overrides:
        """The overrides that stand or will."""
        return await run_in_threadpool(read_overrides, rota)

    def make(identity: Identity, asked: WantedOverride) -> Override:
        book, moment = console.policy().runbook, console.clock.now()
        with refusing():
            rota = find_rota(book, asked.rota or None)
            begin = read_moment(asked.start, rota.timezone) if asked.start else moment
            wanted = Wanted(
                rota.id, asked.contact, begin, read_moment(asked.end, rota.timezone), asked.reason
            )
            with console.store.write() as conn:
                return override_document(stored.create(conn, moment, book, wanted, identity.actor))

    @routes.post("/overrides", operation_id="createOverride", responses=CHANGES, status_code=201)
    async def create(identity: Responder, asked: WantedOverride) -> Override:
        """Let somebody stand in for whoever has the watch."""
        made = await run_in_threadpool(make, identity, asked)
        console.pictures.outdated()
        return made

    def take_back(identity: Identity, number: int) -> Override:
        with refusing(409), console.store.write() as conn:
            if not stored.known(conn, number):
                raise HTTPException(
                    404, f"there is no override {number}; GET /api/oncall/overrides lists them"
                )
            return override_document(stored.cancel(conn, console.clock.now(), number, identity.actor))

    @routes.post("/overrides/{number}/cancel", operation_id="cancelOverride", responses=CHANGES)
    async def cancel(identity: Responder, number: IdInPath) -> Override:
        """End an override now; what is past of it stays as it was."""
        gone = await run_in_threadpool(take_back, identity, number)
        console.pictures.outdated()
        return gone

    return routes
