"""A real HTTP server on loopback that serves expositions, well or badly.

State and checks: it counts requests per path, remembers the last request's headers, and refuses wrong
credentials itself. Every misbehaviour ends when the client goes away or :meth:`Exporter.close` is called.
"""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@dataclass
class Reply:
    """An answer. ``stream`` sends pieces without announcing their length, and closes at the end."""

    body: bytes = b""
    status: int = 200
    content_type: str = TEXT
    headers: dict[str, str] = field(default_factory=dict)
    stream: Iterator[bytes] | None = None


@dataclass
class Ask:
    """A request as it arrived."""

    path: str
    query: str
    headers: dict[str, str]


Handler = Callable[[Ask], Reply]


def _absent(ask: Ask) -> Reply:
    return Reply(b"not here", 404)


class Exporter:
    """Serves ``routes`` (path -> handler, or a fixed body). Use as a context manager."""

    def __init__(self, routes: dict[str, Handler | bytes] | None = None, tls: ssl.SSLContext | None = None):
        self.routes: dict[str, Handler | bytes] = dict(routes or {})
        self.requests: Counter[str] = Counter()
        self.connections = 0
        self.last: Ask | None = None
        self.closing = threading.Event()
        exporter = self

        class _Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                exporter.connections += 1

            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                ask = exporter.last = Ask(path, query, {k.lower(): v for k, v in self.headers.items()})
                exporter.requests[path] += 1
                handler = exporter.routes.get(path, _absent)
                self._send(Reply(handler) if isinstance(handler, bytes) else handler(ask))

            def _send(self, reply: Reply) -> None:
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.content_type)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if reply.stream is None:
                    self.send_header("Content-Length", str(len(reply.body)))
                    self.end_headers()
                    self.wfile.write(reply.body)
                    return
                self.close_connection = True
                self.send_header("Connection", "close")
                self.end_headers()
                for piece in reply.stream:
                    if exporter.closing.is_set():
                        return
                    self.wfile.write(piece)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        class _Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # clients that hang up are what many of the tests are about

        self._server = _Server(("127.0.0.1", 0), _Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.scheme = "https" if tls else "http"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def url(self, path: str = "/metrics") -> str:
        """The URL of ``path``."""
        return f"{self.scheme}://{self.address}{path}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving and let go of the port."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    # -- misbehaviours -------------------------------------------------------------------------

    def drip(self, seconds: float = 0.05) -> Handler:
        """A byte now and then, for ever."""

        def pieces() -> Iterator[bytes]:
            while not self.closing.wait(seconds):
                yield b"#"

        return lambda ask: Reply(stream=pieces())

    def endless(self, total: int = 1 << 30) -> Handler:
        """``total`` bytes of valid samples."""
        block = b"".join(b'filler{n="%06d"} 1\n' % n for n in range(4000))

        def pieces() -> Iterator[bytes]:
            for _ in range(total // len(block)):
                yield block

        return lambda ask: Reply(stream=pieces())

    def silence(self) -> Handler:
        """No answer at all until the exporter closes."""

        def wait(ask: Ask) -> Reply:
            self.closing.wait(60)
            return Reply()

        return wait


def gzipped(body: bytes, content_type: str = TEXT) -> Handler:
    """``body`` as a gzip-packed answer."""
    return lambda ask: Reply(
        gzip.compress(body), content_type=content_type, headers={"Content-Encoding": "gzip"}
    )


def redirect(to: str, status: int = 302) -> Handler:
    """A redirection."""
    return lambda ask: Reply(status=status, headers={"Location": to})


def label_bomb(series: int) -> Handler:
    """New series under new names with every request."""
    state = Counter[str]()

    def bomb(ask: Ask) -> Reply:
        state["visit"] += 1
        visit = state["visit"]
        return Reply(b"".join(b'bomb_%d{id="%d-%d"} 1\n' % (visit, visit, n) for n in range(series)))

    return bomb


class MuteListener:
    """A TCP port that accepts connections and never says a word, not even a TLS handshake."""

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=16)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self._socket.getsockname()[1]}"


def closed_port() -> str:
    """host:port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"
