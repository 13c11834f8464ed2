"""``/api/clauses``: every line of the runbook, how it stands, and what proves it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from watchkeeper.console import clauses as reading
from watchkeeper.console.api.problems import Answer, problems
from watchkeeper.console.api.values import NameInPath
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader
from watchkeeper.runbook.status import ClauseStatus, clause_status, clause_statuses
from watchkeeper.store.evidence import clause_history, latest_verdicts

Verdict = Literal["met", "missed", "waived", "unknown"]


class Proof(Answer):
    """A journal entry that cites a clause."""

    seq: int
    at: datetime
    verdict: Verdict
    summary: str


class Waiver(Answer):
    """A clause that is knowingly not kept."""

    owner: str
    reason: str
    until: date


class Clause(Answer):
    """One line of the runbook, and how it stands."""

    id: str
    section: str
    title: str
    sentence: str
    proof: str = Field(
        description="What kind of thing proves it: rule, samples, job, deadline, run, review, check."
    )
    verdict: Verdict
    summary: str = Field(description="What the newest evidence says.")
    evidence_seq: int | None = Field(description="The journal entry of the newest evidence.")
    evidence_at: datetime | None
    next_due: datetime | None
    cadence_seconds: float | None
    deadline_seconds: float | None
    grace_seconds: float
    waiver: Waiver | None


class Clauses(Answer):
    """The lines, in the runbook's order, and how many have each verdict."""

    clauses: list[Clause]
    counts: dict[Verdict, int]


class ClauseTold(Clause):
    """One line, with everything that belongs to it."""

    why: str
    proof_words: str
    layer: str | None
    signal: str | None
    history: list[Proof] = Field(description="Its evidence, newest first.")


class Question(BaseModel):
    """Which clauses. What is empty is not asked."""

    section: str = Field("", max_length=100)
    verdict: Literal["", "met", "missed", "waived", "unknown"] = ""


def clause_document(status: ClauseStatus) -> Clause:
    """A clause as the API shows it."""
    clause = status.clause
    return Clause(
        id=clause.id,
        section=clause.section,
        title=clause.title,
        sentence=clause.sentence,
        proof=clause.proof,
        verdict=status.verdict,
        summary=status.summary,
        evidence_seq=status.seq,
        evidence_at=status.at,
        next_due=status.due,
        cadence_seconds=clause.cadence.total_seconds() if clause.cadence is not None else None,
        deadline_seconds=clause.deadline.total_seconds() if clause.deadline is not None else None,
        grace_seconds=clause.grace.total_seconds(),
        waiver=None if clause.waiver is None else Waiver.model_validate(clause.waiver),
    )


def router(console: Console) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/api/clauses", tags=["clauses"])

    def read(question: Question) -> Clauses:
        policy = console.policy()
        with console.store.read() as conn:
            latest = latest_verdicts(conn)
        statuses = clause_statuses(policy.clauses, latest, console.clock.now())
        shown = [
            one
            for one in statuses
            if (not question.section or one.clause.section == question.section)
            and (not question.verdict or one.verdict == question.verdict)
        ]
        counts: dict[Verdict, int] = {"met": 0, "missed": 0, "waived": 0, "unknown": 0}
        for one in shown:
            counts[one.verdict] += 1
        return Clauses(clauses=[clause_document(one) for one in shown], counts=counts)

    @routes.get("", operation_id="listClauses", responses=problems())
    async def listed(identity: Reader, question: Annotated[Question, Query()]) -> Clauses:
        """Every line of the runbook with its verdict and its newest evidence."""
        return await run_in_threadpool(read, question)

    def read_one(name: str, limit: int) -> ClauseTold:
        policy, now = console.policy(), console.clock.now()
        clause = next((one for one in policy.clauses if one.id == name), None)
        if clause is None:
            raise HTTPException(404, "the runbook in force has no such clause; GET /api/clauses lists them")
        with console.store.read() as conn:
            history = clause_history(conn, clause.id, limit)
        status = clause_status(clause, history[0] if history else None, now)
        told = reading.told(status, history, policy, now)
        layer, signal = told.signal or (None, None)
        return ClauseTold(
            **clause_document(status).model_dump(),
            why=told.why,
            proof_words=told.proof_words,
            layer=layer,
            signal=signal,
            history=[Proof.model_validate(one) for one in history],
        )

    @routes.get("/{clause}", operation_id="getClause", responses=problems(404))
    async def one(
        identity: Reader,
        clause: NameInPath,
        limit: Annotated[int, Query(ge=1, le=1000, description="How much evidence.")] = reading.HISTORY,
    ) -> ClauseTold:
        """One line: how it stands and why, and its evidence."""
        return await run_in_threadpool(read_one, clause, limit)

    return routes
