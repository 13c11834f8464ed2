"""``/rules``: each rule with its state, whether it can be evaluated, what it costs and what it enforces.

Always true: a rule that cannot be evaluated stands on top with its error (tests/console/test_rules.py).
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from watchkeeper.app.wire import WireError
from watchkeeper.console import rules as reading
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader


def router(console: Console) -> APIRouter:
    """The route."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/rules")
    async def rules(
        request: Request, identity: Reader, question: Annotated[reading.Question, Query()]
    ) -> Response:
        picture = await console.pictures.now()
        problem, everything = "", []
        try:
            everything = await reading.ask(console.roles, picture.policy)
        except WireError as error:
            problem = f"The rules are not known now: {error}."
        return await console.page(
            request,
            identity,
            "rules.html",
            picture=picture,
            status=503 if problem else 200,
            question=question,
            problem=problem,
            verdicts={status.clause.id: status.verdict for status in picture.statuses},
            shown=[one for one in everything if question.fits(one)],
            counts=reading.totals(everything),
            total=len(everything),
            seconds=sum(one.evaluation_seconds for one in everything),
            address=lambda state: _address(question, state),
        )

    return routes


def _address(question: reading.Question, state: str) -> str:
    asked = {"state": state, "text": question.text}
    query = urlencode({name: value for name, value in asked.items() if value})
    return f"/rules?{query}" if query else "/rules"
