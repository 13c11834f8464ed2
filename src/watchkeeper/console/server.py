"""The web application: what answers at which address. Imported only by the role ``web``.

Always true: every response carries the strict headers, also errors and what nothing answers; HEAD is answered
as GET without its body; a defect is answered as Prometheus' envelope, and only the log has the details
(tests/console/test_server.py).
"""

from __future__ import annotations

import json

from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from watchkeeper import __version__
from watchkeeper.console import document, health, overview, prometheus, webhooks
from watchkeeper.console.roles import Roles
from watchkeeper.store.clock import Clock

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_KINDS = {404: "not_found", 405: "bad_data"}


class StrictHeaders:
    """Wraps an application: adds the headers, and answers HEAD wherever GET is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD":  # the server leaves the body out, by the method that it saw
            scope = {**scope, "method": "GET"}

        async def strict(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, strict)


def create_app(roles: Roles, clock: Clock, registry: CollectorRegistry) -> ASGIApp:
    """The application, asking ``roles`` for what it does not know itself."""
    return StrictHeaders(application(roles, clock, registry))


def application(roles: Roles, clock: Clock, registry: CollectorRegistry) -> FastAPI:
    """What answers at which address, without the headers."""
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
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _defect)
    return app


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        message = f"nothing answers at {request.url.path}; /api/openapi.json lists what does"
    elif error.status_code == 405:
        message = f"{request.url.path} does not answer {request.method}"
    else:
        message = error.detail
    kind = _KINDS.get(error.status_code, "internal")
    return _envelope(error.status_code, kind, message, error.headers)


def _defect(_: Request, error: Exception) -> Response:
    name = type(error).__name__
    return _envelope(500, "internal", f"a defect of Watchkeeper ({name}); its log has the details")


def _envelope(status: int, kind: str, message: str, headers: object = None) -> Response:
    body = json.dumps({"status": "error", "errorType": kind, "error": message})
    more = dict(headers) if isinstance(headers, dict) else None
    return Response(body, status_code=status, media_type="application/json", headers=more)
