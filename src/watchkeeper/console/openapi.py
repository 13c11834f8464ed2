"""What the API is, for machines: OpenAPI 3.1, with the scope that each operation needs.

Always true: the scope in the document is the one that the route's dependency checks, and the only errors in
it are those that are answered (tests/console/test_routes.py, tests/console/test_openapi.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi import routing as fastapi_routing

from watchkeeper.access.models import Scope
from watchkeeper.console.gate import NAME

DESCRIPTION = """\
Everything that the pages of Watchkeeper can do, for programs.

Programs send an API token (`Authorization: Bearer wk_...`, made with `watchkeeper tokens create`); its scopes
say what it may do. A browser's session cookie works too, for changes only from Watchkeeper's own pages.

An error is always `{"status": "error", "errorType": ..., "error": ...}`; `error` is a sentence for people.
Bodies are JSON of at most 1 MiB. Times are RFC 3339 in UTC.
"""
_SCHEMES = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "wk_...",
        "description": "An API token; its scopes say what it may do.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": NAME,
        "description": "The cookie of somebody who signed in; behind https its name begins with `__Host-`.",
    },
}


@dataclass(frozen=True, slots=True)
class Guarded:
    """A route's method with what guards it. ``known``: somebody must be signed in; ``scope``: with that."""

    path: str
    method: str
    known: bool
    scope: Scope | None
    in_schema: bool


def guarded(app: FastAPI) -> Iterator[Guarded]:
    """Every route and method of ``app``, with the scope that its dependencies check."""
    walk = getattr(fastapi_routing, "iter_route_contexts", iter)  # before 0.130 the routes were the app's own
    for route in walk(app.routes):
        dependant = getattr(route, "dependant", None)
        calls = [one.call for one in dependant.dependencies] if dependant is not None else []
        guards = [call for call in calls if hasattr(call, "scope")]
        scope = next((call.scope for call in guards if call.scope is not None), None)
        for method in sorted(getattr(route, "methods", None) or ("GET",)):
            path = str(getattr(route, "path_format", "") or getattr(route, "path", ""))
            yield Guarded(path, method, bool(guards), scope, bool(getattr(route, "include_in_schema", False)))


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of ``app``. Made once; the application does not change."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    app.description = DESCRIPTION
    found = app.openapi()
    for path in found["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)  # what is wrong with a request is answered with 400
    schemas = found.get("components", {}).get("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    found.setdefault("components", {})["securitySchemes"] = _SCHEMES
    for route in guarded(app):
        operation = found["paths"].get(route.path, {}).get(route.method.lower())
        if operation is not None and route.known:
            operation["security"] = [{"token": []}, {"session": []}]
            if route.scope is not None:
                operation["x-scope"] = route.scope.value
                said = operation.get("description", "")
                operation["description"] = f"{said}\n\nNeeds the scope `{route.scope}`.".strip()
    return found
