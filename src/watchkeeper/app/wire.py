"""How two roles on one machine talk: one JSON line each way, over a unix socket in the data directory.

The directory's permissions are the access control. A question that fails answers with an error that says
why; it never ends the role that was asked. Bodies pass through as bytes, so that what one role has already
rendered as JSON is not parsed again by the next (tests/app/test_wire.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

MAX_LINE_BYTES = 256 << 20
Handler = Callable[[dict[str, Any]], Awaitable[bytes]]
"""Takes a question's parameters, answers with a JSON document as UTF-8 bytes without a line break."""


class WireError(Exception):
    """The other role cannot be asked, or refused: the message says which and why."""

    def __init__(self, message: str, *, kind: str = "unavailable") -> None:
        super().__init__(message)
        self.kind = kind


class RefusedError(Exception):
    """Raised by a handler for a question that cannot be answered; ``kind`` is machine-readable."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


async def serve(path: Path, handlers: Mapping[str, Handler]) -> asyncio.Server:
    """Answer questions on the socket ``path`` until the returned server is closed."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(await _answer(line, handlers) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError, asyncio.LimitOverrunError):
            pass  # the asker went away or sent what is no line: nothing of ours is lost
        finally:
            writer.close()

    with _near(path) as address:
        server = await asyncio.start_unix_server(connection, address, limit=1 << 20)
    path.chmod(0o600)
    return server


async def _answer(line: bytes, handlers: Mapping[str, Handler]) -> bytes:
    try:
        question = json.loads(line)
        handler = handlers[question["ask"]]
    except (ValueError, KeyError, TypeError):
        return _failure("bad_data", "not a question that this role answers")
    try:
        return b'{"ok":' + await handler(question.get("with") or {}) + b"}"
    except RefusedError as error:
        return _failure(error.kind, str(error))
    except Exception as error:
        # The role must go on watching whatever one question does to it; the asker and the log are told.
        log.exception("the question %s failed", question["ask"])
        return _failure("internal", f"{type(error).__name__}: {error}")


def _failure(kind: str, message: str) -> bytes:
    return b'{"error":' + json.dumps({"kind": kind, "message": message}).encode() + b"}"


async def ask(path: Path, question: str, parameters: Mapping[str, Any], timeout_seconds: float) -> bytes:
    """The JSON document that the role behind ``path`` answers.

    Raises :class:`WireError`: ``unavailable`` when the role does not run or does not answer in time, else
    the kind that the role itself gave.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            with _near(path) as address:
                reader, writer = await asyncio.open_unix_connection(address, limit=MAX_LINE_BYTES)
            try:
                writer.write(json.dumps({"ask": question, "with": parameters}).encode() + b"\n")
                await writer.drain()
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError) as error:
        reason = "it did not answer in time" if isinstance(error, TimeoutError) else "it is not running"
        raise WireError(f"the role behind {path.name} cannot be asked: {reason}") from None
    return _unwrap(path, line)


def ask_blocking(path: Path, question: str, parameters: Mapping[str, Any], timeout_seconds: float) -> bytes:
    """As :func:`ask`, for code without an event loop."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_seconds)
            with _near(path) as address:
                connection.connect(address)
            connection.sendall(json.dumps({"ask": question, "with": parameters}).encode() + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline(MAX_LINE_BYTES)
    except OSError as error:
        reason = "it did not answer in time" if isinstance(error, TimeoutError) else "it is not running"
        raise WireError(f"the role behind {path.name} cannot be asked: {reason}") from None
    return _unwrap(path, line)


def _unwrap(path: Path, line: bytes) -> bytes:
    if line.startswith(b'{"ok":') and line.endswith(b"}\n"):
        return line[len(b'{"ok":') : -2]
    try:
        error = json.loads(line)["error"]
    except (ValueError, KeyError, TypeError):
        raise WireError(f"the role behind {path.name} ended while it answered") from None
    raise WireError(error["message"], kind=error["kind"])


@contextlib.contextmanager
def _near(path: Path) -> Any:
    """A name for ``path`` that fits a socket address (108 bytes), however deep the data directory is."""
    if len(os.fsencode(path)) < 100:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
