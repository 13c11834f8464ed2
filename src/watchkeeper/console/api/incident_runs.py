"""``/api/incidents/<number>/runs``, acting: start a playbook for an incident, answer it, take it back."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, HTTPException
from pydantic import Field
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from watchkeeper.access.models import Identity
from watchkeeper.console import incidents
from watchkeeper.console.api.incidents import Run
from watchkeeper.console.api.problems import CHANGES, Answer, Asked, refusing
from watchkeeper.console.api.values import IdInPath, NameInPath, Sentence, Word
from watchkeeper.console.console import Console
from watchkeeper.console.gate import ForbiddenError, Responder
from watchkeeper.incidents import records
from watchkeeper.playbooks import answers, reading, starting
from watchkeeper.playbooks.models import PlaybookError
from watchkeeper.playbooks.questions import ForbiddenAnswerError
from watchkeeper.store.canonical import storable


class NewRun(Asked):
    """A playbook of the runbook, and what it is to be run with."""

    playbook: Word
    inputs: dict[Word, Sentence] = Field(default_factory=dict, max_length=50)


class StepAnswer(Asked):
    """What is said to a step that asks."""

    step: Word
    verdict: Literal["confirm", "skip", "retry", "abort"]
    note: Sentence = ""


class Abort(Asked):
    """Why a run is stopped and taken back."""

    reason: Sentence = Field(min_length=1)


class Said(Answer):
    """What became of it, in a sentence."""

    said: str


def router(console: Console) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/api/incidents/{number}/runs", tags=["incidents"])

    def begin(identity: Identity, number: int, asked: NewRun) -> Run:
        runbook, now = console.policy().runbook, console.clock.now()
        with refusing(), console.store.write() as conn:
            subject = records.load(conn, number).subject
            try:
                run_id = starting.start(
                    conn, now, runbook, asked.playbook, asked.inputs, identity.actor, subject
                )
            except PlaybookError as error:
                raise HTTPException(400, str(error)) from None
            return Run.model_validate(reading.run(conn, run_id))

    @routes.post("", operation_id="startIncidentRun", responses=CHANGES, status_code=201)
    async def start(identity: Responder, number: IdInPath, asked: NewRun) -> Run:
        """Start a playbook for the incident."""
        return await run_in_threadpool(begin, identity, number, asked)

    def own(conn: Connection, number: int, run_id: str) -> str:
        found = reading.run(conn, storable(run_id))
        if found is None or found.subject != records.load(conn, number).subject:
            raise HTTPException(404, f"incident {number} has no such run; GET its runs lists them")
        return found.id

    def say(identity: Identity, number: int, run_id: str, asked: StepAnswer) -> Said:
        with refusing(), console.store.write() as conn:
            run, role = own(conn, number, run_id), incidents.role_of(identity)
            try:
                said = answers.answer(
                    conn,
                    console.clock.now(),
                    run,
                    asked.step,
                    asked.verdict,
                    identity.actor,
                    asked.note,
                    role,
                )
            except ForbiddenAnswerError as error:
                raise ForbiddenError(str(error)) from None
            except PlaybookError as error:
                raise HTTPException(409, str(error)) from None
        return Said(said=said)

    @routes.post("/{run}/answer", operation_id="answerIncidentRun", responses=CHANGES)
    async def answer(identity: Responder, number: IdInPath, run: NameInPath, asked: StepAnswer) -> Said:
        """Answer what a step asks."""
        return await run_in_threadpool(say, identity, number, run, asked)

    def stop(identity: Identity, number: int, run_id: str, reason: str) -> Said:
        with refusing(), console.store.write() as conn:
            run = own(conn, number, run_id)
            try:
                asked = starting.abort(conn, console.clock.now(), run, identity.actor, reason)
            except PlaybookError as error:
                raise HTTPException(409, str(error)) from None
        return Said(said="it is stopped and taken back" if asked else "somebody asked for that already")

    @routes.post("/{run}/abort", operation_id="abortIncidentRun", responses=CHANGES)
    async def abort(identity: Responder, number: IdInPath, run: NameInPath, asked: Abort) -> Said:
        """Stop a run, and take back what it did, the last step first."""
        return await run_in_threadpool(stop, identity, number, run, asked.reason)

    return routes
