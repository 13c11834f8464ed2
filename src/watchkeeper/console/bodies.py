"""Reads the body of a request: bounded in size and in time, so that no sender holds a connection for long."""

from __future__ import annotations

import asyncio

from fastapi import Request
from starlette.requests import ClientDisconnect

MAX_BYTES = 1 << 20
SECONDS = 10.0


class BodyError(Exception):
    """A body that cannot be taken; ``status`` is HTTP's, the message says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def read_body(request: Request) -> bytes:
    """The whole body. Raises :class:`BodyError`."""
    body = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise BodyError(413, f"the body is larger than {MAX_BYTES >> 20} MiB")
    except TimeoutError:
        raise BodyError(408, f"the body did not arrive within {SECONDS:g} s") from None
    except ClientDisconnect:
        raise BodyError(400, "the body did not arrive whole") from None
    return bytes(body)
