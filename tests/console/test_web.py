"""The role ``web`` as a process: clients that are slow, many or rude keep nobody else waiting."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.app.serving import environment, free_port, until

PROGRAM = """
import sys
from pathlib import Path
from watchkeeper.app.logs import configure_logging
from watchkeeper.app.settings import read_settings
from watchkeeper.cli import web
configure_logging("web")
web.HEAD_SECONDS = 1.0
web.MAX_CONNECTIONS = 60
raise SystemExit(web.run_web(read_settings(data=Path(sys.argv[1]), listen=sys.argv[2])))
"""

HEALTH = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class Web:
    """One process that answers HTTP, with no other role beside it."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self.log = home / "web.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(home), f"127.0.0.1:{self.port}"],
                stdout=log,
                stderr=log,
                env=environment(),
            )
        until(self._answers, 20, "answering")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.get(HEALTH).startswith(b"HTTP/1.1 200")
        except ConnectionRefusedError:
            return False

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def get(self, request: str) -> bytes:
        """Everything that comes back for the bytes of a request."""
        with self.connect() as connection:
            connection.sendall(request.encode("latin-1"))
            found = b""
            while piece := connection.recv(65536):
                found += piece
            return found


@contextmanager
def serving(home: Path) -> Iterator[Web]:
    web = Web(home)
    try:
        yield web
    finally:
        if web.process.poll() is None:
            web.process.kill()
        web.process.wait()


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with serving(tmp_path_factory.mktemp("web")) as started:
        yield started


def closed_within(connection: socket.socket, seconds: float) -> bool:
    connection.settimeout(seconds)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


def test_connections_that_say_nothing_or_too_little_are_ended_and_disturb_nobody(web: Web) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(web.connect()) for _ in range(40)]
        for number, connection in enumerate(slow):
            if number % 2:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        begun = time.monotonic()
        assert web.get(HEALTH).endswith(b"ok\n")
        assert time.monotonic() - begun < 1
        assert all(closed_within(connection, 5) for connection in slow)


def test_a_second_request_on_a_connection_may_not_be_slow_either(web: Web) -> None:
    with web.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /hea")
        assert closed_within(connection, 4)


def test_more_connections_than_there_is_room_for_are_turned_away(web: Web) -> None:
    with ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(web.connect())
        assert web.get(HEALTH).startswith(b"HTTP/1.1 503")
    until(lambda: web.get(HEALTH).startswith(b"HTTP/1.1 200"), 5, "room again")


def test_head_is_answered_without_a_body_and_with_its_length(web: Web) -> None:
    head = web.get(HEALTH.replace("GET", "HEAD"))
    assert head.startswith(b"HTTP/1.1 200")
    assert b"content-length: 3\r\n" in head.lower()
    assert head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "request_text",
    [
        "garbage\r\n\r\n",
        "GET /healthz HTTP/1.1\r\n" + "X: " + "y" * 70000,
        "GET /" + "y" * 70000 + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
        "\x00\xff\xfe\r\n\r\n",
    ],
)
def test_what_is_no_request_is_answered_with_400_or_closed(web: Web, request_text: str) -> None:
    try:
        answer = web.get(request_text)
    except ConnectionError:
        answer = b""
    assert not answer or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 404", b"HTTP/1.1 200")), answer[:80]
    assert web.get(HEALTH).endswith(b"ok\n")
    assert "Traceback" not in web.log.read_text()


def test_a_body_too_large_is_refused_while_it_is_sent(web: Web) -> None:
    with web.connect() as connection:
        kind = "Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n"
        head = f"POST /api/v1/query HTTP/1.1\r\nHost: x\r\n{kind}Content-Length: {1 << 30}\r\n\r\n"
        connection.sendall(head.encode())
        try:
            for _ in range(64):
                connection.sendall(b"x" * (1 << 16))
        except ConnectionError:
            pass
        else:
            assert b" 413 " in connection.recv(65536)


def test_the_end_does_not_wait_for_slow_clients_and_a_reload_is_no_end(tmp_path: Path) -> None:
    with serving(tmp_path) as web, ExitStack() as stack:
        for _ in range(5):
            slow = stack.enter_context(web.connect())
            slow.sendall(b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n")
            slow.sendall(b"Content-Type: application/x-www-form-urlencoded\r\n\r\nq")
        os.kill(web.process.pid, signal.SIGHUP)
        assert web.get(HEALTH).endswith(b"ok\n")
        web.process.terminate()
        begun = time.monotonic()
        web.process.wait(10)
        assert time.monotonic() - begun < 6
        assert "Traceback" not in web.log.read_text()
