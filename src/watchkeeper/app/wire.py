"""How two roles on one machine talk: one JSON line each way, over a unix socket in the data directory.

The directory's permissions are the access control. A question that fails answers with an error that says
why; it never ends the role that was asked. Bodies pass through as bytes, so that what one role has already
rendered as JSON is not parsed again by the next; an answer larger than 64 MiB is an error instead. A role
that ends does not wait for those who ask (tests/app/test_wire.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

MAX_QUESTION_BYTES = 16 << 20
MAX_ANSWER_BYTES = 64 << 20
"""Each is held in memory a few times on its way; nobody reads more than this in one piece."""
_ENVELOPE_BYTES = 64
Handler = Callable[[dict[str, Any]], Coroutine[Any, Any, bytes]]
"""Takes a question's parameters, answers with a JSON document as UTF-8 bytes without a line break."""


TOO_LARGE = (
    f"the answer is larger than {MAX_ANSWER_BYTES >> 20} MiB: select fewer series, a shorter time "
    "or a longer step, or set a limit"
)


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


class InUseError(Exception):
    """Another process of the same role answers at that socket already; the message says where."""


class Listening:
    """Answers questions until it is closed; a context manager. Made by :func:`serve`."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self, path: Path) -> None:
        """Listen at ``path``. Raises :class:`InUseError`, or OSError where no socket can be made."""
        if path.exists():
            if _answered(path):
                raise InUseError(f"another process answers at {path} already; nothing of it was touched")
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        with _near(path) as address:
            self._server = await asyncio.start_unix_server(
                self._connected, address, limit=MAX_QUESTION_BYTES, start_serving=False
            )
        path.chmod(0o600)
        await self._server.start_serving()

    async def close(self) -> None:
        """Stop, also in the middle of an answer."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def __aenter__(self) -> Listening:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._converse(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                for piece in await _answer(line, self._handlers):
                    writer.write(piece)
                await writer.drain()
        except ValueError:
            writer.write(_failure("bad_data", f"a question is a line of at most {MAX_QUESTION_BYTES} bytes"))
            writer.write(b"\n")
        except ConnectionError:
            pass  # the asker went away: nothing of ours is lost
        finally:
            writer.close()


async def serve(path: Path, handlers: Mapping[str, Handler]) -> Listening:
    """Answer questions on the socket ``path`` until what is returned is closed (``async with``)."""
    listening = Listening(handlers)
    await listening.open(path)
    return listening


def _answered(path: Path) -> bool:
    """Whether a living process listens at ``path``; a socket that was left behind refuses."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, _near(path) as address:
        probe.settimeout(1)
        try:
            probe.connect(address)
        except TimeoutError:
            return True  # its backlog is full: somebody is there, and busy
        except OSError:
            return False
        return True


async def _answer(line: bytes, handlers: Mapping[str, Handler]) -> Sequence[bytes]:
    try:
        question = json.loads(line)
        handler = handlers[question["ask"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return (_failure("bad_data", "not a question that this role answers"), b"\n")
    try:
        body = await handler(question.get("with") or {})
    except RefusedError as error:
        return (_failure(error.kind, str(error)), b"\n")
    except Exception as error:
        # The role must go on watching whatever one question does to it; the asker and the log are told.
        log.exception("the question %s failed", question["ask"])
        return (_failure("internal", f"a defect of Watchkeeper ({type(error).__name__}); see its log"), b"\n")
    if len(body) > MAX_ANSWER_BYTES:
        return (_failure("execution", TOO_LARGE), b"\n")
    return (b'{"ok":', body, b"}\n")


def _failure(kind: str, message: str) -> bytes:
    return b'{"error":' + json.dumps({"kind": kind, "message": message}).encode() + b"}"


async def ask(path: Path, question: str, parameters: Mapping[str, Any], timeout_seconds: float) -> bytes:
    """The JSON document that the role behind ``path`` answers.

    Raises :class:`WireError`: ``unavailable`` when the role does not run, ``timeout`` when it does not answer
    in time, else the kind that the role itself gave.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            with _near(path) as address:
                reader, writer = await asyncio.open_unix_connection(
                    address, limit=MAX_ANSWER_BYTES + _ENVELOPE_BYTES
                )
            try:
                writer.write(json.dumps({"ask": question, "with": parameters}).encode() + b"\n")
                await writer.drain()
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, ValueError) as error:
        raise _unanswered(path, error) from None
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
                line = stream.readline(MAX_ANSWER_BYTES + _ENVELOPE_BYTES)
    except OSError as error:
        raise _unanswered(path, error) from None
    return _unwrap(path, line)


def _unanswered(path: Path, error: OSError | ValueError) -> WireError:
    role = path.name.removesuffix(".sock")
    if isinstance(error, TimeoutError):
        return WireError(f"the role {role} did not answer in time", kind="timeout")
    if isinstance(error, ValueError):
        return WireError(TOO_LARGE, kind="execution")
    return WireError(f"the role {role} is not running; it is started again by `watchkeeper serve`")


def _unwrap(path: Path, line: bytes) -> bytes:
    if line.startswith(b'{"ok":') and line.endswith(b"}\n"):
        return line[len(b'{"ok":') : -2]
    try:
        error = json.loads(line)["error"]
    except (ValueError, KeyError, TypeError):
        role = path.name.removesuffix(".sock")
        raise WireError(f"the role {role} ended while it answered; ask again") from None
    raise WireError(error["message"], kind=error["kind"])


@contextlib.contextmanager
def _near(path: Path) -> Iterator[str]:
    """A name for ``path`` that fits a socket address (108 bytes), however deep the data directory is."""
    if len(os.fsencode(path)) < 100:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
