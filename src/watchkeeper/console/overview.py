"""The whole picture in one document, for ``watchkeeper top`` and other readers."""

from __future__ import annotations

import json

from fastapi import APIRouter, Response

from watchkeeper.app.wire import WireError
from watchkeeper.console.roles import Roles

ASK_SECONDS = 10.0


def router(roles: Roles) -> APIRouter:
    """``GET /api/overview``: layers, signals with recent values, alerts, deliveries, verdicts."""
    routes = APIRouter(prefix="/api", tags=["overview"])

    @routes.get("/overview")
    async def overview() -> Response:
        try:
            body = await roles.watch("overview", {}, ASK_SECONDS)
        except WireError as error:
            problem = json.dumps({"status": "error", "errorType": error.kind, "error": str(error)})
            return Response(problem, status_code=503, media_type="application/json")
        return Response(body, media_type="application/json")

    return routes
