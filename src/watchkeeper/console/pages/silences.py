"""``/silences``: who asked not to hear of what, until when and why; making one, and seeing what it hides.

Always true: what a silence would hide is shown before it is made, by the very matching that will hide it; a
form that cannot be taken comes back with all that was typed (tests/console/test_silences.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from watchkeeper.access.models import Identity
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader, Responder
from watchkeeper.console.people import FormError, RowNumber, moment, sentence, zone_of
from watchkeeper.console.picture import Picture
from watchkeeper.console.rendering import seen_other
from watchkeeper.monitoring import alert_list, silences, silencing
from watchkeeper.monitoring.alert_list import Listed
from watchkeeper.monitoring.maintenance import Opening, next_opening, opening_at
from watchkeeper.monitoring.promql.ast import Matcher
from watchkeeper.monitoring.silences import Silence, SilenceError, Wanted
from watchkeeper.runbook.models.maintenance import MaintenanceWindow
from watchkeeper.runbook.models.monitoring import Silencing

LENGTHS = {
    "30m": ("30 minutes", timedelta(minutes=30)),
    "1h": ("1 hour", timedelta(hours=1)),
    "2h": ("2 hours", timedelta(hours=2)),
    "8h": ("8 hours", timedelta(hours=8)),
}
UNTIL = "until"
MOST_MATCHERS = 50
SHOWN = 100
"""So many alerts of a preview are listed; the others are counted."""
Field = Annotated[str, Form(max_length=8000)]


@dataclass(frozen=True, slots=True)
class Typed:
    """The form as somebody filled it."""

    matchers: str = ""
    length: str = "2h"
    until: str = ""
    start: str = ""
    owner: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a silence would hide now: ``hidden`` of ``all_of`` alerts that are pending or firing."""

    hidden: tuple[Listed, ...]
    all_of: int


def read_matchers(text: str) -> tuple[Matcher, ...]:
    """One matcher a line. Raises :class:`SilenceError`."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise SilenceError("a silence needs at least one matcher, such as service=api")
    if len(lines) > MOST_MATCHERS:
        raise SilenceError(f"a silence has at most {MOST_MATCHERS} matchers, one a line")
    return tuple(silences.matcher(line) for line in lines)


def read_wanted(typed: Typed, now: datetime, zone: str) -> Wanted:
    """The silence that the form asks for. Raises :class:`SilenceError` or :class:`FormError`."""
    chosen = read_matchers(typed.matchers)
    begins = moment(typed.start, zone) if typed.start.strip() else now
    if typed.length == UNTIL:
        if not typed.until.strip():
            raise FormError("say until when, or choose a length")
        ends = moment(typed.until, zone)
    elif typed.length in LENGTHS:
        ends = begins + LENGTHS[typed.length][1]
    else:
        raise FormError("choose how long it is")
    return Wanted(chosen, begins, ends, typed.owner, typed.reason)


def windows_of(
    picture: Picture, now: datetime
) -> list[tuple[MaintenanceWindow, Opening | None, Opening | None]]:
    """Each maintenance window of the runbook, with the opening that stands and the one that comes next."""
    windows = picture.policy.runbook.monitoring.maintenance if picture.policy else ()
    return [(window, opening_at(window, now), next_opening(window, now)) for window in windows]


def _prefilled(matchers: Iterable[str]) -> str:
    """The form for a silence with ``matchers`` in it, which shows what they would hide now."""
    return "/silences/new?" + "&".join(f"matcher={quote(text, safe='')}" for text in matchers)


def router(console: Console) -> APIRouter:
    """``/silences``, ``/silences/new``, ``/silences/{number}/end``."""
    routes = APIRouter(include_in_schema=False)

    def alerts_now() -> list[Listed]:
        with console.store.read() as conn:
            return [one for one in alert_list.current(conn) if one.state != "resolved"]

    def preview(matchers: tuple[Matcher, ...]) -> Preview:
        alerts = alerts_now()
        return Preview(tuple(one for one in alerts if silences.matches(matchers, one.labels)), len(alerts))

    def look() -> tuple[tuple[Silence, ...], Counter[str]]:
        with console.store.read() as conn:
            found = silencing.everything(conn)
            alerts = alert_list.current(conn)
        return found, Counter(one.inhibited_by or "" for one in alerts if one.state == "firing")

    @routes.get("/silences")
    async def listing(request: Request, identity: Reader, state: str = "") -> Response:
        picture = await console.pictures.now()
        found, hides = await run_in_threadpool(look)
        now = picture.at
        by_state: dict[str, list[Silence]] = {"active": [], "planned": [], "over": []}
        for one in found:
            by_state[one.state(now)].append(one)
        by_state["active"].sort(key=lambda one: one.until)
        by_state["planned"].sort(key=lambda one: one.starts_at)
        by_state["over"].sort(key=lambda one: one.until, reverse=True)
        return await console.page(
            request,
            identity,
            "silences.html",
            picture=picture,
            by_state=by_state,
            hides=hides,
            over=state == "over",
            matcher_lines=lambda one: [str(matcher) for matcher in one.matchers],
            again=lambda one: _prefilled(f"{m.name}{m.op.value}{m.value}" for m in one.matchers),
            windows=windows_of(picture, now),
            look_at=lambda window: _prefilled(window.match),
        )

    async def form(
        request: Request, identity: Identity, typed: Typed, *, status: int = 200, **more: Any
    ) -> Response:
        picture = await console.pictures.now()
        policy = picture.policy.runbook.monitoring.silences if picture.policy else Silencing()
        context = {"problem": "", "preview": None, **more}
        return await console.page(
            request,
            identity,
            "silence_new.html",
            status=status,
            picture=picture,
            typed=typed,
            zone=zone_of(picture, identity),
            lengths=LENGTHS,
            longest=policy.longest,
            shown=SHOWN,
            **context,
        )

    @routes.get("/silences/new")
    async def new(
        request: Request,
        identity: Responder,
        matcher: Annotated[list[Annotated[str, Query(max_length=2000)]] | None, Query(max_length=50)] = None,
    ) -> Response:
        typed = Typed(matchers="\n".join(matcher or ()), owner=identity.name)
        if not typed.matchers.strip():
            return await form(request, identity, typed)
        try:
            found = await run_in_threadpool(preview, read_matchers(typed.matchers))
        except SilenceError as error:
            return await form(request, identity, typed, status=400, problem=sentence(str(error)))
        return await form(request, identity, typed, preview=found)

    @routes.post("/silences/new")
    async def make(
        request: Request,
        identity: Responder,
        do: Field = "preview",
        matchers: Field = "",
        length: Field = "2h",
        until: Field = "",
        start: Field = "",
        owner: Field = "",
        reason: Field = "",
    ) -> Response:
        matchers = matchers.replace("\r\n", "\n")  # as forms send the ends of lines
        typed = Typed(matchers, length, until, start, owner.strip() or identity.name, reason)
        picture = await console.pictures.now()
        policy = picture.policy.runbook.monitoring.silences if picture.policy else Silencing()
        now = console.clock.now()
        try:
            wanted = read_wanted(typed, now, zone_of(picture, identity))
            if do != "silence":
                said = reason.strip() or "not given yet"
                silences.check(
                    Wanted(wanted.matchers, wanted.starts_at, wanted.ends_at, wanted.owner, said), now, policy
                )
                found = await run_in_threadpool(preview, wanted.matchers)
                return await form(request, identity, typed, preview=found)
            made = await run_in_threadpool(create, wanted, identity, policy)
        except (SilenceError, FormError) as error:
            return await form(request, identity, typed, status=400, problem=sentence(str(error)))
        console.pictures.outdated()
        return seen_other("/silences", f"Silence {made.id} is made: {silencing.words(made)}.")

    def create(wanted: Wanted, identity: Identity, policy: Silencing) -> Silence:
        with console.store.write() as conn:
            now = console.clock.now()
            return silencing.create(conn, now, wanted, identity.name, policy, actor=identity.actor)

    @routes.post("/silences/{number}/end")
    async def end(number: RowNumber, identity: Responder) -> Response:
        try:
            ended = await run_in_threadpool(finish, number, identity)
        except SilenceError as error:
            return seen_other("/silences", sentence(str(error)))
        console.pictures.outdated()
        return seen_other(
            "/silences", f"Silence {ended.id} is ended; what still fires is told at the next evaluation."
        )

    def finish(number: int, identity: Identity) -> Silence:
        with console.store.write() as conn:
            return silencing.end(conn, console.clock.now(), number, identity.name, actor=identity.actor)

    return routes
