"""The demo's deploy pipeline tells Watchkeeper of each release, and of nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from aiohttp import web

from watchkeeper.demo.children import free_ports
from watchkeeper.demo.pipeline import Pipeline


def told(
    *moves: tuple[str, bool], token: str | None = "wk_t", status: int = 201
) -> tuple[list[Any], list[str]]:
    """What the API was sent when these faults were moved, and what was said in the demo."""
    seen: list[Any] = []
    said: list[str] = []

    async def changes(request: web.Request) -> web.Response:
        seen.append((request.headers["Authorization"], await request.json()))
        return web.json_response({}, status=status)

    async def run() -> None:
        app = web.Application()
        app.router.add_post("/api/changes", changes)
        runner = web.AppRunner(app)
        await runner.setup()
        (port,) = free_ports(1)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        async with aiohttp.ClientSession() as session:
            pipeline = Pipeline(session, f"http://127.0.0.1:{port}", said.append)
            pipeline.token = token
            for fault, broken in moves:
                await pipeline.moved(fault, broken=broken)
        await runner.cleanup()

    asyncio.run(run())
    return seen, said


def test_a_release_and_its_rollback_are_two_changes_of_the_backend() -> None:
    seen, said = told(("api", True), ("jobs", True), ("api", False))
    assert [header for header, _ in seen] == ["Bearer wk_t", "Bearer wk_t"]
    bad, good = (change for _, change in seen)
    assert (bad["kind"], bad["service"], bad["version"]) == ("deploy", "treazrisland-backend", "2.5.0")
    assert (good["title"], good["version"]) == ("release 2.5.0 rolled back", "2.4.1")
    assert bad["key"] != good["key"]
    assert said == []


def test_without_watchkeeper_nobody_is_told() -> None:
    assert told(("api", True), token=None) == ([], [])


def test_what_is_refused_is_said_and_ends_nothing() -> None:
    assert told(("api", True), status=403)[1] == ["Watchkeeper was not told of the release: status 403"]
