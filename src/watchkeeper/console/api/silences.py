"""``/api/silences``: who asked not to hear of what; trying one out, making one, ending one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from watchkeeper.access.models import Identity
from watchkeeper.console.api.problems import CHANGES, Answer, Asked, problems, refusing
from watchkeeper.console.api.values import IdInPath, Moment, Sentence, Word
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader, Responder
from watchkeeper.console.policy import NoPolicyError
from watchkeeper.monitoring import alert_list, silences, silencing
from watchkeeper.monitoring.maintenance import next_opening, opening_at
from watchkeeper.monitoring.silences import Wanted
from watchkeeper.runbook.models.quantities import Duration

HIDDEN_SHOWN = 200


class Silence(Answer):
    """A silence."""

    id: int
    state: Literal["planned", "active", "over"]
    matchers: list[str] = Field(description="All must hold, such as `service=api`.")
    starts_at: datetime
    ends_at: datetime = Field(description="When it is over, or was.")
    owner: str
    reason: str
    created_at: datetime
    created_by: str
    ended_at: datetime | None = Field(description="Somebody ended it early.")


class Window(Answer):
    """A maintenance window of the runbook that is open, or the time at which it opens next."""

    window: str
    title: str
    state: Literal["planned", "active"]
    matchers: list[str]
    starts_at: datetime
    ends_at: datetime
    reason: str | None
    when: str = Field(description="When it is open, in words.")


class Silences(Answer):
    """Silences, oldest first, and the maintenance windows."""

    silences: list[Silence]
    windows: list[Window] = Field(description="Empty where those that are over were asked for.")


class WantedSilence(Asked):
    """A silence that you ask for. Its end is given as `ends_at` or as `duration`."""

    matchers: list[Sentence] = Field(
        min_length=1, max_length=50, description="`service=api`, `env!=prod`, `region=~eu-.*`, `job!~x`."
    )
    starts_at: Moment | None = Field(None, description="Now, where it is not given.")
    ends_at: Moment | None = None
    duration: str | None = Field(None, max_length=40, description="How long, such as `2h`.")
    owner: Word | None = Field(None, description="Who answers for it; whoever asks, where it is not given.")
    reason: Sentence = ""


class HiddenAlert(Answer):
    """An alert that the silence hides now."""

    alertname: str
    severity: str
    state: str
    labels: dict[str, str]
    fingerprint: str


class Preview(Answer):
    """What a silence hides now."""

    hidden: list[HiddenAlert] = Field(description="At most 200 of them.")
    hidden_count: int
    alerts: int = Field(description="Of so many alerts that fire or are pending.")


class MadeSilence(Preview):
    """A silence that was made, and what it hides now."""

    silence: Silence


def silence_document(one: silences.Silence, now: datetime) -> Silence:
    """A silence as the API shows it."""
    return Silence(
        id=one.id,
        state=one.state(now),
        matchers=[str(matcher) for matcher in one.matchers],
        starts_at=one.starts_at,
        ends_at=one.until,
        owner=one.owner,
        reason=one.reason,
        created_at=one.created_at,
        created_by=one.created_by,
        ended_at=one.ended_at,
    )


def wanted_of(asked: WantedSilence, who: str, now: datetime) -> Wanted:
    """What is asked for. Raises SilenceError or BadQuantityError for what cannot be read."""
    chosen = tuple(silences.matcher(text) for text in asked.matchers)
    begins = asked.starts_at or now
    if (asked.ends_at is None) == (asked.duration is None):
        raise silences.SilenceError("say when it ends with one of ends_at and duration")
    try:
        ends = asked.ends_at or begins + Duration(asked.duration or "")
    except OverflowError:
        raise silences.SilenceError(f"{asked.duration!r} is too long") from None
    return Wanted(chosen, begins, ends, (asked.owner or "").strip() or who, asked.reason)


def router(console: Console) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/api/silences", tags=["silences"])

    def windows(now: datetime) -> list[Window]:
        try:
            known = console.policy().runbook.monitoring.maintenance
        except NoPolicyError:
            return []
        found = []
        for one in known:
            current = opening_at(one, now)
            opening = current or next_opening(one, now)
            if opening is not None:
                found.append(
                    Window(
                        window=one.id,
                        title=one.title,
                        state="planned" if current is None else "active",
                        matchers=list(one.match),
                        starts_at=opening.start,
                        ends_at=opening.end,
                        reason=one.reason,
                        when=one.when,
                    )
                )
        return found

    def read(everything: bool) -> Silences:
        now = console.clock.now()
        with console.store.read() as conn:
            found = silencing.everything(conn) if everything else silencing.load(conn)
        shown = [one for one in found if everything or one.state(now) != "over"]
        return Silences(
            silences=[silence_document(one, now) for one in shown],
            windows=[] if everything else windows(now),
        )

    @routes.get("", operation_id="listSilences", responses=problems())
    async def listed(
        identity: Reader,
        all: Annotated[bool, Query(description="Also the newest 200 that are over.")] = False,  # noqa: A002 - the parameter's name
    ) -> Silences:
        """The silences that stand or are planned."""
        return await run_in_threadpool(read, all)

    def look(wanted: Wanted) -> Preview:
        with console.store.read() as conn:
            alerts = [one for one in alert_list.current(conn) if one.state != "resolved"]
        hidden = [one for one in alerts if silences.matches(wanted.matchers, one.labels)]
        shown = [HiddenAlert.model_validate(one) for one in hidden[:HIDDEN_SHOWN]]
        return Preview(hidden=shown, hidden_count=len(hidden), alerts=len(alerts))

    def try_out(identity: Identity, asked: WantedSilence) -> Preview:
        now = console.clock.now()
        with refusing():
            named = asked.model_copy(update={"reason": asked.reason.strip() or "-"})
            wanted = wanted_of(named, identity.name, now)
            silences.check(wanted, now, console.policy().runbook.monitoring.silences)
        return look(wanted)

    @routes.post("/preview", operation_id="previewSilence", responses=CHANGES)
    async def preview(identity: Responder, asked: WantedSilence) -> Preview:
        """What a silence would hide now. Nothing is changed."""
        return await run_in_threadpool(try_out, identity, asked)

    def make(identity: Identity, asked: WantedSilence) -> MadeSilence:
        now = console.clock.now()
        policy = console.policy().runbook.monitoring.silences
        who = identity.name if identity.kind == "person" else identity.actor
        with refusing():
            wanted = wanted_of(asked, who, now)
            with console.store.write() as conn:
                made = silencing.create(conn, now, wanted, who, policy, actor=identity.actor)
        seen = look(wanted)
        return MadeSilence(silence=silence_document(made, now), **seen.model_dump())

    @routes.post("", operation_id="createSilence", responses=CHANGES, status_code=201)
    async def create(identity: Responder, asked: WantedSilence) -> MadeSilence:
        """Make a silence; it stands from the next evaluation on."""
        made = await run_in_threadpool(make, identity, asked)
        console.pictures.outdated()
        return made

    def read_one(number: int) -> silences.Silence:
        with console.store.read() as conn:
            found = silencing.get(conn, number)
        if found is None:
            raise HTTPException(404, f"there is no silence {number}; GET /api/silences?all=true lists them")
        return found

    @routes.get("/{number}", operation_id="getSilence", responses=problems(404))
    async def one(identity: Reader, number: IdInPath) -> Silence:
        """One silence, also one that is over."""
        return silence_document(await run_in_threadpool(read_one, number), console.clock.now())

    def finish(identity: Identity, number: int) -> Silence:
        now = console.clock.now()
        read_one(number)
        who = identity.name if identity.kind == "person" else identity.actor
        with refusing(409), console.store.write() as conn:
            return silence_document(silencing.end(conn, now, number, who, actor=identity.actor), now)

    @routes.post("/{number}/end", operation_id="endSilence", responses=CHANGES)
    async def end(identity: Responder, number: IdInPath) -> Silence:
        """End a silence now; what still fires is told at the next evaluation."""
        ended = await run_in_threadpool(finish, identity, number)
        console.pictures.outdated()
        return ended

    return routes
