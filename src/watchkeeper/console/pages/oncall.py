"""``/oncall``: who has the watch, who will have it, standing in, and the feed for calendar programs.

Always true: what is shown is what :mod:`watchkeeper.oncall` computes, overrides included, as of one moment;
the feed is the same bytes until something in it changes, and no secret is ever part of its address
(tests/console/test_oncall.py, test_oncall_feed.py).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request, Response
from sqlalchemy import func, select
from starlette.concurrency import run_in_threadpool

from watchkeeper.access.models import Identity
from watchkeeper.app import inforce
from watchkeeper.console import calendar
from watchkeeper.console.console import Console
from watchkeeper.console.gate import CalendarReader, Reader, Responder
from watchkeeper.console.people import FormError, RowNumber, moment, own_contact, sentence
from watchkeeper.console.picture import Picture
from watchkeeper.console.policy import NoPolicyError
from watchkeeper.console.rendering import seen_other
from watchkeeper.oncall import overrides
from watchkeeper.oncall.ical import feed
from watchkeeper.oncall.overrides import OnCallError, Stored, Wanted
from watchkeeper.oncall.report import name_of, reach, ways_of
from watchkeeper.oncall.rota import Override, Shift, shifts, whole_shifts
from watchkeeper.oncall.verification import Verified, verified
from watchkeeper.runbook.models.people import Rota
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store.clock import from_us
from watchkeeper.store.models import oncall_overrides

WEEKS = 6
FEED_BACK, FEED_AHEAD = timedelta(weeks=4), timedelta(weeks=26)
Field = Annotated[str, Form(max_length=2000)]


@dataclass(frozen=True, slots=True)
class Typed:
    """The form to stand in, as somebody filled it."""

    rota: str = ""
    contact: str = ""
    start: str = ""
    end: str = ""
    reason: str = ""


def ways(runbook: Runbook, contact_id: str | None) -> list[tuple[str, str, str]]:
    """How somebody is reached: what it is, as it is written, and the address for a link (or nothing)."""
    contact = runbook.contact(contact_id) if contact_id else None
    found: list[tuple[str, str, str]] = []
    for name, value in (reach(contact) if contact else {}).items():
        if isinstance(value, list):
            found.append((name, ", ".join(value), ""))
        elif name == "phone":
            dial = "".join(char for char in str(value) if char in "+0123456789")
            found.append((name, str(value), f"tel:{dial}" if dial else ""))
        elif name == "email" and "@" in str(value) and str(value).isprintable() and " " not in str(value):
            found.append((name, str(value), f"mailto:{value}"))
        else:
            found.append((name, str(value), ""))
    return found


def _proofs(runbook: Runbook, contact_id: str, proved: Verified) -> list[tuple[str, datetime | None]]:
    """The ways that page somebody, each with when a code came back through it last."""
    contact = runbook.contact(contact_id)
    return ways_of(contact, runbook, proved) if contact else []


def router(console: Console) -> APIRouter:
    """``/oncall``, ``/oncall/overrides`` and ``/oncall/{rota}.ics``."""
    routes = APIRouter(include_in_schema=False)

    def look(runbook: Runbook, rota: Rota, now: datetime) -> tuple[list[Stored], list[Shift], Verified]:
        first = calendar.first_day(now, rota.timezone)
        begin = calendar.midnight(first, rota.timezone)
        end = calendar.midnight(first + timedelta(weeks=WEEKS), rota.timezone)
        with console.store.read() as conn:
            made = overrides.upcoming(conn, now)
            standing = overrides.standing(conn, runbook, rota.id, begin.astimezone(UTC))
            proved = verified(conn)
        found = whole_shifts(rota, standing, begin, end)
        if any(shift.endless for shift in found):
            found = shifts(rota, standing, begin, end)  # a gap without end is shown as far as the page goes
        return made, found, proved

    async def show(
        request: Request,
        identity: Identity,
        wanted: str,
        typed: Typed,
        *,
        status: int = 200,
        problem: str = "",
    ) -> Response:
        picture = await console.pictures.now()
        context: dict[str, Any] = {"rota": None, "problem": problem, "typed": typed}
        runbook = picture.policy.runbook if picture.policy else None
        if runbook is not None and runbook.oncall.rotas:
            rota = _chosen(runbook, wanted)
            made, found, proved = await run_in_threadpool(look, runbook, rota, picture.at)
            first = calendar.first_day(picture.at, rota.timezone)
            context |= _context(picture, runbook, rota, made, found)
            context |= {
                "weeks": calendar.weeks(found, first, WEEKS, rota.timezone),
                "feed": f"{console.settings.url}/oncall/{rota.id}.ics",
                "me": own_contact(picture, identity),
                "proofs": lambda contact: _proofs(runbook, contact, proved),
            }
        return await console.page(request, identity, "oncall.html", status=status, picture=picture, **context)

    @routes.get("/oncall")
    async def page(request: Request, identity: Reader, rota: str = "") -> Response:
        return await show(request, identity, rota[:64], Typed())

    @routes.post("/oncall/overrides")
    async def stand_in(
        request: Request,
        identity: Responder,
        rota: Field = "",
        contact: Field = "",
        start: Field = "",
        end: Field = "",
        reason: Field = "",
    ) -> Response:
        typed = Typed(rota, contact, start, end, reason)
        picture = await console.pictures.now()
        try:
            if picture.policy is None:
                raise FormError("no runbook is in force yet; try again when the role watch has begun")
            runbook = picture.policy.runbook
            one = overrides.find_rota(runbook, rota or None)
            if not end.strip():
                raise FormError("say until when")
            begins = moment(start, one.timezone) if start.strip() else console.clock.now()
            wanted = Wanted(one.id, contact, begins, moment(end, one.timezone), reason.strip() or None)
            made = await run_in_threadpool(create, runbook, wanted, identity)
        except (OnCallError, FormError) as error:
            return await show(request, identity, rota, typed, status=400, problem=sentence(str(error)))
        console.pictures.outdated()
        name = getattr(runbook.contact(made.override.contact), "name", made.override.contact)
        return seen_other(f"/oncall?rota={one.id}", f"{name} stands in on {one.title}.")

    def create(runbook: Runbook, wanted: Wanted, identity: Identity) -> Stored:
        with console.store.write() as conn:
            return overrides.create(conn, console.clock.now(), runbook, wanted, identity.actor)

    @routes.post("/oncall/overrides/{number}/cancel")
    async def take_back(number: RowNumber, identity: Responder) -> Response:
        try:
            gone = await run_in_threadpool(cancel, number, identity)
        except OnCallError as error:
            return seen_other("/oncall", sentence(str(error)))
        console.pictures.outdated()
        return seen_other(f"/oncall?rota={gone.rota}", f"Override {gone.id} is cancelled.")

    def cancel(number: int, identity: Identity) -> Stored:
        with console.store.write() as conn:
            return overrides.cancel(conn, console.clock.now(), number, identity.actor)

    @routes.get("/oncall/{rota}.ics")
    async def subscribe(request: Request, rota: str, identity: CalendarReader) -> Response:
        try:
            runbook = (await run_in_threadpool(console.policy)).runbook
        except NoPolicyError as error:
            raise HTTPException(503, str(error)) from None
        wanted = runbook.oncall.rota(rota)
        if wanted is None:
            raise HTTPException(404, f"there is no rota {rota[:64]!r}")
        body, changed = await run_in_threadpool(make_feed, runbook, wanted)
        headers = {
            "ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"',
            "Last-Modified": format_datetime(changed, usegmt=True),
            "Cache-Control": "private, no-cache",
            "Vary": "Authorization, Cookie",
        }
        if _has_it(request, headers["ETag"], changed):
            return Response(status_code=304, headers=headers)
        headers["Content-Disposition"] = f'inline; filename="{wanted.id}.ics"'
        return Response(body, media_type="text/calendar", headers=headers)

    def make_feed(runbook: Runbook, rota: Rota) -> tuple[bytes, datetime]:
        """The feed, and when it last changed: with the runbook, an override, or the day."""
        today = console.clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        table = oncall_overrides.c
        newest = select(func.max(table.created_at), func.max(table.cancelled_at)).where(table.rota == rota.id)
        with console.store.read() as conn:
            standing: list[Override] = overrides.standing(conn, runbook, rota.id, today - FEED_BACK)
            row = conn.execute(newest).one()
        changes = [one if isinstance(one, datetime) else from_us(one) for one in row if one is not None]
        try:
            loaded = (console.settings.data / inforce.FILE_NAME).stat().st_mtime
            changes.append(datetime.fromtimestamp(loaded, UTC))
        except OSError:
            pass
        changed = max([today, *(one for one in changes if one <= console.clock.now())]).replace(microsecond=0)
        return feed(runbook, rota, standing, changed, today - FEED_BACK, today + FEED_AHEAD), changed

    return routes


def _chosen(runbook: Runbook, wanted: str) -> Rota:
    """The rota asked for, else the default, else the first."""
    known = runbook.oncall.rota(wanted) or runbook.oncall.rota(runbook.oncall.default or "")
    return known or runbook.oncall.rotas[0]


def _context(
    picture: Picture, runbook: Runbook, rota: Rota, made: list[Stored], found: list[Shift]
) -> dict[str, Any]:
    zones = {one.id: one.timezone for one in runbook.oncall.rotas}
    here = {who for layer in rota.layers for who in layer.participants}
    return {
        "rota": rota,
        "shifts": [shift for shift in found if shift.end > picture.at],
        "overrides": made,
        "zone_of_rota": lambda name: zones.get(name, "UTC"),
        "title_of_rota": lambda name: getattr(runbook.oncall.rota(name), "title", name),
        "name": lambda shift: name_of(shift, runbook) if shift.contact else "nobody",
        "ways": lambda contact: ways(runbook, contact),
        "contacts": sorted(runbook.contacts, key=lambda one: (one.id not in here, one.name.casefold())),
    }


def _has_it(request: Request, etag: str, changed: datetime) -> bool:
    """Whether who asks has this very feed already (RFC 9110, 13.1: the tag goes before the time)."""
    known = request.headers.get("if-none-match")
    if known is not None:
        return known.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in known.split(",")]
    since = request.headers.get("if-modified-since")
    try:
        return since is not None and changed <= parsedate_to_datetime(since)
    except (ValueError, TypeError):
        return False
