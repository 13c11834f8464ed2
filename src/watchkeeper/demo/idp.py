"""The identity provider: says whether a name and a password belong together. Nothing else logs anybody in."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from aiohttp import web

from watchkeeper.demo.exposition import Family
from watchkeeper.demo.service import ProcessMetrics, RequestMetrics, metrics_handler, run, serve
from watchkeeper.demo.settings import Settings
from watchkeeper.store.clock import SystemClock


def password_of(seed: str, name: str) -> str:
    """The password of a demo user; the load generator knows the seed too."""
    return hmac.new(seed.encode(), name.encode(), hashlib.sha256).hexdigest()[:20]


def app(settings: Settings) -> web.Application:
    """The routes: ``POST /token`` answers 200 or 401."""
    requests, process = RequestMetrics(SystemClock()), ProcessMetrics()

    async def token(request: web.Request) -> web.StreamResponse:
        given = await request.json()
        expected = password_of(settings.password_seed, str(given["user"]))
        if not hmac.compare_digest(expected, str(given["password"])):
            return web.json_response({"error": "invalid_grant"}, status=401)
        return web.json_response({"access_token": secrets.token_hex(16), "token_type": "Bearer"})

    async def health(request: web.Request) -> web.StreamResponse:
        return web.json_response({"status": "ok"})

    def families() -> list[Family]:
        return [requests.duration, *process.families()]

    application = web.Application(middlewares=[requests.middleware])
    application.add_routes(
        [
            web.post("/token", token),
            web.get("/health", health),
            web.get("/metrics", metrics_handler(families)),
        ]
    )
    return application


async def main() -> None:
    settings = Settings.of_process()
    await serve(app(settings), settings.idp_port)


if __name__ == "__main__":
    run(main)
