"""``/clauses/{id}``: one line of the runbook: how it stands and why, and everything that ever proved it.

Always true: what nothing has proved shows as unknown, and why (tests/console/test_clauses.py).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from watchkeeper.console import clauses as reading
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader
from watchkeeper.console.pages.home import SECTIONS
from watchkeeper.console.policy import Policy
from watchkeeper.runbook.status import clause_status
from watchkeeper.store.evidence import clause_history


def router(console: Console) -> APIRouter:
    """The route."""
    routes = APIRouter(include_in_schema=False)

    def read(policy: Policy, name: str) -> reading.Told | None:
        clause = next((one for one in policy.clauses if one.id == name), None)
        if clause is None:
            return None
        with console.store.read() as conn:
            history = clause_history(conn, clause.id, reading.HISTORY)
        now = console.clock.now()
        return reading.told(clause_status(clause, history[0] if history else None, now), history, policy, now)

    @routes.get("/clauses/{name}")
    async def clause(
        request: Request, identity: Reader, name: Annotated[str, Path(max_length=300)]
    ) -> Response:
        picture = await console.pictures.now()
        told = await run_in_threadpool(read, picture.policy, name) if picture.policy is not None else None
        if told is None:
            raise HTTPException(
                404, "The runbook in force has no such clause; the journal still has what was said of it."
            )
        return await console.page(
            request, identity, "clause.html", picture=picture, told=told, sections=SECTIONS
        )

    return routes
