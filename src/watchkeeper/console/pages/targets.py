"""``/targets``: what is scraped, by job; those that are down on top, with the last error whole.

Always true: thousands of targets make pages of 200; the counts are of all (tests/console/test_targets.py).
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from watchkeeper.app.wire import WireError
from watchkeeper.console import targets as reading
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader

PAGE = 200


class PageQuestion(reading.Question):
    """Which targets, and which page of them."""

    page: int = Field(1, ge=1, le=100_000)

    def address(self, **other: object) -> str:
        """The address of the page that shows this, with ``other`` instead of what it had."""
        asked = {**self.model_dump(), "page": 1, **other}
        query = urlencode({n: v for n, v in asked.items() if v not in ("", None) and (n, v) != ("page", 1)})
        return f"/targets?{query}" if query else "/targets"


def router(console: Console) -> APIRouter:
    """The route."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/targets")
    async def targets(
        request: Request, identity: Reader, question: Annotated[PageQuestion, Query()]
    ) -> Response:
        problem, everything = "", []
        try:
            everything = await reading.ask(console.roles)
        except WireError as error:
            problem = f"The targets are not known now: {error}."
        found = [one for one in everything if question.fits(one)]
        first = (question.page - 1) * PAGE
        return await console.page(
            request,
            identity,
            "targets.html",
            status=503 if problem else 200,
            question=question,
            problem=problem,
            jobs=reading.jobs(everything),
            shown=found[first : first + PAGE],
            found=len(found),
            total=len(everything),
            first=first,
            more=len(found) > first + PAGE,
        )

    return routes
