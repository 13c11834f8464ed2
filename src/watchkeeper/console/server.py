"""The web application: what answers at which address. Imported only by the role ``web``."""

from __future__ import annotations

import json

from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry

from watchkeeper import __version__
from watchkeeper.console import document, health, overview, prometheus, webhooks
from watchkeeper.console.roles import Roles
from watchkeeper.store.clock import Clock

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


def create_app(roles: Roles, clock: Clock, registry: CollectorRegistry) -> FastAPI:
    """The application, asking ``roles`` for what it does not know itself."""
    app = FastAPI(
        title="Watchkeeper",
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(prometheus.router(roles, clock))
    app.include_router(overview.router(roles))
    app.include_router(document.router(roles))
    app.include_router(webhooks.router(roles))
    app.include_router(health.router(roles, registry))

    @app.middleware("http")
    async def strict_headers(request: Request, call_next):  # type: ignore[no-untyped-def]
        response = await call_next(request)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.exception_handler(404)
    async def not_found(request: Request, _: Exception) -> Response:
        message = f"nothing answers at {request.url.path}; /api/openapi.json lists what does"
        body = json.dumps({"status": "error", "errorType": "not_found", "error": message})
        return Response(body, status_code=404, media_type="application/json")

    return app
