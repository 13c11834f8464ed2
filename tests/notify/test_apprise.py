"""Apprise, against an HTTP server on loopback: what arrives, what its yes and no mean, and where it ends."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest

from tests.notify.conftest import Make
from watchkeeper.notify.answers import Answer, Said
from watchkeeper.notify.apprise import MAX_TEXT, AppriseReceiver
from watchkeeper.notify.models import Kind, Member
from watchkeeper.runbook.models.secrets import Secret

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
PASSWORD = "s3cret-in-url"
PLENTY = 3.0


class Sink(ThreadingHTTPServer):
    """Keeps what is posted; answers ``status``, or nothing, or a byte at a time."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.posted: list[dict[str, Any]] = []
        self.status = 200
        self.silent = False
        self.drips = False
        self.ended = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        sink = cast(Sink, self.server)
        sink.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        if sink.silent:
            sink.ended.wait(30)
            return
        self.send_response(sink.status)
        self.send_header("Content-Length", "400" if sink.drips else "0")
        self.end_headers()
        while sink.drips and not sink.ended.wait(0.05):
            self.wfile.write(b"x")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.ended.set()
        server.shutdown()
        thread.join(5)


def receiver(sink: Sink, timeout: float = 10.0) -> AppriseReceiver:
    url = f"json://wk:{PASSWORD}@127.0.0.1:{sink.server_address[1]}/{PASSWORD}"
    return AppriseReceiver("any", Secret(env="URL"), {"URL": url}, timeout_seconds=timeout)


def test_a_title_and_plain_text_arrive_with_the_kind_of_news(sink: Sink, make: Make) -> None:
    news = [make(), make(severity="warn"), make(kind=Kind.ACKNOWLEDGE), make(kind=Kind.RESOLVE)]
    for notification in news:
        assert receiver(sink).send(notification, "k", NOW) == Answer(Said.ACCEPTED)
    assert [posted["type"] for posted in sink.posted] == ["failure", "warning", "info", "success"]
    assert sink.posted[0]["title"] == "[FIRING] PAGE: alert-1: 7.3 % of requests fail"
    message = sink.posted[0]["message"]
    assert "Since: 2026-01-05 03:00:00 UTC\n" in message
    assert "https://wk.example/playbooks/api-errors" in message


def test_markup_and_control_characters_arrive_as_text_and_a_storm_is_short(sink: Sink, make: Make) -> None:
    nasty = "<b>&amp;\x00\u202e\r\n\\n"
    members = tuple(Member(f"f{i}", "firing", {"a": nasty}, NOW, 1.0, "y" * 250) for i in range(1000))
    answer = receiver(sink).send(make(summary=nasty, members=members), "k", NOW)
    assert answer.said is Said.ACCEPTED
    assert sink.posted[0]["title"] == "[FIRING] PAGE: 1000 alerts: <b>&amp; \\n"
    assert len(sink.posted[0]["message"]) <= MAX_TEXT
    assert not set("\x00\u202e\r") & set(sink.posted[0]["message"])


@pytest.mark.parametrize("status", [400, 401, 404, 413, 429, 500, 503])
def test_every_no_is_tried_again_and_holds_no_secret(
    sink: Sink, make: Make, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sink.status = status
    answer = receiver(sink).send(make(), "k", NOW)
    assert answer.said is Said.TRY_AGAIN
    assert PASSWORD not in answer.reason + caplog.text


@pytest.mark.parametrize("how", ["silent", "drips"])
def test_a_service_that_hangs_is_left_in_time(sink: Sink, make: Make, how: str) -> None:
    receiver(sink).send(make(), "k", NOW)  # so that the library is there, and only the wait is measured
    setattr(sink, how, True)
    began = time.monotonic()
    answer = receiver(sink, timeout=0.3).send(make(), "k", NOW)
    assert time.monotonic() - began < 0.3 + PLENTY
    assert answer == Answer(Said.TRY_AGAIN, "Apprise: no complete answer within 0.3 s")


@pytest.mark.parametrize("url", ["nonsense", f"nosuch://{PASSWORD}", f"json://{PASSWORD}:x:y@", "\x00"])
def test_an_address_that_apprise_does_not_know_is_tried_again(
    make: Make, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = AppriseReceiver("any", Secret(env="URL"), {"URL": url}).send(make(), "k", NOW)
    assert answer == Answer(Said.TRY_AGAIN, "the secret holds no URL that Apprise knows; correct it")
    assert PASSWORD not in caplog.text


def test_a_missing_url_is_named_by_its_place(make: Make) -> None:
    answer = AppriseReceiver("any", Secret(env="UNSET"), {}).send(make(), "k", NOW)
    assert answer.said is Said.TRY_AGAIN
    assert "UNSET" in answer.reason
