"""``--server``: the same commands on another machine's Watchkeeper, over real HTTP, with the same output."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from typer.testing import CliRunner, Result

from tests.console.asgi import Grounds
from tests.console.platform import FIRING, furnish, target, watching
from watchkeeper.access import tokens
from watchkeeper.access.models import Role, Scope
from watchkeeper.cli.main import app
from watchkeeper.store import journal


@contextmanager
def _serving(on: Grounds) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(on.app(watching(target(1))), log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


class There:
    """A Watchkeeper that is asked over HTTP, and in its own data directory."""

    def __init__(self, on: Grounds, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on, self.address = on, address
        self._environment = monkeypatch
        self.be(Role.RESPONDER)

    def be(self, role: Role) -> None:
        self._environment.setenv("WATCHKEEPER_TOKEN", self.on.tokens[role])

    def ask(self, *words: str) -> Result:
        return CliRunner().invoke(app, [*words, "--server", self.address])

    def here(self, *words: str) -> Result:
        return CliRunner().invoke(app, [*words, "--data", str(self.on.settings.data)])

    def last(self, kind: str) -> journal.Entry:
        with self.on.store.read() as conn:
            return journal.entries(conn, journal.Filter(kind=kind), 1)[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Grounds, str]]:
    on = Grounds(tmp_path_factory.mktemp("remote"))
    furnish(on)
    with _serving(on) as address:
        yield on, address
    on.store.close()


@pytest.fixture
def there(place: tuple[Grounds, str], monkeypatch: pytest.MonkeyPatch) -> There:
    on, address = place
    monkeypatch.setenv("WATCHKEEPER_RUNBOOK", str(on.settings.runbook))
    return There(on, address, monkeypatch)


@pytest.mark.parametrize(
    "command",
    [
        "alerts",
        "alerts --all",
        "alerts --json",
        "silences",
        "silences --all --json",
        "oncall now",
        "oncall now --json",
        "oncall override --list",
        "journal tail -n 5",
        "journal tail -n 5 --json",
        "journal search --kind access.* --since 1h",
        "journal search --subject user:viewer --json",
        "journal verify",
        "journal verify --json",
        "silences add service=nothing --for 1h --preview",
    ],
)
def test_the_output_is_the_same_as_there(there: There, command: str) -> None:
    words = command.split()
    far, near = there.ask(*words), there.here(*words)
    assert near.exit_code == 0, near.output
    assert (far.exit_code, far.stdout) == (0, near.stdout), far.output


def test_the_schedule_is_the_same_as_there(there: There) -> None:
    for more in ((), ("--json",)):
        words = ("oncall", "schedule", "--from", "2026-03-02 09:00", "--weeks", "2", *more)
        assert there.ask(*words).stdout == there.here(*words).stdout
    calendar = there.ask("oncall", "schedule", "--ical").stdout
    assert calendar.startswith("BEGIN:VCALENDAR")


def test_what_is_done_there_is_the_tokens_doing(there: There) -> None:
    taken = there.ask("alerts", "ack", FIRING, "--note", "rolling back")
    assert taken.stdout == "token:responder has ApiErrorRatePage; no receiver had been told of it\n"
    assert there.last("alert.acknowledged").actor == "token:responder"
    assert there.ask("alerts", "ack", "--all").stdout == "token:responder had it already\n"
    made = there.ask("silences", "add", "service=queue", "--for", "1h", "--reason", "a test")
    assert made.exit_code == 0, made.output
    assert there.last("silence.created").actor == "token:responder"
    number = made.stdout.split()[1]
    assert "over" in there.ask("silences", "end", number).stdout
    assert there.last("silence.ended").actor == "token:responder"
    book = there.on.put_in_force(there.on.settings.runbook.read_text()).runbook
    stood = there.ask("oncall", "override", book.contacts[0].id, "--to", "2150-01-01 10:00")
    assert "longer than 90 days" in stood.stderr
    until = (there.on.clock.now() + timedelta(hours=5)).isoformat(timespec="minutes")
    stood = there.ask("oncall", "override", book.contacts[0].id, "--to", until)
    assert stood.exit_code == 0, stood.output
    number = stood.stdout.splitlines()[-1].split()[-1]
    assert there.ask("oncall", "override", "--cancel", number).exit_code == 0
    assert there.last("oncall.override_cancelled").actor == "token:responder"


def test_who_may_not_is_told_and_changes_nothing(there: There) -> None:
    there.be(Role.VIEWER)
    for words in (
        ("alerts", "ack", FIRING),
        ("silences", "add", "a=b", "--for", "1h", "--reason", "x"),
        ("silences", "end", "1"),
        ("oncall", "override", "--cancel", "1"),
    ):
        result = there.ask(*words)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "needs the scope respond" in result.stderr


def test_a_token_from_a_file(there: There, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHKEEPER_TOKEN")
    assert "wants a token" in there.ask("alerts").stderr
    file = tmp_path / "token"
    file.write_text(there.on.tokens[Role.VIEWER] + "\n")
    monkeypatch.setenv("WATCHKEEPER_TOKEN_FILE", str(file))
    assert there.ask("alerts").exit_code == 0
    monkeypatch.setenv("WATCHKEEPER_TOKEN_FILE", str(tmp_path / "nowhere"))
    assert "cannot be read" in there.ask("alerts").stderr
    file.write_text("two words\nand lines")
    monkeypatch.setenv("WATCHKEEPER_TOKEN_FILE", str(file))
    answer = there.ask("alerts")
    assert "is no token" in answer.stderr
    assert "words" not in answer.stderr


def test_a_token_that_is_over_is_said_so_and_never_shown(
    there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = there.on.clock.now()
    with there.on.store.write() as conn:
        text = tokens.create(
            conn,
            now,
            name="gone",
            scopes=[Scope.READ],
            expires_at=now + timedelta(days=1),
            by="component:test",
        )
        number = next(one.id for one in tokens.listing(conn) if one.name == "gone")
        tokens.revoke(conn, now, number, by="component:x")
    monkeypatch.setenv("WATCHKEEPER_TOKEN", text)
    answer = there.ask("journal", "tail")
    assert answer.exit_code == 1
    assert "does not know the token" in answer.stderr
    assert text not in answer.output


def test_the_environment_names_the_server_and_data_is_stronger(
    there: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHKEEPER_SERVER", there.address)
    far = CliRunner().invoke(app, ["alerts", "--json"])
    assert len(json.loads(far.stdout)) == 2
    monkeypatch.setenv("WATCHKEEPER_SERVER", "http://127.0.0.1:9")
    assert there.here("alerts").exit_code == 0
    both = CliRunner().invoke(app, ["alerts", "--server", "http://x", "--data", "y"])
    assert both.exit_code == 2


def test_top_once(there: There, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHKEEPER_TOKEN")
    answer = there.ask("top", "--once")
    assert (answer.exit_code, "wants a token" in answer.stderr) == (1, True)


class _Other(http.server.BaseHTTPRequestHandler):
    """Something that is no Watchkeeper."""

    seen: list[str | None]
    answer: tuple[int, dict[str, str], bytes]

    def do_GET(self) -> None:
        self.seen.append(self.headers.get("Authorization"))
        status, headers, body = self.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _other(status: int, headers: dict[str, str], body: bytes) -> Iterator[tuple[str, list[str | None]]]:
    handler = type("Handler", (_Other,), {"seen": [], "answer": (status, headers, body)})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler.seen  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "headers", "body", "said"),
    [
        (200, {"Content-Type": "text/html"}, b"<html>", "it sent no JSON"),
        (404, {}, b"<html>\x1b[2J", "is no Watchkeeper: 404"),
        (429, {"Retry-After": "7"}, b"{}", "try again in 7 s"),
        (502, {}, b"bad gateway", "is no Watchkeeper: 502"),
        (503, {}, b'{"status": "error", "error": "the role is not running"}', "cannot say now: the role"),
        (403, {}, b'{"status": "error", "error": "not you\x1b[2J"}', "no Watchkeeper"),
    ],
)
def test_whatever_answers_is_said_in_a_sentence(
    status: int, headers: dict[str, str], body: bytes, said: str
) -> None:
    with _other(status, headers, body) as (address, _):
        answer = CliRunner().invoke(app, ["alerts", "--server", address])
    assert answer.exit_code == 1
    assert said in answer.stderr
    assert "\x1b" not in answer.stderr
    assert "Traceback" not in answer.output


def test_the_token_does_not_follow_a_redirect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_TOKEN", "wk_secret")
    with (
        _other(200, {}, b"{}") as (elsewhere, seen),
        _other(302, {"Location": elsewhere}, b"") as (address, _),
    ):
        answer = CliRunner().invoke(app, ["alerts", "--server", address])
    assert seen == []
    assert f"leads on to {elsewhere}" in answer.stderr


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "file:///etc/passwd", "x", "http://a b"])
def test_nobody_answers(address: str) -> None:
    answer = CliRunner().invoke(app, ["alerts", "--server", address])
    assert answer.exit_code == 1
    assert "no Watchkeeper answers at" in answer.stderr or "is no address" in answer.stderr


@pytest.mark.parametrize(
    "answered",
    [
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 503 Gone\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_speaks_no_http_or_breaks_off_is_said_in_a_sentence(answered: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_once() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answered)

        threading.Thread(target=answer_once, daemon=True).start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        answer = CliRunner().invoke(app, ["alerts", "--server", address])
    assert answer.exit_code == 1
    assert isinstance(answer.exception, SystemExit), answer.exception
    assert "is no Watchkeeper" in answer.stderr
