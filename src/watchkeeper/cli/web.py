"""The role ``web``: binds the address and runs the application under uvicorn."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from typing import Any

import uvicorn

from watchkeeper.app import wire
from watchkeeper.app.metrics import new_registry
from watchkeeper.app.settings import Settings
from watchkeeper.console.server import create_app
from watchkeeper.store.clock import SystemClock

log = logging.getLogger(__name__)


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
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            log.error(
                "cannot listen on %s:%d: %s; --listen or WATCHKEEPER_LISTEN names another address",
                settings.host,
                settings.port,
                error.strerror,
            )
            return 1
        app = create_app(LocalRoles(settings), SystemClock(), new_registry())
        config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, lifespan="off")
        server = uvicorn.Server(config)
        server.run(sockets=[listener])
    return 0
