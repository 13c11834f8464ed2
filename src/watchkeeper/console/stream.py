"""``/events``: server-sent events that say that something is new; what it is, the pages ask for themselves.

Always true: one watcher looks at the journal for everybody; a client that does not read its stream costs one
number, never a queue, and is let go of after a while; after a gap the id of the last event says where to go
on (tests/console/test_stream.py).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from watchkeeper.access.models import Scope as AccessScope
from watchkeeper.console.gate import Reader
from watchkeeper.console.picture import Pictures
from watchkeeper.store import journal
from watchkeeper.store.clock import Clock, to_ms
from watchkeeper.store.database import Store
from watchkeeper.store.errors import StoreError

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How often the journal's head is looked at while somebody listens."""
EVALUATED_SECONDS = 5.0
"""How often signals are said to have moved."""
COMMENT_SECONDS = 15.0
"""A comment now and then keeps connections through proxies, and finds those that are gone."""
PATIENCE_SECONDS = 30.0
"""A client that takes nothing for so long is let go of; it connects again when it is back."""
ASK_AGAIN_SECONDS = 30.0
"""How often it is asked whether the client's session or token still stands."""
MAX_STREAMS = 300
"""More are told to come back: each holds one of the connections that this process may have."""


@dataclass
class _State:
    """What listeners wait for: the newest entry, a count of looks at the signals, the pages that changed."""

    seq: int = 0
    evaluated: int = 0
    pages: list[dict[str, Any]] = field(default_factory=list)


class Stream:
    """The one watcher, and those who listen."""

    def __init__(self, store: Store, pictures: Pictures, clock: Clock) -> None:
        self._store = store
        self._pictures = pictures
        self._clock = clock
        self._state = _State()
        self._changed = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None
        self.listeners = 0

    async def events(
        self, after: int | None, still_may: Callable[[], Awaitable[bool]]
    ) -> AsyncGenerator[bytes, None]:
        """The stream of one client, from what came ``after`` the entry of that seq, while it may listen."""
        self.listeners += 1
        try:
            if self._watcher is None or self._watcher.done():
                self._state.seq = await run_in_threadpool(self._head)
                self._watcher = asyncio.create_task(self._watch())
            seen = _State(self._state.seq if after is None else after, self._state.evaluated)
            yield b"retry: 2000\n\n"
            asked = self._clock.monotonic()
            while True:
                if self._clock.monotonic() - asked >= ASK_AGAIN_SECONDS:
                    if not await still_may():
                        return
                    asked = self._clock.monotonic()
                changed = self._changed  # before looking: what comes while news are sent is not lost
                for event in self._news(seen):
                    yield event
                try:
                    async with asyncio.timeout(COMMENT_SECONDS):
                        await changed.wait()
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            self.listeners -= 1

    def _news(self, seen: _State) -> list[bytes]:
        state, found = self._state, []
        now_ms = to_ms(self._clock.now())
        if state.seq > seen.seq:
            said: dict[str, Any] = {"seq": state.seq, "now_ms": now_ms}
            fresh = [page for page in state.pages if page["seq"] > seen.seq]
            if fresh:
                said["pages"] = fresh
            found.append(_event("journal", said, state.seq))
            seen.seq = state.seq
        if state.evaluated > seen.evaluated:
            found.append(_event("evaluated", {"now_ms": now_ms}))
            seen.evaluated = state.evaluated
        return found

    async def _watch(self) -> None:
        """Look for news while anybody listens."""
        looked = self._clock.monotonic()
        while self.listeners:
            try:
                fresh = await run_in_threadpool(self._fresh)
            except StoreError as error:
                log.warning("the journal cannot be followed, trying again: %s", error)
                fresh = []
            moved = False
            if fresh:
                self._state.seq = fresh[-1].seq
                pages = [page for entry in fresh if (page := _page(entry)) is not None]
                self._state.pages = [*self._state.pages, *pages][-20:]
                self._pictures.outdated()
                moved = True
            if self._clock.monotonic() - looked >= EVALUATED_SECONDS:
                looked = self._clock.monotonic()
                self._state.evaluated += 1
                moved = True
            if moved:
                self._changed.set()
                self._changed = asyncio.Event()
            await self._clock.wait(LOOK_SECONDS)

    def _fresh(self) -> list[journal.Entry]:
        with self._store.read() as conn:
            return journal.tail(conn, self._state.seq, 1000)

    def _head(self) -> int:
        with self._store.read() as conn:
            return journal.head(conn).seq


def _page(entry: journal.Entry) -> dict[str, Any] | None:
    """What a browser's notification says of a page that fired, was taken, or is over."""
    states = {"alert.firing": "firing", "alert.acknowledged": "acknowledged", "alert.resolved": "resolved"}
    state = states.get(entry.kind)
    if state is None or entry.facts.get("severity") != "page" or entry.facts.get("inhibited_by"):
        return None
    fingerprint = entry.subject.removeprefix("alert:")
    return {
        "seq": entry.seq,
        "state": state,
        "summary": str(entry.facts.get("summary", ""))[:300],
        "key": fingerprint,
        "href": f"/alerts/{fingerprint}",
    }


def _event(kind: str, said: dict[str, Any], seq: int | None = None) -> bytes:
    head = f"id: {seq}\n" if seq is not None else ""
    return f"{head}event: {kind}\ndata: {json.dumps(said)}\n\n".encode()


class _Patient(StreamingResponse):
    """A stream that ends when its client takes nothing for long; its listener is gone with it."""

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def bounded(message: Any) -> None:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await send(message)

        try:
            await super().__call__(scope, receive, bounded)
        except TimeoutError:
            log.info("a client took nothing of its event stream for %g s and is let go of", PATIENCE_SECONDS)
        finally:
            await self._events.aclose()


def router(stream: Stream) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["events"])

    @routes.get("/events", response_class=StreamingResponse, summary="Server-sent events")
    async def events(request: Request, identity: Reader) -> Response:
        """``journal`` (the newest entry's seq, which is the event's id) and ``evaluated`` (signals moved)."""
        if stream.listeners >= MAX_STREAMS:
            return Response(status_code=503, headers={"Retry-After": "10"})
        last = request.headers.get("last-event-id", "")
        after = int(last) if last.isascii() and last.isdecimal() and len(last) < 16 else None

        async def still_may() -> bool:
            found = await request.app.state.gate.identify(request)
            return found is not None and found.may(AccessScope.READ)

        return _Patient(stream.events(after, still_may))

    return routes
