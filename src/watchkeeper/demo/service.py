"""What the demo's own HTTP processes have in common: ``/metrics``, ``/health``, and a clean end at SIGTERM.

Request metrics carry OpenTelemetry's names (``http_server_request_duration_seconds`` with
``http_request_method``, ``http_response_status_code`` and ``http_route``), as the platform's backend does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from watchkeeper.demo.exposition import CONTENT_TYPE, OTEL_SECONDS, Family, Gauge, Histogram, Measured, render
from watchkeeper.store.clock import Clock

logger = logging.getLogger(__name__)

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class RequestMetrics:
    """Times every request by method, route and status. An exception that nobody caught is a 500."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.duration = Histogram(
            "http_server_request_duration_seconds",
            "Duration of HTTP server requests.",
            OTEL_SECONDS,
            ("http_request_method", "http_response_status_code", "http_route"),
        )

    @property
    def middleware(self) -> Middleware:
        """The aiohttp middleware that measures."""

        @web.middleware
        async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
            started = self._clock.monotonic()
            status = 500
            try:
                response = await handler(request)
            except web.HTTPException as error:
                status = error.status
                raise
            except Exception as error:  # noqa: BLE001 - the last line: it must answer; the log has the cause
                logger.error(
                    "%s %s failed: %s: %s", request.method, request.path, type(error).__name__, error
                )
                return web.json_response({"error": "internal server error"}, status=500)
            else:
                status = response.status
                return response
            finally:
                resource = request.match_info.route.resource
                self.duration.observe(
                    self._clock.monotonic() - started,
                    http_request_method=request.method,
                    http_response_status_code=str(status),
                    http_route=resource.canonical if resource is not None else "",
                )

        return measure


class ProcessMetrics:
    """CPU time and memory of this process, read from ``/proc`` when asked."""

    def __init__(self) -> None:
        self._cpu = Measured("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.")
        self._memory = Gauge("process_resident_memory_bytes", "Resident memory size in bytes.")

    def families(self) -> list[Family]:
        """The metrics as they are now."""
        cpu, memory = usage_of(os.getpid())
        self._cpu.set(cpu)
        self._memory.set(memory)
        return [self._cpu, self._memory]


def usage_of(pid: int) -> tuple[float, int]:
    """CPU seconds used so far and resident bytes of a process; zeros when it is gone."""
    try:
        fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        )
    except OSError:
        return 0.0, 0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND, int(fields[21]) * PAGE_BYTES


def metrics_handler(families: Callable[[], list[Family]]) -> Handler:
    """A handler that writes the exposition of whatever ``families`` returns now."""

    async def metrics(request: web.Request) -> web.StreamResponse:
        return web.Response(
            body=render(families()).encode(), headers={"Content-Type": CONTENT_TYPE}, status=200
        )

    return metrics


async def serve(
    app: web.Application, port: int, *, tls_port: int = 0, tls: ssl.SSLContext | None = None
) -> None:
    """Listen on 127.0.0.1 until SIGTERM or SIGINT, then close what is open."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        if tls is not None:
            await web.TCPSite(runner, "127.0.0.1", tls_port, ssl_context=tls, reuse_address=True).start()
        await ended.wait()
    finally:
        await runner.cleanup()


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run a process of the demo, with its log on standard output."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")

    async def runner() -> None:
        await main()

    asyncio.run(runner())
