"""The pager keeps what Watchkeeper signed, once, and refuses what it did not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from watchkeeper.demo.children import free_ports
from watchkeeper.demo.pager import Pager
from watchkeeper.notify.models import Kind, Notification
from watchkeeper.notify.webhook import event, sign
from watchkeeper.store.clock import ManualClock

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
SECRET = "between Watchkeeper and the pager"


def notification(kind: Kind = Kind.TRIGGER, severity: str = "page") -> Notification:
    return Notification(
        kind=kind,
        dedup_key="k",
        order_key="o",
        subject="alert/ApiErrorRatePage",
        alertname="ApiErrorRatePage",
        severity=severity,
        summary="HTTP error rate 37 % is above 5 %",
        starts_at=NOW,
        labels={"service": "treazrisland-backend"},
    )


def message(key: str, told: Notification, at: datetime = NOW) -> tuple[bytes, dict[str, str]]:
    body = json.dumps(event(told, key, "Treazr Island", NOW)).encode()
    return body, {"Idempotency-Key": key, "Watchkeeper-Signature": sign(body, SECRET, at)}


class Desk:
    """A pager behind real HTTP."""

    def __init__(self, directory: Path) -> None:
        self.shown: list[str] = []
        self.pager = Pager(directory / "pages.jsonl", SECRET, ManualClock(NOW), self.shown.append)

    def receive(self, *messages: tuple[bytes, Mapping[str, str]]) -> list[int]:
        async def run() -> list[int]:
            app = web.Application()
            app.router.add_post("/pager", self.pager.receive)
            runner = web.AppRunner(app)
            await runner.setup()
            (port,) = free_ports(1)
            await web.TCPSite(runner, "127.0.0.1", port).start()
            answers = []
            async with aiohttp.ClientSession() as session:
                for body, headers in messages:
                    url = f"http://127.0.0.1:{port}/pager"
                    async with session.post(url, data=body, headers=headers) as answer:
                        answers.append(answer.status)
            await runner.cleanup()
            return answers

        return asyncio.run(run())

    def kept(self) -> list[str]:
        if not self.pager.path.exists():
            return []
        return [json.loads(line)["event"]["id"] for line in self.pager.path.read_text().splitlines()]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_page_is_kept_shown_and_counted_once_however_often_it_is_sent(desk: Desk) -> None:
    page = message("one", notification())
    assert desk.receive(page, page) == [204, 204]
    assert desk.kept() == ["one"]
    assert desk.shown == [
        "pager: PAGE ApiErrorRatePage [treazrisland-backend] HTTP error rate 37 % is above 5 %"
    ]
    assert (desk.pager.pages, desk.pager.received) == (1, 1)


def test_warnings_and_resolutions_are_kept_but_are_no_pages(desk: Desk) -> None:
    told = [notification(severity="warn"), notification(Kind.RESOLVE), notification(Kind.ACKNOWLEDGE)]
    assert desk.receive(*(message(str(number), each) for number, each in enumerate(told))) == [204] * 3
    assert [line.split()[1] for line in desk.shown] == ["warning", "resolved", "acknowledged"]
    assert (desk.pager.pages, desk.pager.received) == (0, 3)


def test_what_is_unsigned_forged_or_old_is_refused_and_not_kept(desk: Desk) -> None:
    body, headers = message("one", notification())
    _, old = message("one", notification(), at=NOW - timedelta(minutes=6))
    answers = desk.receive((body, {}), (body + b" ", headers), (body, old))
    assert answers == [401, 401, 401]
    assert desk.kept() == []
    assert desk.pager.received == 0


def test_a_signed_body_that_is_no_notification_is_refused(desk: Desk) -> None:
    for body in (b"no JSON", b'{"data": {}}', b"{}", b"[]"):
        headers = {"Watchkeeper-Signature": sign(body, SECRET, NOW)}
        assert desk.receive((body, headers)) == [400], body
    assert desk.kept() == []
