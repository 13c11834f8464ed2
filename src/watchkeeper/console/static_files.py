"""``/static/<digest>/<name>``: the style, the script and the icon, under addresses that change with them."""

from __future__ import annotations

from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

from watchkeeper.console.rendering import Pages

TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
FOR_EVER = "public, max-age=31536000, immutable"


def router(pages: Pages) -> APIRouter:
    """The route; it is open to everybody."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/static/{digest}/{name}")
    async def static(digest: str, name: str) -> Response:
        content = pages.static.get(name)
        if content is None or pages.address(name) != f"/static/{digest}/{name}":
            raise HTTPException(404)
        kind = TYPES[name.rpartition(".")[2]]
        return Response(content, media_type=kind, headers={"Cache-Control": FOR_EVER})

    return routes
