"""The real transport, against real servers that misbehave: bounded in time and size, strict about TLS."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.certificates import certificate
from watchkeeper.notify import transport
from watchkeeper.notify.transport import MAX_BODY_BYTES, HttpTransport, TransportError

TIMEOUT = 0.6
SLACK = 1.5
OK = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\nok"
Talk = Callable[[socket.socket, threading.Event], None]


@contextmanager
def _server(talk: Talk, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server on loopback that accepts connections and lets ``talk`` treat each."""
    ended = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def one(connection: socket.socket) -> None:
        with connection:
            try:
                if context:
                    connection = context.wrap_socket(connection, server_side=True)
                talk(connection, ended)
            except OSError:
                pass  # the client has had enough

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def _answering(answer: bytes, requests: list[bytes] | None = None) -> Talk:
    def talk(connection: socket.socket, ended: threading.Event) -> None:
        request = _read_request(connection)
        if requests is not None:
            requests.append(request)
        connection.sendall(answer)

    return talk


def _drip(answer: bytes) -> Talk:
    def talk(connection: socket.socket, ended: threading.Event) -> None:
        _read_request(connection)
        for byte in answer:
            connection.sendall(bytes([byte]))
            if ended.wait(0.1):
                return

    return talk


def _silent(connection: socket.socket, ended: threading.Event) -> None:
    ended.wait(30)


def _post(
    port: int, body: bytes = b"{}", scheme: str = "http", host: str = "127.0.0.1"
) -> transport.Response:
    return HttpTransport().post(f"{scheme}://{host}:{port}/a?b=c", {"X-Y": "z"}, body, TIMEOUT)


def _refused_in_time(port: int, words: str, **given: str | bytes) -> None:
    began = time.monotonic()
    with pytest.raises(TransportError, match=words) as caught:
        _post(port, **given)  # type: ignore[arg-type]
    assert time.monotonic() - began < TIMEOUT + SLACK
    assert "b=c" not in str(caught.value)


def test_a_post_arrives_whole_and_its_answer_comes_back() -> None:
    requests: list[bytes] = []
    with _server(_answering(OK, requests)) as port:
        answer = _post(port, b'{"a": 1}')
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (202, b"ok", "7")
    head, _, body = requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /a?b=c HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{port}".encode() in head
    assert b"X-Y: z" in head
    assert body == b'{"a": 1}'


def test_a_large_body_arrives_whole() -> None:
    requests: list[bytes] = []
    with _server(_answering(OK, requests)) as port:
        _post(port, b"x" * 500_000)
    assert requests[0].endswith(b"x" * 500_000)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 202 Accepted\r\nX: " + b"y" * 500, OK[:-2] + b"o" * 500])
def test_a_server_that_drips_bytes_is_left_when_the_time_is_over(answer: bytes) -> None:
    with _server(_drip(answer.replace(b"Content-Length: 2", b"Content-Length: 500"))) as port:
        _refused_in_time(port, r"no complete answer within 0\.6 s")


def test_a_server_that_says_nothing_is_left_when_the_time_is_over() -> None:
    with _server(_silent) as port:
        _refused_in_time(port, "no complete answer")


def test_a_server_that_does_not_read_is_left_when_the_time_is_over() -> None:
    with _server(_silent) as port:
        _refused_in_time(port, "no complete answer", body=b"x" * 20_000_000)


def test_a_tls_handshake_that_never_ends_is_left_when_the_time_is_over() -> None:
    with _server(_silent) as port:
        _refused_in_time(port, "no complete answer", scheme="https")


def test_endless_interim_answers_are_left_when_the_time_is_over() -> None:
    def talk(connection: socket.socket, ended: threading.Event) -> None:
        while not ended.wait(0.01):
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    with _server(talk) as port:
        _refused_in_time(port, "no complete answer")


def test_a_name_server_that_is_silent_is_left_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def silent(*_given: object, **_named: object) -> list[object]:
        ended.wait(10)
        return []

    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", silent)
        _refused_in_time(9, "no complete answer", host="name.invalid")
    ended.set()


def test_an_endless_body_is_read_no_further_than_the_limit() -> None:
    def talk(connection: socket.socket, ended: threading.Event) -> None:
        _read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not ended.is_set():
            connection.sendall(b"x" * 65536)

    with _server(talk) as port:
        assert len(_post(port).body) == MAX_BODY_BYTES


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    requests: list[bytes] = []
    with _server(_answering(OK, requests)) as elsewhere:
        moved = f"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:{elsewhere}/\r\nContent-Length: 0\r\n\r\n"
        with _server(_answering(moved.encode())) as port:
            assert _post(port).status == 307
    assert requests == []


@pytest.mark.parametrize(
    "answer", [b"", b"\x00\x01\x02\r\n\r\n", b"HTTP/1.1 what\r\n\r\n", b"SSH-2.0-OpenSSH\r\n"]
)
def test_what_is_not_http_is_an_error_with_a_reason(answer: bytes) -> None:
    with _server(_answering(answer)) as port:
        _refused_in_time(port, "127.0.0.1: ")


def test_a_connection_that_breaks_off_before_the_answer_is_an_error() -> None:
    with _server(_answering(b"HTTP/1.1 2")) as port:
        _refused_in_time(port, "127.0.0.1: ")


def test_an_answer_whose_body_breaks_off_is_still_that_answer() -> None:
    with _server(_answering(b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\nonly this")) as port:
        assert (_post(port).status, _post(port).body) == (202, b"only this")


def test_a_body_that_comes_after_the_head_is_read_whole() -> None:
    def talk(connection: socket.socket, ended: threading.Event) -> None:
        _read_request(connection)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 11\r\n\r\n")
        ended.wait(0.1)
        connection.sendall(b"the errors.")

    with _server(talk) as port:
        assert _post(port).body == b"the errors."


def test_nobody_listening_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    _refused_in_time(port, "Connection refused")


@pytest.mark.parametrize(
    "url", ["ftp://x/", "file:///etc/passwd", "x", "http://", "http://[::1", "http://h:99999/"]
)
def test_an_address_that_is_none_is_an_error_without_the_address(url: str) -> None:
    with pytest.raises(TransportError) as caught:
        HttpTransport().post(url, {}, b"", TIMEOUT)
    assert url not in str(caught.value) or url == "x"


def test_a_header_cannot_be_smuggled_in() -> None:
    with _server(_answering(OK)) as port, pytest.raises(TransportError):
        HttpTransport().post(f"http://127.0.0.1:{port}/", {"X": "a\r\nEvil: b"}, b"", TIMEOUT)


# --- TLS


def test_over_https_only_a_trusted_certificate_for_that_host_is_accepted(tmp_path: Path) -> None:
    path, context = certificate(tmp_path, "localhost")
    trusting = HttpTransport(context=ssl.create_default_context(cafile=str(path)))
    with _server(_answering(OK), context) as port:
        assert trusting.post(f"https://localhost:{port}/", {}, b"{}", 5).status == 202
        with pytest.raises(TransportError, match="certificate is not accepted"):
            trusting.post(f"https://127.0.0.1:{port}/", {}, b"{}", 5)
        with pytest.raises(TransportError, match="certificate is not accepted"):
            HttpTransport().post(f"https://localhost:{port}/", {}, b"{}", 5)


def test_dripping_over_tls_is_bounded_too(tmp_path: Path) -> None:
    path, context = certificate(tmp_path, "localhost")
    trusting = HttpTransport(context=ssl.create_default_context(cafile=str(path)))
    with _server(_drip(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 500), context) as port:
        began = time.monotonic()
        with pytest.raises(TransportError, match="no complete answer"):
            trusting.post(f"https://localhost:{port}/", {}, b"{}", TIMEOUT)
        assert time.monotonic() - began < TIMEOUT + SLACK
