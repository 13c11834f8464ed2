"""The stream of events: what is new is said once to everybody who listens, and nobody is waited for."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.console.asgi import Answering, Grounds
from watchkeeper.access.models import Role
from watchkeeper.console import stream as module
from watchkeeper.console.console import Console
from watchkeeper.console.stream import Stream
from watchkeeper.store import journal
from watchkeeper.store.clock import SystemClock

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Grounds]:
    made = Grounds(tmp_path, SystemClock())
    yield made
    made.store.close()


@pytest.fixture
def stream(on: Grounds, monkeypatch: pytest.MonkeyPatch) -> Stream:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)
    return Console(on.settings, on.store, Answering(), on.clock).stream


def happen(on: Grounds, kind: str = "test.happened", **facts: Any) -> int:
    with on.store.write() as conn:
        return journal.append(conn, NOW, kind, "component:test", "alert:abc", {"summary": "x", **facts})


async def yes() -> bool:
    return True


async def first(events: AsyncIterator[bytes], kind: str) -> dict[str, Any]:
    """The data of the next event of that kind."""
    async with asyncio.timeout(10):
        async for event in events:
            if f"event: {kind}\n".encode() in event:
                data = event.decode().split("data: ", 1)[1]
                found: dict[str, Any] = json.loads(data)
                return found
    raise AssertionError("the stream ended")


def test_what_happens_is_told_to_everybody_with_its_number(on: Grounds, stream: Stream) -> None:
    async def scenario() -> None:
        listening = [stream.events(None, yes) for _ in range(3)]
        waiting = [asyncio.create_task(first(events, "journal")) for events in listening]
        await asyncio.sleep(0.2)
        seq = await asyncio.to_thread(happen, on)
        assert [said["seq"] for said in await asyncio.gather(*waiting)] == [seq] * 3
        for events in listening:
            await events.aclose()
        assert stream.listeners == 0

    asyncio.run(scenario())


def test_whoever_comes_back_is_told_at_once_that_something_happened_meanwhile(
    on: Grounds, stream: Stream
) -> None:
    async def scenario() -> None:
        before = await asyncio.to_thread(happen, on)
        after = await asyncio.to_thread(happen, on)
        said = await first(stream.events(before, yes), "journal")
        assert said["seq"] == after

    asyncio.run(scenario())


def test_what_happens_while_news_are_sent_is_told_next(
    on: Grounds, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that takes its time with one event does not wait for something else to hear of another."""
    monkeypatch.setattr(module, "EVALUATED_SECONDS", 3600.0)

    async def scenario() -> None:
        events = stream.events(await asyncio.to_thread(happen, on) - 1, yes)
        assert (await anext(events)).startswith(b"retry")
        first_seq = (await first(events, "journal"))["seq"]  # the stream stands where it sends this
        seq = await asyncio.to_thread(happen, on)
        while stream._state.seq < seq:
            await asyncio.sleep(0.01)
        said = await first(events, "journal")
        assert (said["seq"], first_seq) == (seq, seq - 1)
        await events.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("kind", "facts", "told"),
    [
        ("alert.firing", {"severity": "page"}, True),
        ("alert.resolved", {"severity": "page"}, True),
        ("alert.firing", {"severity": "warn"}, False),
        ("alert.firing", {"severity": "page", "inhibited_by": "silence 3"}, False),
        ("runbook.loaded", {"severity": "page"}, False),
    ],
)
def test_pages_are_told_so_that_a_browser_can_show_them(
    on: Grounds, stream: Stream, kind: str, facts: dict[str, Any], told: bool
) -> None:
    async def scenario() -> None:
        waiting = asyncio.create_task(first(stream.events(None, yes), "journal"))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(happen, on, kind, **facts)
        said = await waiting
        assert ("pages" in said) is told
        if told:
            (page,) = said["pages"]
            assert (page["href"], page["state"]) == ("/alerts/abc", kind.removeprefix("alert."))

    asyncio.run(scenario())


def test_a_stream_ends_when_its_session_does(
    on: Grounds, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ASK_AGAIN_SECONDS", 0.0)

    async def no() -> bool:
        return False

    async def scenario() -> list[bytes]:
        return [event async for event in stream.events(None, no)]

    assert asyncio.run(scenario()) == [b"retry: 2000\n\n"]


def test_a_client_that_never_reads_is_let_go_of_and_holds_nobody_up(
    on: Grounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real server and a real socket whose buffer fills."""
    import uvicorn

    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(module.Stream, "_news", lambda *_: [b": " + b"x" * 65536 + b"\n\n"])

    async def scenario() -> None:
        console = Console(on.settings, on.store, Answering(), on.clock)
        from prometheus_client import CollectorRegistry

        from watchkeeper.console.server import create_app

        app = create_app(console, CollectorRegistry())
        config = uvicorn.Config(app, port=0, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        rude = socket.create_connection(("127.0.0.1", port))
        token = on.tokens[Role.VIEWER]
        rude.sendall(f"GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        async with asyncio.timeout(10):
            while not console.stream.listeners:
                await asyncio.sleep(0.01)
            for _ in range(200):  # news enough to fill its buffer
                await asyncio.to_thread(happen, on)
                if not console.stream.listeners:
                    break
            while console.stream.listeners:
                await asyncio.to_thread(happen, on)
        rude.close()
        server.should_exit = True
        await serving

    asyncio.run(scenario())
