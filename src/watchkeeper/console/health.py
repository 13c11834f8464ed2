"""``/healthz``, ``/readyz`` and ``/metrics``.

Healthy: this process answers. Ready: pages can be relied on, because every role answers, rules are evaluated
and the store can be read; notes tell of what else somebody should look at. A role that does not answer makes
us *not ready*, by name; its metrics are then missing, and ``watchkeeper_role_up`` says so
(tests/console/test_health.py).
"""

from __future__ import annotations

import asyncio
import json

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Gauge

from watchkeeper import __version__
from watchkeeper.app.metrics import families_json, render
from watchkeeper.app.wire import WireError
from watchkeeper.console.roles import Roles

ASK_SECONDS = 5.0


def router(roles: Roles, registry: CollectorRegistry) -> APIRouter:
    """The routes; ``registry`` holds this process' own metrics."""
    routes = APIRouter(tags=["health"])
    up = Gauge("watchkeeper_role_up", "1 where the role answered when asked.", ["asked"], registry=registry)
    build = Gauge("watchkeeper_build_info", "The running version.", ["version"], registry=registry)
    build.labels(__version__).set(1)
    ways = {"watch": roles.watch, "work": roles.work}

    async def asked(question: str) -> dict[str, bytes | WireError]:
        async def one(role: str) -> bytes | WireError:
            try:
                return await ways[role](question, {}, ASK_SECONDS)
            except WireError as error:
                return error

        return dict(zip(ways, await asyncio.gather(*map(one, ways)), strict=True))

    @routes.get("/healthz")
    async def healthz() -> Response:
        return Response("ok\n", media_type="text/plain")

    @routes.get("/readyz")
    async def readyz() -> Response:
        problems, notes = [], []
        for role, answer in (await asked("ready")).items():
            if isinstance(answer, WireError):
                problems.append(f"{role}: {answer}")
            else:
                said = json.loads(answer)
                problems += [f"{role}: {problem}" for problem in said["problems"]]
                notes += [f"note: {role}: {note}" for note in said["notes"]]
        lines = ["not ready" if problems else "ready", *problems, *notes]
        return Response(
            "".join(f"{line}\n" for line in lines),
            status_code=503 if problems else 200,
            media_type="text/plain",
        )

    @routes.get("/metrics")
    async def metrics(request: Request) -> Response:
        documents = {}
        for role, answer in (await asked("metrics")).items():
            up.labels(role).set(0 if isinstance(answer, WireError) else 1)
            if not isinstance(answer, WireError):
                documents[role] = answer
        documents["web"] = families_json(registry)
        body, content_type = render(documents, request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    return routes
