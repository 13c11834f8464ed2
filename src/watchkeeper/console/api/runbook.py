"""``/api/runbook``: the runbook in force, for programs and as the document that people read.

Always true: no secret is in it; the runbook only says where secrets are kept, passwords inside addresses are
masked, and of a receiver's settings nothing but its kind is told (tests/console/test_api_runbook.py).
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from watchkeeper.console.api.problems import Answer, problems
from watchkeeper.console.console import Console
from watchkeeper.console.gate import Reader
from watchkeeper.runbook.rendering import render
from watchkeeper.store.redaction import masked


class RunbookInForce(Answer):
    """The runbook that is in force."""

    platform: str
    digest: str = Field(description="SHA-256 of the file and its overlay.")
    runbook: dict[str, Any] = Field(
        description="As the file has it, defaults filled in, without the settings of receivers."
    )


def router(console: Console) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/api", tags=["runbook"])

    def read() -> RunbookInForce:
        policy = console.policy()
        document = masked(policy.runbook.model_dump(mode="json", by_alias=True))
        for line, model in zip(
            document["notifications"]["receivers"], policy.runbook.notifications.receivers, strict=True
        ):  # an address to post to is often itself the secret
            line[model.kind] = {}
        return RunbookInForce(platform=policy.runbook.platform, digest=policy.digest, runbook=document)

    @routes.get("/runbook", operation_id="getRunbook", responses=problems())
    async def runbook(identity: Reader) -> RunbookInForce:
        """The runbook in force, as data."""
        return await run_in_threadpool(read)

    @routes.get(
        "/runbook.md",
        operation_id="getRunbookDocument",
        response_class=Response,
        responses={
            **problems(),
            200: {"description": "Markdown.", "content": {"text/markdown": {"schema": {"type": "string"}}}},
        },
    )
    async def markdown(identity: Reader) -> Response:
        """The runbook in force, as the document for people."""
        text = await run_in_threadpool(lambda: render(console.policy().runbook))
        return Response(text, media_type="text/markdown; charset=utf-8")

    return routes
