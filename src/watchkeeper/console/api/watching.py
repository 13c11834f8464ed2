"""``/api/targets``, ``/api/rules``, ``/api/receivers``: what is watched, by which rules, who is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from watchkeeper.access.models import Identity
from watchkeeper.console import rules, targets
from watchkeeper.console.api.problems import CHANGES, Answer, problems
from watchkeeper.console.api.values import NameInPath
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader, Responder
from watchkeeper.console.policy import NoPolicyError, Policy
from watchkeeper.console.rules import Rule
from watchkeeper.console.targets import Job, Target
from watchkeeper.notify import report
from watchkeeper.notify.models import NotifyError
from watchkeeper.notify.trial import send_test
from watchkeeper.runbook.models.notifications import Receiver as Line


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
    """A place that is told, and how it fares. Nothing else of its settings is here."""

    id: str
    title: str
    kind: str
    state: Literal["ok", "failing", "unknown", "gone"] = Field(
        description="`unknown`: nothing was ever sent; `gone`: something waits that the runbook lacks."
    )
    failing_since: datetime | None
    last_error: str | None
    last_success_at: datetime | None
    waiting: int = Field(description="Notifications that it does not have yet.")
    oldest: datetime | None = Field(description="Since when the first of them waits.")


class Receipt(Answer):
    """What became of one message."""

    id: int
    receiver: str
    kind: str
    severity: str
    summary: str
    subject: str
    state: str = Field(description="`delivered`, `dead`, `superseded`, `retrying` or `pending`.")
    enqueued_at: datetime
    settled_at: datetime | None
    due_at: datetime
    attempts: int
    error: str | None


class Receipts(Answer):
    """The newest messages, newest first."""

    receipts: list[Receipt]


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

    def lines() -> Sequence[Line]:
        return console.policy().runbook.notifications.receivers

    def read() -> list[report.Standing]:
        with console.store.read() as conn:
            return report.standings(conn, lines())

    @routes.get("/receivers", operation_id="listReceivers", responses=problems())
    async def listed_receivers(identity: Reader) -> Receivers:
        """Who is told, and whether they can be reached."""
        found = await run_in_threadpool(read)
        return Receivers(receivers=[Receiver.model_validate(one) for one in found])

    def read_receipts(name: str, limit: int) -> list[report.Receipt]:
        with console.store.read() as conn:
            return report.receipts(conn, name, limit)

    @routes.get("/receivers/{name}/receipts", operation_id="listReceipts", responses=problems())
    async def receipts(
        identity: Reader, name: NameInPath, limit: Annotated[int, Query(ge=1, le=1000)] = 50
    ) -> Receipts:
        """What became of the newest messages to a receiver."""
        found = await run_in_threadpool(read_receipts, name, limit)
        return Receipts(receipts=[Receipt.model_validate(one) for one in found])

    def send(identity: Identity, name: str) -> Receipts:
        known = lines()
        if name not in {line.id for line in known}:
            raise HTTPException(
                404, "the runbook has no receiver of that name; GET /api/receivers lists them"
            )
        try:
            with console.store.write() as conn:
                ids = send_test(conn, console.clock.now(), known, name, identity.actor)
                made = report.outcome(conn, ids)
        except NotifyError as error:
            raise HTTPException(409, str(error)) from None
        return Receipts(receipts=[Receipt.model_validate(one) for one in made])

    @routes.post("/receivers/{name}/test", operation_id="testReceiver", responses=CHANGES)
    async def test(identity: Responder, name: NameInPath) -> Receipts:
        """Send a test message; its receipts say what becomes of it."""
        return await run_in_threadpool(send, identity, name)

    return routes
