"""``/api/alerts``: what fires, what is pending, what ended; its history; and taking it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from watchkeeper.access.models import Identity
from watchkeeper.console.api.journal import JournalPage, page_of
from watchkeeper.console.api.problems import CHANGES, Answer, Asked, problems
from watchkeeper.console.api.values import NameInPath, Sentence, Word
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader, Responder
from watchkeeper.console.parameters import LARGEST_ID
from watchkeeper.monitoring import acknowledgements, alert_list
from watchkeeper.monitoring.alert_list import Listed
from watchkeeper.store import journal_search
from watchkeeper.store.journal import Filter


class Alert(Answer):
    """One alert, or one that was. A time that has not come is null."""

    alertname: str
    state: Literal["pending", "firing", "resolved"]
    severity: str
    labels: dict[str, str]
    annotations: dict[str, str] | None
    summary: str
    clause: str | None
    value: float | str | None = Field(description="A number, or NaN, +Inf or -Inf as text.")
    fingerprint: str
    episode: str | None = Field(description="One life of it, from pending to resolved.")
    active_at: datetime | None
    fired_at: datetime | None
    resolved_at: datetime | None
    queued_at: datetime | None
    paged_at: datetime | None = Field(description="When a receiver had the first notification of it.")
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    inhibited_by: str | None = Field(description="The alert or `silence:<number>` for which it keeps quiet.")
    dedup_key: str | None


class Alerts(Answer):
    """Alerts, pages first."""

    alerts: list[Alert]


class Acknowledgement(Asked):
    """What you are about to do; receivers are told."""

    note: Sentence = ""


class Acknowledgements(Acknowledgement):
    """Which alerts you take."""

    fingerprints: list[Word] = Field(min_length=1, max_length=1000)


class Acknowledged(Answer):
    """What was changed."""

    alertnames: list[str] = Field(description="The alerts that you have now, by name.")
    receivers: list[str] = Field(description="The receivers that will hear of it.")
    already: list[str] = Field(description="Who had those that nothing was left to do for.")


class Question(BaseModel):
    """Which alerts. What is empty is not asked."""

    state: Literal["", "pending", "firing", "resolved"] = ""
    severity: str = Field("", max_length=100)
    text: str = Field("", max_length=200, description="Stands in the name, the summary or a label.")
    acknowledged: bool | None = Field(None, description="Whether somebody has it.")
    earlier: bool = Field(False, description="Also the newest 200 that resolved longer ago than 15 minutes.")

    def fits(self, one: Listed) -> bool:
        """Whether ``one`` is asked for."""
        words = f"{one.alertname} {one.summary} {' '.join(f'{k}={v}' for k, v in one.labels.items())}"
        return (
            (not self.state or one.state == self.state)
            and (not self.severity or one.severity == self.severity)
            and self.text.strip().lower() in words.lower()
            and (self.acknowledged is None or (one.acknowledged_at is not None) is self.acknowledged)
        )


def find(conn: Connection, fingerprint: str) -> Listed | None:
    """The alert of that fingerprint, also one of the newest 200 that resolved."""
    now = alert_list.current(conn)
    found = next((one for one in now if one.fingerprint == fingerprint), None)
    if found is not None:
        return found
    return next((one for one in alert_list.earlier(conn, now) if one.fingerprint == fingerprint), None)


def router(console: Console) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/api/alerts", tags=["alerts"])

    def read(question: Question) -> Alerts:
        with console.store.read() as conn:
            found = alert_list.current(conn)
            if question.earlier:
                found = found + alert_list.earlier(conn, found)
        return Alerts(alerts=[Alert.model_validate(one) for one in found if question.fits(one)])

    @routes.get("", operation_id="listAlerts", responses=problems())
    async def listed(identity: Reader, question: Annotated[Question, Query()]) -> Alerts:
        """What fires, what is pending, and what resolved in the last 15 minutes; pages first."""
        return await run_in_threadpool(read, question)

    def take(identity: Identity, fingerprints: list[str], note: str) -> acknowledgements.Acknowledged:
        person = identity.name if identity.kind == "person" else identity.actor
        with console.store.write() as conn:
            return acknowledgements.acknowledge(
                conn, console.clock.now(), fingerprints, person, note, actor=identity.actor
            )

    @routes.post("/acknowledge", operation_id="acknowledgeAlerts", responses=CHANGES)
    async def acknowledge_many(identity: Responder, asked: Acknowledgements) -> Acknowledged:
        """Take firing alerts, and those that share their notification. The others stay as they are."""
        done = await run_in_threadpool(take, identity, asked.fingerprints, asked.note.strip())
        console.pictures.outdated()
        return Acknowledged.model_validate(done)

    def read_one(fingerprint: str) -> Listed | None:
        with console.store.read() as conn:
            return find(conn, fingerprint)

    @routes.get("/{fingerprint}", operation_id="getAlert", responses=problems(404))
    async def one(identity: Reader, fingerprint: NameInPath) -> Alert:
        """One alert."""
        found = await run_in_threadpool(read_one, fingerprint)
        if found is None:
            raise HTTPException(404, "there is no alert of that fingerprint; GET /api/alerts lists them")
        return Alert.model_validate(found)

    @routes.post("/{fingerprint}/acknowledge", operation_id="acknowledgeAlert", responses=CHANGES)
    async def acknowledge(
        identity: Responder, fingerprint: NameInPath, asked: Acknowledgement
    ) -> Acknowledged:
        """Take one firing alert, and those that share its notification."""
        found = await run_in_threadpool(read_one, fingerprint)
        if found is None:
            raise HTTPException(404, "there is no alert of that fingerprint; GET /api/alerts lists them")
        if found.state != "firing":
            raise HTTPException(409, f"{found.alertname} is {found.state}; only what fires can be taken")
        done = await run_in_threadpool(take, identity, [fingerprint], asked.note.strip())
        console.pictures.outdated()
        return Acknowledged.model_validate(done)

    def read_history(fingerprint: str, before: int | None) -> JournalPage:
        with console.store.read() as conn:
            wanted = Filter(subject=f"alert:{fingerprint}", before=before)
            return page_of(journal_search.search(conn, wanted, 100))

    @routes.get("/{fingerprint}/history", operation_id="getAlertHistory", responses=problems())
    async def history(
        identity: Reader,
        fingerprint: NameInPath,
        before: Annotated[int | None, Query(ge=0, le=LARGEST_ID)] = None,
    ) -> JournalPage:
        """Everything that the journal holds about one alert, newest first, 100 at a time."""
        return await run_in_threadpool(read_history, fingerprint, before)

    return routes
