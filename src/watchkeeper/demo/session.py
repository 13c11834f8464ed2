"""One run of the demo, from its first process to its last: platform, control, Watchkeeper, live view.

Ctrl-C, SIGTERM, the live view's end and an error all lead to the same end: everything is stopped.
"""

from __future__ import annotations

import asyncio
import hmac
import importlib.resources
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from watchkeeper.access import links, tokens, users
from watchkeeper.access.models import Role, Scope
from watchkeeper.app.settings import prepare_data_directory
from watchkeeper.demo.children import Child, Program, wait_ready
from watchkeeper.demo.errors import DemoError
from watchkeeper.demo.faults import Board
from watchkeeper.demo.pager import Pager
from watchkeeper.demo.pipeline import TOKEN_NAME, Pipeline
from watchkeeper.demo.platform import Platform, Report, answers_http
from watchkeeper.store.clock import Clock
from watchkeeper.store.database import open_store

ACTOR = "component:demo"
LINK_LIFETIME = timedelta(hours=24)
TOKEN_LIFETIME = timedelta(days=30)
OPEN_PATHS = ("/pager", "/heartbeat")
"""What Watchkeeper calls: pages are signed, and a heartbeat says nothing."""


@dataclass(frozen=True)
class Wish:
    """What is to be started. ``listen`` is Watchkeeper's address; ``top`` is the live view."""

    directory: Path
    listen: str = "127.0.0.1:8321"
    watchkeeper: bool = True
    top: bool = True

    @property
    def url(self) -> str:
        """Where Watchkeeper answers."""
        return f"http://{self.listen}"


async def run(wish: Wish, clock: Clock, report: Report) -> None:
    """Run the demo until it is told to end. Raises :class:`DemoError` when it cannot go on."""
    if wish.watchkeeper:
        check_free(wish.listen)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    async with aiohttp.ClientSession() as session:
        show = Show(report, ended.set)
        platform = Platform(wish.directory, session, clock, show.line)
        tasks = {asyncio.create_task(_live(platform, wish, show)), asyncio.create_task(ended.wait())}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except ExceptionGroup as group:  # of the processes that start together, one failed
            raise _first(group) from None
        finally:
            show.covered = False
            platform.say("stopping")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await platform.stop()
            platform.say("stopped; nothing is left")


class Show:
    """Prints lines, except while the live view covers the terminal; ``gone`` is called when nobody reads."""

    def __init__(self, report: Report, gone: Callable[[], None]) -> None:
        self._report = report
        self._gone = gone
        self.covered = False

    def line(self, text: str) -> None:
        """Print ``text`` if it can be seen."""
        if not self.covered:
            try:
                self._report(text)
            except OSError:  # the terminal was closed, or the pipe's reader ended
                self._gone()


async def _live(platform: Platform, wish: Wish, show: Show) -> None:
    settings = platform.settings
    await platform.start()
    secret = (settings.path / "pager-secret").read_text(encoding="utf-8")
    pager = Pager(settings.path / "pages.jsonl", secret, platform.clock, platform.say)
    board = Board(platform)
    pipeline = Pipeline(platform.session, wish.url, platform.say)
    app = control(platform, board, pager, wish, pipeline)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", settings.control_port).start()
        link = await _start_watchkeeper(platform, wish, pipeline) if wish.watchkeeper else ""
        platform.say("ready; break it with: watchkeeper demo break " + "|".join(board.names))
        keeping = asyncio.create_task(platform.keep())
        watching = asyncio.create_task(_top(platform, wish, show, link))
        try:
            await asyncio.wait({keeping, watching}, return_when=asyncio.FIRST_COMPLETED)
            for task in (keeping, watching):
                if task.done():
                    task.result()
        finally:
            keeping.cancel()
            watching.cancel()
            await asyncio.gather(keeping, watching, return_exceptions=True)
            for name in board.active:
                await board.forget(name)
    finally:
        await runner.cleanup()


async def _start_watchkeeper(platform: Platform, wish: Wish, pipeline: Pipeline) -> str:
    """Start it on the platform; the one-time link into its console."""
    home = platform.settings.path
    runbook = home / "runbook.yaml"
    runbook.write_bytes(
        importlib.resources.files("watchkeeper.runbook").joinpath("default.yaml").read_bytes()
    )
    files = ("--runbook", str(runbook), "--overlay", str(home / "overlay.yaml"), "--data", str(home / "data"))
    link, pipeline.token = await asyncio.to_thread(_first_accounts, platform, wish)
    child = await platform.add(
        Program(
            name="watchkeeper",
            command=(sys.executable, "-m", "watchkeeper.cli.main", "serve", *files, "--listen", wish.listen),
            log=home / "logs" / "watchkeeper.log",
            environment={
                "WATCHKEEPER_HEARTBEAT_URL": f"http://127.0.0.1:{platform.settings.control_port}/heartbeat"
            },
            orphan_signal=signal.SIGTERM,
            patience_seconds=12.0,  # its own roles are given 10 s
        )
    )

    async def answers() -> bool:
        return await answers_http(platform.session, f"{wish.url}/readyz")

    await wait_ready("watchkeeper serve", answers, child, platform.clock, within_seconds=45)
    platform.say(f"Watchkeeper watches it; see {wish.url} or: watchkeeper top --data {home / 'data'}")
    platform.say(f"open it, signed in (the link works once): {link}")
    platform.say(f"its alerts: watchkeeper alerts --data {home / 'data'}")
    return link


def _first_accounts(platform: Platform, wish: Wish) -> tuple[str, str]:
    """The way into an administrator's account for whoever runs the demo, and the deploy pipeline's token."""
    data = platform.settings.path / "data"
    prepare_data_directory(data)
    with open_store(data, platform.clock) as store, store.write() as conn:
        now = platform.clock.now()
        user = users.create(conn, now, username="primary", name="Primary on call", role=Role.ADMIN, by=ACTOR)
        link = links.create(conn, now, user=user, role=Role.ADMIN, by=ACTOR, lifetime=LINK_LIFETIME)
        scopes, ends = [Scope.CHANGES], now + TOKEN_LIFETIME
        token = tokens.create(conn, now, name=TOKEN_NAME, scopes=scopes, expires_at=ends, by=ACTOR)
    return f"{wish.url}/sign-in/link/{link}", token


async def _top(platform: Platform, wish: Wish, show: Show, link: str) -> None:
    """The live view; returns when it ends, and never where there is none."""
    if not (wish.watchkeeper and wish.top):
        await asyncio.Event().wait()
    data = platform.settings.path / "data"
    command = (sys.executable, "-m", "watchkeeper.cli.main", "top", "--data", str(data))
    program = Program(
        "top",
        command,
        log=None,
        environment={"WATCHKEEPER_TOP_NOTE": f" the console, signed in (once): {link}"},
        orphan_signal=signal.SIGTERM,
        interactive=True,
    )
    child: Child = await platform.add(program)
    show.covered = True
    try:
        code = await child.process.wait()
    finally:
        show.covered = False
    if code not in (0, 130, -signal.SIGINT, -signal.SIGTERM):
        raise DemoError(
            f"The live view ended with code {code}; start without it: watchkeeper demo start --no-top"
        )


def control(
    platform: Platform, board: Board, pager: Pager, wish: Wish, pipeline: Pipeline
) -> web.Application:
    """The routes that the command line speaks to, and the pager's."""
    expected = f"Bearer {platform.settings.control_token}"

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path not in OPEN_PATHS and not hmac.compare_digest(
            request.headers.get("Authorization", "").encode(), expected.encode()
        ):
            return web.json_response({"error": "The demo's token is missing or wrong."}, status=401)
        try:
            return await handler(request)
        except DemoError as error:
            return web.json_response({"error": str(error)}, status=409)

    async def break_(request: web.Request) -> web.StreamResponse:
        outcome = await board.break_(str((await request.json())["name"]))
        if outcome.changed:
            platform.say(f"broken: {outcome.name} ({outcome.cause})")
            await pipeline.moved(outcome.name, broken=True)
        return web.json_response(asdict(outcome))

    async def mend(request: web.Request) -> web.StreamResponse:
        outcomes = await board.mend((await request.json()).get("name"))
        for outcome in outcomes:
            if outcome.changed:
                platform.say(f"mended: {outcome.name}")
                await pipeline.moved(outcome.name, broken=False)
        return web.json_response([asdict(outcome) for outcome in outcomes])

    async def status(request: web.Request) -> web.StreamResponse:
        return web.json_response(_status(platform, board, pager, wish))

    app = web.Application(middlewares=[guard], client_max_size=4 << 20)
    app.add_routes(
        [
            web.post("/break", break_),
            web.post("/mend", mend),
            web.get("/status", status),
            web.post("/pager", pager.receive),
            web.route("*", "/heartbeat", pager.heartbeat),
        ]
    )
    return app


def _status(platform: Platform, board: Board, pager: Pager, wish: Wish) -> dict[str, Any]:
    return {
        "directory": platform.settings.directory,
        "watchkeeper": wish.url if wish.watchkeeper else None,
        "faults": [
            {"name": name, "since": since.isoformat(), "cause": board.cause(name)}
            for name, since in board.active.items()
        ],
        "processes": [
            {"name": name, "pid": child.process.pid, "running": child.running}
            for name, child in platform.children.items()
        ],
        "pages": pager.pages,
        "notifications": pager.received,
        "heartbeats": pager.heartbeats,
        "pages_file": str(pager.path),
    }


def check_free(listen: str) -> None:
    """Raise :class:`DemoError` when Watchkeeper could not listen there, before anything is started."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise DemoError(f"{listen!r} is no address to listen on; give host:port, for example 127.0.0.1:8321.")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            raise DemoError(
                f"Watchkeeper cannot listen on {listen}: {error.strerror}. "
                "Give another address: --listen 127.0.0.1:8322."
            ) from None


def _first(group: ExceptionGroup) -> BaseException:
    """The first error that says what to do; else the first."""
    leaves: list[BaseException] = []

    def gather(error: BaseException) -> None:
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                gather(inner)
        else:
            leaves.append(error)

    gather(group)
    return next((leaf for leaf in leaves if isinstance(leaf, DemoError)), leaves[0])
