"""The role ``web``: binds the address and runs the application under uvicorn."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from typing import Any

import uvicorn

from watchkeeper.app import signals, wire
from watchkeeper.app.instance import bind
from watchkeeper.app.metrics import new_registry
from watchkeeper.app.settings import Settings, SettingsError
from watchkeeper.console.server import create_app
from watchkeeper.store.clock import SystemClock

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 500
"""More are answered with 503: each holds a file, and this process may open about a thousand."""
MAX_HEAD_BYTES = 64 << 10
STOP_SECONDS = 3


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
    with listener:
        app = create_app(LocalRoles(settings), SystemClock(), new_registry())
        config = uvicorn.Config(
            app,
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
