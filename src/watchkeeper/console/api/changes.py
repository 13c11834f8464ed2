"""``/api/changes``: what changed on the platform, and where deploys are told of."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from watchkeeper.access.models import Identity
from watchkeeper.app.changes import change_receivers
from watchkeeper.console.api.problems import CHANGES, Answer, Asked, problems, refusing
from watchkeeper.console.api.values import Moment, Sentence, Word
from watchkeeper.console.console import Console
from watchkeeper.console.gate import ChangeTeller, Reader
from watchkeeper.console.policy import NoPolicyError
from watchkeeper.launches import changes
from watchkeeper.launches.changes import Change, ChangeKind


class ToldChange(Asked):
    """A change, told by whoever makes it."""

    key: Word = Field(
        min_length=1,
        max_length=changes.MAX_KEY,
        description="Yours; told again under it, it is recorded once.",
    )
    kind: ChangeKind
    title: Sentence = Field(min_length=1, max_length=changes.MAX_TITLE, description="What changed.")
    at: Moment | None = Field(None, description="Now, where it is not given.")
    service: Word | None = Field(None, description="None: everything.")
    env: Word | None = None
    region: Word | None = None
    version: Word | None = None
    by: Word | None = Field(None, description="Who made it; whoever asks, where it is not given.")
    url: str | None = Field(None, max_length=changes.MAX_URL, description="Where to read on.")
    details: dict[str, Any] = Field(
        default_factory=dict, max_length=100, description="Anything more, at most 16 KiB as JSON."
    )


class RecordedChange(Answer):
    """A change as it is recorded."""

    id: int
    key: str
    kind: str
    title: str
    at: datetime
    service: str | None
    env: str | None
    region: str | None
    version: str | None
    by: str
    url: str | None
    recorded_at: datetime
    fresh: bool = Field(description="False: it was recorded before, and what was told now changed nothing.")


class RecentChange(Answer):
    """A change, from what was told or from the journal."""

    at: datetime
    minutes_ago: int
    kind: str
    title: str
    by: str
    service: str | None
    env: str | None
    region: str | None
    version: str | None
    url: str | None
    source: str = Field(description="`reported`, or `journal` for runbook and maintenance windows.")
    id: int | None
    seq: int | None = Field(description="The journal entry, where it comes from there.")


class RecentChanges(Answer):
    """What changed, nearest to now first."""

    changes: list[RecentChange]


def router(console: Console) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/api/changes", tags=["changes"])

    def read(hours: float, service: str | None, env: str | None, limit: int) -> RecentChanges:
        now = console.clock.now()
        with console.store.read() as conn:
            found = changes.changes_recent(conn, now, hours, service or None, env or None, limit)
        return RecentChanges(changes=[RecentChange.model_validate(one) for one in found])

    @routes.get("", operation_id="listChanges", responses=problems())
    async def listed(
        identity: Reader,
        hours: Annotated[float, Query(gt=0, le=24 * 366, description="How far back.")] = 24,
        service: Annotated[str | None, Query(max_length=200, description="And what names none.")] = None,
        env: Annotated[str | None, Query(max_length=200, description="And what names none.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = changes.LIMIT,
    ) -> RecentChanges:
        """What changed, nearest first: deploys and the like, changes of the runbook, maintenance windows."""
        return await run_in_threadpool(read, hours, service, env, limit)

    def tell(identity: Identity, told: ToldChange) -> RecordedChange:
        now = console.clock.now()
        try:
            receivers = change_receivers(console.policy().runbook)
        except NoPolicyError:
            receivers = ()
        change = Change(
            key=told.key,
            kind=told.kind,
            title=told.title,
            at=told.at or now,
            by=told.by or identity.name,
            service=told.service,
            env=told.env,
            region=told.region,
            version=told.version,
            url=told.url,
            details=told.details,
        )
        with refusing(), console.store.write() as conn:
            made = changes.record(conn, now, change, actor=identity.actor, tell=receivers)
        kept = made.change
        return RecordedChange(
            id=made.id,
            key=kept.key,
            kind=kept.kind,
            title=kept.title,
            at=kept.at,
            service=kept.service,
            env=kept.env,
            region=kept.region,
            version=kept.version,
            by=kept.by,
            url=kept.url,
            recorded_at=made.recorded_at,
            fresh=made.fresh,
        )

    @routes.post(
        "",
        operation_id="recordChange",
        responses={**CHANGES, 200: {"model": RecordedChange, "description": "It was recorded before."}},
        status_code=201,
    )
    async def record(identity: ChangeTeller, told: ToldChange, response: Response) -> RecordedChange:
        """Tell of a change; telling of it again under the same key changes nothing."""
        made = await run_in_threadpool(tell, identity, told)
        if not made.fresh:
            response.status_code = 200
        return made

    return routes
