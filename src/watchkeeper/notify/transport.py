"""One HTTP POST, bounded in time and size: the port that notifiers send through, and its real form.

Always true of :class:`HttpTransport` (tests/notify/test_transport.py): it is back within ``timeout`` seconds
of total time, even from a server that sends a byte a second or a name server that is silent; it reads at most
``MAX_BODY_BYTES`` of an answer; it follows no redirect; over https it accepts only a certificate that is
valid for that host.

It stands on the standard library's blocking ``http.client``: a delivery runs in a thread of its own, does one
request and waits for it, so an event loop would add nothing but a second way to hang. What ``http.client``
lacks is a limit on the *whole* exchange (its timeout starts anew with every byte), which the socket wrapper
here adds. Proxies are not used.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from watchkeeper.notify.models import NotifyError
from watchkeeper.store.clock import Clock, SystemClock

MAX_BODY_BYTES = 64 << 10
_Address = tuple[int, int, int, str, Any]


class TransportError(NotifyError):
    """No answer came. The request may or may not have arrived."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: ``headers`` with lower-case names, ``body`` cut at ``MAX_BODY_BYTES``."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Transport(Protocol):
    """Sends one POST. The simulation puts its own in this place."""

    def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Response:
        """The server's answer, whatever its status. Raises :class:`TransportError` where none came."""


class HttpTransport:
    """The real one, one connection per request."""

    def __init__(self, clock: Clock | None = None, context: ssl.SSLContext | None = None) -> None:
        self._clock = clock or SystemClock()
        self._context = context

    def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Response:
        """See :class:`Transport`."""
        scheme, host, port, target = _parse(url)
        deadline = _Deadline(self._clock, timeout)
        connection = http.client.HTTPConnection(host, port)
        stream: _BoundedSocket | None = None
        try:
            connection.sock = stream = self._connect(scheme, host, port, deadline)
            connection.request("POST", target, body=body, headers={**headers, "Connection": "close"})
            answer = connection.getresponse()
            content = answer.read(MAX_BODY_BYTES)
            received = {name.lower(): value for name, value in answer.getheaders()}
            return Response(answer.status, received, content)
        except (OSError, http.client.HTTPException) as error:
            raise TransportError(f"{host}: {_reason(error, timeout)}") from None  # the cause may hold the URL
        except ValueError:
            raise TransportError(f"{host}: the request holds what HTTP cannot carry") from None
        finally:
            if stream is not None:
                stream.end()

    def _connect(self, scheme: str, host: str, port: int | None, deadline: _Deadline) -> _BoundedSocket:
        raw = _dial(host, port or (443 if scheme == "https" else 80), deadline)
        if scheme == "http":
            return _BoundedSocket(raw, deadline)
        try:
            if self._context is None:
                self._context = ssl.create_default_context()
            raw.settimeout(deadline.left())
            return _BoundedSocket(self._context.wrap_socket(raw, server_hostname=host), deadline)
        except BaseException:
            raw.close()
            raise


def _parse(url: str) -> tuple[str, str, int | None, str]:
    """Scheme, host, port and target of ``url``."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https"):
        raise TransportError("the receiver's URL is no http or https address; correct it in the runbook")
    return parts.scheme, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


class _Deadline:
    """The end of the whole exchange."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._end = clock.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left; raises :class:`TimeoutError` when none are."""
        seconds = self._end - self._clock.monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds


class _BoundedSocket:
    """What ``http.client`` uses of a socket, each use bounded by what is left of the whole."""

    def __init__(self, raw: socket.socket, deadline: _Deadline) -> None:
        self._raw = raw
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._raw.settimeout(self._deadline.left())
            view = view[self._raw.send(view[: 64 << 10]) :]

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_BoundedStream(self._raw, self._deadline))

    def close(self) -> None:
        """``http.client`` closes its socket before the body is read; ``end`` really does."""

    def end(self) -> None:
        self._raw.close()


class _BoundedStream(io.RawIOBase):
    def __init__(self, raw: socket.socket, deadline: _Deadline) -> None:
        self._raw = raw
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._raw.settimeout(self._deadline.left())
        return self._raw.recv_into(buffer)


def _dial(host: str, port: int, deadline: _Deadline) -> socket.socket:
    """A connection to the first address that takes one, within the deadline for all of them together."""
    failure: OSError = OSError("the name has no address")
    for family, kind, protocol, _, address in _look_up(host, port, deadline):
        try:
            raw = socket.socket(family, kind, protocol)
        except OSError as error:  # a family that this machine does not have
            failure = error
            continue
        try:
            raw.settimeout(deadline.left())
            raw.connect(address)
        except OSError as error:
            raw.close()
            failure = error
            continue
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return raw
    raise failure


def _look_up(host: str, port: int, deadline: _Deadline) -> list[_Address]:
    """The addresses of a name. In a thread of its own, because the resolver takes no time limit."""
    found: list[_Address] = []
    failed: list[OSError] = []

    def ask() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            failed.append(error if isinstance(error, OSError) else socket.gaierror())

    asking = threading.Thread(target=ask, name=f"look-up-{host}", daemon=True)
    asking.start()
    asking.join(deadline.left())
    if failed:
        raise failed[0]
    if asking.is_alive():
        raise TimeoutError
    return found


def _reason(error: Exception, timeout: float) -> str:
    """Why no answer came, in words without URL or header."""
    if isinstance(error, TimeoutError):
        return f"no complete answer within {timeout:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or type(error).__name__})"
    if isinstance(error, socket.gaierror):
        return "the name cannot be resolved"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return f"what came is not HTTP ({type(error).__name__})"
