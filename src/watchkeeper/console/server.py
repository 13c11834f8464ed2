"""The web application: what answers at which address. Imported only by the role ``web``.

Always true: every response carries the strict headers, also errors and what nothing answers; HEAD is answered
as GET without its body; a refusal or a defect is answered to programs as Prometheus' envelope, and only the
log has the details (tests/console/test_server.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from watchkeeper import __version__
from watchkeeper.access.models import Scope as AccessScope
from watchkeeper.app.wire import WireError
from watchkeeper.console import health, overview, prometheus, static_files, stream, webhooks
from watchkeeper.console.api import API
from watchkeeper.console.bodies import BoundedBodies
from watchkeeper.console.console import Console
from watchkeeper.console.gate import ForbiddenError, SignInNeededError, needs, sign_in_address
from watchkeeper.console.openapi import document
from watchkeeper.console.pages import PAGES, sign_in
from watchkeeper.console.parameters import ParameterError
from watchkeeper.console.policy import NoPolicyError
from watchkeeper.console.rendering import seen_other
from watchkeeper.store.errors import StoreError

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_LINKS = "/sign-in/link/"
_OF_LINKS = {**_HEADERS, "Referrer-Policy": "strict-origin"}
"""A link's address lets in, and a Referer stands in the access logs of proxies. ``no-referrer`` would also
take the Origin away, by which browsers without TLS show that a form is ours."""
_KINDS = {
    400: "bad_data", 403: "forbidden", 404: "not_found", 405: "bad_data", 408: "timeout", 409: "conflict",
    413: "bad_data", 429: "throttled", 503: "unavailable",
}  # fmt: skip


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
        wanted = _OF_LINKS if scope["path"].startswith(_LINKS) else _HEADERS

        async def strict(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in wanted.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, strict)


_REFUSALS = (
    HTTPException,
    SignInNeededError,
    ForbiddenError,
    RequestValidationError,
    ParameterError,
    StoreError,
    WireError,
    NoPolicyError,
)
"""What is raised by routes and answered in words; everything else is a defect."""


def create_app(console: Console, registry: CollectorRegistry) -> ASGIApp:
    """The application. ``registry`` holds this process' own metrics."""
    return StrictHeaders(BoundedBodies(application(console, registry)))


def application(console: Console, registry: CollectorRegistry) -> FastAPI:
    """What answers at which address, without the headers."""
    app = FastAPI(
        title="Watchkeeper",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.gate = console.gate
    may_read, may_query = Depends(needs(AccessScope.READ)), Depends(needs(AccessScope.METRICS))
    app.include_router(prometheus.router(console.roles, console.clock), dependencies=[may_query])
    app.include_router(overview.router(console.roles), dependencies=[may_read])
    app.include_router(webhooks.router(console.roles))
    app.include_router(health.router(console.roles, registry))
    app.include_router(static_files.router(console.pages))
    app.include_router(stream.router(console.stream))
    app.include_router(sign_in.router(console))
    for module in (*PAGES, *API):
        app.include_router(module.router(console))

    @app.get("/api/openapi.json", include_in_schema=False, dependencies=[may_read])
    async def openapi() -> Response:
        return Response(json.dumps(document(app)), media_type="application/json")

    async def refused(request: Request, error: Exception) -> Response:
        return await _refused(console, request, error)

    for kind in _REFUSALS:
        app.add_exception_handler(kind, refused)
    app.add_exception_handler(Exception, _defect)
    return app


async def _refused(console: Console, request: Request, error: Exception) -> Response:
    """An answer for a request that cannot be granted: a page for people, an envelope for programs."""
    path = request.url.path
    headers: Mapping[str, str] | None = None
    if isinstance(error, SignInNeededError):
        if _for_people(request):
            return seen_other(sign_in_address(request) if request.method == "GET" else "/sign-in")
        status, headers = 401, {"WWW-Authenticate": 'Bearer realm="Watchkeeper"'}
        kind, message = "unauthorized", "sign in, or send an API token as Authorization: Bearer wk_..."
    elif isinstance(error, ForbiddenError):
        status, kind, message = 403, "forbidden", str(error)
    elif isinstance(error, RequestValidationError):
        status, kind, message = 400, "bad_data", _invalid(error)
    elif isinstance(error, ParameterError):
        status, kind, message = 400, "bad_data", str(error)
    elif isinstance(error, (StoreError, WireError, NoPolicyError)):
        status, kind, message = 503, "unavailable", str(error)
    else:
        assert isinstance(error, HTTPException)
        status, headers = error.status_code, error.headers
        kind, message = _KINDS.get(status, "internal"), error.detail
        if status == 404 and message in ("", "Not Found"):
            message = f"nothing answers at {path}"
        elif status == 405:
            message = f"{path} does not answer {request.method}"
    if not _for_people(request):
        return _envelope(status, kind, message, headers)
    try:
        identity = await console.gate.identify(request)
    except StoreError:
        identity = None
    return await console.page(request, identity, "refused.html", status=status, message=message)


def _for_people(request: Request) -> bool:
    path = request.url.path
    return not path.startswith(("/api/", "/events", "/static/")) and "text/html" in request.headers.get(
        "accept", ""
    )


def _invalid(error: RequestValidationError) -> str:
    said = [
        f"{'.'.join(str(part) for part in one['loc'][1:]) or one['loc'][0]}: {one['msg']}"
        for one in error.errors()[:10]
    ]
    return "; ".join(said)


def _defect(_: Request, error: Exception) -> Response:
    name = type(error).__name__
    return _envelope(500, "internal", f"a defect of Watchkeeper ({name}); its log has the details")


def _envelope(status: int, kind: str, message: str, headers: object = None) -> Response:
    body = json.dumps({"status": "error", "errorType": kind, "error": message})
    more = dict(headers) if isinstance(headers, dict) else None
    return Response(body, status_code=status, media_type="application/json", headers=more)
