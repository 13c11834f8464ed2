"""HTTP requests, against real servers on loopback."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.playbooks.providers.contexts import context
from watchkeeper.playbooks.ports import StepFailed
from watchkeeper.playbooks.providers.http import MAX_BODY_BYTES, HttpRequest


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    seen: list[dict[str, Any]]
    other: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def _answer(self) -> None:
        length = int(self.headers.get("content-length", 0))
        self.server.seen.append(
            {
                "method": self.command,
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "body": self.rfile.read(length).decode(),
            }
        )
        status, headers, body = 200, {}, b'{"healthy": true, "lag": 3}'
        match self.path:
            case "/away":
                status, headers = 302, {"Location": f"{self.server.other}/there"}
            case "/near":
                status, headers = 302, {"Location": "/there"}
            case "/loop":
                status, headers = 302, {"Location": "/loop"}
            case "/broken":
                status, body = 503, b"the pool is\n  empty"
            case "/missing":
                status, body = 404, b""
            case "/huge":
                body = b"x" * (MAX_BODY_BYTES * 4)
            case "/slow":
                time.sleep(3)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(body)

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass


def _serve() -> _Server:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def server() -> Iterator[_Server]:
    served = _serve()
    yield served
    served.shutdown()
    served.server_close()


def test_the_answer_is_the_outputs_and_the_key_is_sent(server: _Server) -> None:
    outcome = HttpRequest().run(context({"url": f"{server.url}/x?a=1", "json": {"n": 1}, "bearer": "t0ken"}))
    assert (outcome.outputs["status"], outcome.outputs["healthy"], outcome.outputs["lag"]) == (200, True, 3)
    assert outcome.summary == "POST to 127.0.0.1: 200"
    (seen,) = server.seen
    assert (seen["method"], seen["path"], json.loads(seen["body"])) == ("POST", "/x?a=1", {"n": 1})
    assert seen["headers"]["idempotency-key"] == "r1/s"
    assert seen["headers"]["authorization"] == "Bearer t0ken"
    assert seen["headers"]["content-type"] == "application/json"


def test_another_status_fails_unless_it_is_expected(server: _Server) -> None:
    with pytest.raises(StepFailed, match=r"was answered with 503: the pool is empty") as caught:
        HttpRequest().run(context({"url": f"{server.url}/broken"}))
    assert caught.value.unsure
    with pytest.raises(StepFailed, match="answered with 404") as caught:
        HttpRequest().run(context({"url": f"{server.url}/missing", "method": "delete"}))
    assert not caught.value.unsure
    found = HttpRequest().run(context({"url": f"{server.url}/missing"}, expect={"status": 404}))
    assert found.outputs["status"] == 404


def test_a_redirect_is_followed_only_to_the_same_origin_and_only_when_reading(server: _Server) -> None:
    assert HttpRequest().run(context({"url": f"{server.url}/near"})).outputs["healthy"] is True
    other = _serve()
    server.other = other.url
    try:
        with pytest.raises(StepFailed, match=r"answered with 302 \(redirects to .* is not followed"):
            HttpRequest().run(context({"url": f"{server.url}/away", "bearer": "t0ken"}))
        assert other.seen == []
    finally:
        other.shutdown()
        other.server_close()
    with pytest.raises(StepFailed, match="answered with 302"):
        HttpRequest().run(context({"url": f"{server.url}/near", "body": "x"}))
    with pytest.raises(StepFailed, match="more than 5 redirects"):
        HttpRequest().run(context({"url": f"{server.url}/loop"}))


def test_a_huge_answer_is_cut(server: _Server) -> None:
    assert len(HttpRequest().run(context({"url": f"{server.url}/huge"})).outputs["body"]) == MAX_BODY_BYTES


def test_it_ends_in_time_and_when_it_is_stopped(server: _Server) -> None:
    began = time.monotonic()
    with pytest.raises(StepFailed, match=r"did not answer within 0\.5 s") as caught:
        HttpRequest().run(context({"url": f"{server.url}/slow"}, timeout=0.5))
    assert caught.value.unsure
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(StepFailed, match="was stopped"):
        HttpRequest().run(context({"url": f"{server.url}/slow"}, stop=stop))
    assert time.monotonic() - began < 3


def test_nobody_there_is_said_and_nothing_happened() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(StepFailed, match=r"127\.0\.0\.1 cannot be reached") as caught:
        HttpRequest().run(context({"url": f"http://127.0.0.1:{port}/"}))
    assert not caught.value.unsure


@pytest.mark.parametrize(
    ("with_", "message"),
    [
        ({}, "needs url"),
        ({"url": "ftp://x/"}, "no http or https address"),
        ({"url": "http://x/", "methd": "GET"}, "unknown key 'methd'"),
        ({"url": "http://x/", "method": "BREW"}, "method of `with` is 'BREW'"),
        ({"url": "http://x/", "json": 1, "body": "x"}, "give one"),
        ({"url": "http://x/", "headers": {"X": "a\r\nY: b"}}, "what HTTP cannot carry"),
        ({"url": "http://x/", "basic": {"username": "u"}}, "has username and password"),
    ],
)
def test_what_is_no_request_is_said_before_anything_is_sent(with_: dict[str, Any], message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        HttpRequest().run(context(with_))
