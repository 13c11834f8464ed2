"""The role ``web``: binds the address and runs the application under uvicorn.

Always true: no client, however slow, holds a connection without a request, the process without an end, or
more connections than there are files for (tests/console/test_web.py).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from watchkeeper.app import signals, wire
from watchkeeper.app.instance import bind
from watchkeeper.app.metrics import new_registry
from watchkeeper.app.settings import Settings, SettingsError
from watchkeeper.console.console import Console
from watchkeeper.console.server import create_app
from watchkeeper.store.clock import SystemClock
from watchkeeper.store.database import open_store
from watchkeeper.store.errors import StoreError

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 500
"""More are answered with 503: each holds a file, and this process may open about a thousand."""
MAX_HEAD_BYTES = 64 << 10
HEAD_SECONDS = 10.0
"""From the first byte of a connection (or of a further request on it) to the end of the request's head."""
STOP_SECONDS = 3


class ImpatientProtocol(H11Protocol):
    """Ends connections on which no whole head of a request arrives in time; uvicorn waits for ever."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._patience is None:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._patience = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _forget(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class LocalRoles:
    """The other roles, over their sockets in the data directory."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def watch(self, question: str, asked: Mapping[str, Any], timeout_seconds: float) -> bytes:
        return await wire.ask(self._settings.watch_socket, question, asked, timeout_seconds)

    async def work(self, question: str, asked: Mapping[str, Any], timeout_seconds: float) -> bytes:
        return await wire.ask(self._settings.work_socket, question, asked, timeout_seconds)


def run_web(settings: Settings) -> int:
    """Serve HTTP until told to stop; the exit code."""
    signals.ignore_reload()
    try:
        listener = bind(settings)
    except SettingsError as error:
        log.error("%s", error)
        return 1
    clock = SystemClock()
    try:
        store = open_store(settings.state, clock)
    except StoreError as error:
        listener.close()
        log.error("%s", error)
        return 1
    with listener, store:
        app = create_app(Console(settings, store, LocalRoles(settings), clock), new_registry())
        config = uvicorn.Config(
            app,
            http=ImpatientProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            proxy_headers=False,
            backlog=socket.SOMAXCONN,
            limit_concurrency=MAX_CONNECTIONS,
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        uvicorn.Server(config).run(sockets=[listener])
    return 0
