"""``/journal``: everything that happened, newest first, searched and filtered; and one entry whole.

Always true: people and machines are told apart by a word; where a search ended because it had looked at
enough, the page says back to when, and how to go on (tests/console/test_journal.py).
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from watchkeeper.console import journal as reading
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader
from watchkeeper.console.parameters import LARGEST_ID, ParameterError
from watchkeeper.store import journal_search
from watchkeeper.store.journal import Filter

PAGE = 50


def router(console: Console) -> APIRouter:
    """``/journal`` and ``/journal/{seq}``."""
    routes = APIRouter(include_in_schema=False)

    def look(wanted: Filter | None) -> tuple[journal_search.Found, list[str]]:
        with console.store.read() as conn:
            kinds = journal_search.kinds(conn)
            if wanted is None:
                return journal_search.Found(()), kinds
            return journal_search.search(conn, wanted, PAGE), kinds

    @routes.get("/journal")
    async def entries(
        request: Request, identity: Reader, question: Annotated[reading.Question, Query()]
    ) -> Response:
        picture = await console.pictures.now()
        problem, wanted = "", None
        try:
            wanted = question.filter(picture.at)
        except ParameterError as error:
            problem = f"{error}."
        found, kinds = await run_in_threadpool(look, wanted)
        groups = sorted({f"{kind.split('.')[0]}.*" for kind in kinds if "." in kind})
        return await console.page(
            request,
            identity,
            "journal.html",
            picture=picture,
            status=400 if problem else 200,
            question=question,
            found=found,
            kinds=sorted({*kinds, *groups}),
            problem=problem,
            actor=reading.actor,
            summary=reading.summary,
        )

    def read(seq: int) -> reading.Whole | None:
        with console.store.read() as conn:
            return reading.whole(conn, seq)

    @routes.get("/journal/{seq}")
    async def one(
        request: Request, identity: Reader, seq: Annotated[int, Path(ge=1, le=LARGEST_ID)]
    ) -> Response:
        found = await run_in_threadpool(read, seq)
        if found is None:
            raise HTTPException(404, f"there is no entry {seq} in the journal")
        entry = found.entry
        return await console.page(
            request,
            identity,
            "journal_entry.html",
            whole=found,
            entry=entry,
            actor=reading.actor(entry.actor),
            summary=reading.summary(entry),
            place=reading.place(entry.subject),
            facts=_facts(entry.facts),
            document=json.dumps(entry.facts, indent=2, ensure_ascii=False, sort_keys=True),
        )

    return routes


def _facts(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Each fact by name, as people read it: what is nested as JSON."""
    return [
        (name.replace("_", " "), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in sorted(facts.items())
        if name != "summary" and value not in (None, "", [], {})
    ]
