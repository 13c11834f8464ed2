"""Reads the body of a request: bounded in size and in time, so that no sender holds a connection for long.

Always true: no route, also none that lets FastAPI read forms or JSON, sees more than a mebibyte or waits
longer than ten seconds for it (tests/console/test_bodies.py).
"""

from __future__ import annotations

import asyncio

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BYTES = 1 << 20
SECONDS = 10.0
TOO_LARGE = f"the body is larger than {MAX_BYTES >> 20} MiB"


class BodyError(Exception):
    """A body that cannot be taken; ``status`` is HTTP's, the message says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class BoundedBodies:
    """Wraps an application: a body that is too large or too slow ends as 413 or 408, whoever reads it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        size, whole = 0, False
        end = asyncio.get_running_loop().time() + SECONDS

        async def bounded() -> Message:
            nonlocal size, whole
            if whole:  # what comes now is only that the client goes away, which may take its time
                return await receive()
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"the body did not arrive within {SECONDS:g} s") from None
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > MAX_BYTES:
                raise HTTPException(413, TOO_LARGE)
            return message

        await self._app(scope, bounded, send)


async def read_body(request: Request) -> bytes:
    """The whole body. Raises :class:`BodyError`."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
    except HTTPException as error:
        raise BodyError(error.status_code, error.detail) from None
    except ClientDisconnect:
        raise BodyError(400, "the body did not arrive whole") from None
    return bytes(body)
