"""``/api/targets``, ``/api/rules``, ``/api/receivers``: what is watched, by which rules, who is told."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from watchkeeper.console import receivers, rules, targets
from watchkeeper.console.api.problems import Answer, problems
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader
from watchkeeper.console.policy import NoPolicyError, Policy
from watchkeeper.console.rules import Rule
from watchkeeper.console.targets import Job, Target


class Targets(Answer):
    """Targets, those that are down first, and how the jobs do."""

    targets: list[Target]
    total: int = Field(description="How many fit, on all pages.")
    jobs: list[Job] = Field(description="Every job, whatever was asked.")


class TargetQuestion(targets.Question):
    """Which targets, and which page of them."""

    limit: int = Field(200, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=10_000_000)


class Rules(Answer):
    """The rules: those that cannot be evaluated first, then what fires."""

    rules: list[Rule]
    counts: dict[Literal["firing", "pending", "inactive", "failing"], int] = Field(
        description="Of all rules."
    )


class Receiver(Answer):
    """A place that is told, and how it fares."""

    id: str
    title: str
    kind: str
    state: Literal["ok", "retrying", "down", "unknown"] = Field(
        description="`unknown`: nothing was sent yet."
    )
    failing_since: datetime | None
    last_error: str | None
    last_success_at: datetime | None
    waiting: int = Field(description="Notifications that it does not have yet.")
    waiting_since: datetime | None


class Receivers(Answer):
    """The receivers, in the runbook's order."""

    receivers: list[Receiver]


def router(console: Console) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/api", tags=["watching"])

    @routes.get("/targets", operation_id="listTargets", responses=problems())
    async def listed_targets(identity: Reader, question: Annotated[TargetQuestion, Query()]) -> Targets:
        """What is scraped, and how it does."""
        everything = await targets.ask(console.roles)
        found = [one for one in everything if question.fits(one)]
        page = found[question.offset : question.offset + question.limit]
        return Targets(targets=page, total=len(found), jobs=targets.jobs(everything))

    def in_force() -> Policy | None:
        try:
            return console.policy()
        except NoPolicyError:
            return None

    @routes.get("/rules", operation_id="listRules", responses=problems())
    async def listed_rules(identity: Reader, question: Annotated[rules.Question, Query()]) -> Rules:
        """Each rule with its state, its cost and the clause that it enforces."""
        everything = await rules.ask(console.roles, await run_in_threadpool(in_force))
        found = [one for one in everything if question.fits(one)]
        return Rules.model_validate({"rules": found, "counts": rules.totals(everything)})

    def read() -> list[receivers.Fares]:
        with console.store.read() as conn:
            return receivers.fares(conn, console.policy().runbook, console.clock.now())

    @routes.get("/receivers", operation_id="listReceivers", responses=problems())
    async def listed_receivers(identity: Reader) -> Receivers:
        """Who is told, and whether they can be reached."""
        found = await run_in_threadpool(read)
        return Receivers(receivers=[Receiver.model_validate(one) for one in found])

    return routes
