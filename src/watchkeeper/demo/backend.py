"""The platform's web service: a catalogue of games in PostgreSQL, uploads to S3, logins at the provider.

Nothing is pretended: a request fails when the database, the object store or the identity provider fails it,
and takes as long as they take. Everything it publishes is at ``/metrics``.
"""

from __future__ import annotations

import hmac
import secrets
import ssl

import aiohttp
import psycopg
from aiohttp import web

from watchkeeper.demo.database import Pool
from watchkeeper.demo.exposition import Counter, Family, Gauge, Histogram
from watchkeeper.demo.releases import RELEASES, Rollout
from watchkeeper.demo.s3 import S3Client, S3Error
from watchkeeper.demo.service import ProcessMetrics, RequestMetrics, metrics_handler, run, serve
from watchkeeper.demo.settings import BUCKET, Settings, write_private
from watchkeeper.store.clock import Clock, SystemClock

LCP_SECONDS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 6.0, 10.0)
CLS_SCORES = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0)
UPLOAD_SLOTS = 120
"""Uploads go round these names, so that steady load needs a bounded room."""


class Backend:
    """The handlers and what they measure."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession, clock: Clock) -> None:
        self._settings = settings
        self._session = session
        self._pool = Pool(settings.dsn(), size=5)
        self._s3 = S3Client(session, settings.primary, clock)
        self._uploaded = 0
        self._process = ProcessMetrics()
        self.requests = RequestMetrics(clock)
        self._canary = settings.path / "canary"
        self.rollout = Rollout()
        if self._canary.exists():  # what was deployed outlives a restart
            self.rollout.canary = RELEASES.get(self._canary.read_text(encoding="utf-8"))
        self.auth = Counter(
            "treazr_auth_attempts_total",
            "Login attempts by method, outcome and reason.",
            ("method", "outcome", "reason"),
        )
        self.uploads = Counter(
            "treazr_rom_uploads_total", "Uploads by source and outcome.", ("source", "outcome")
        )
        self.sessions = Gauge("treazr_active_sessions", "Logins of the last ten minutes.")
        self.lcp = Histogram(
            "rum_lcp_seconds", "Largest contentful paint, as browsers measured it.", LCP_SECONDS
        )
        self.cls = Histogram("rum_cls", "Cumulative layout shift, as browsers measured it.", CLS_SCORES)
        self.build = Gauge("treazr_build_info", "Releases that answer requests now.", ("version",))
        self.auth.touch(method="password", outcome="success", reason="")
        for reason in ("wrong_password", "provider_unavailable"):
            self.auth.touch(method="password", outcome="failure", reason=reason)
        self.lcp.touch()
        self.cls.touch()
        for outcome in ("success", "failure"):
            self.uploads.touch(source="web", outcome=outcome)

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(middlewares=[self.requests.middleware], client_max_size=4 << 20)
        app.add_routes(
            [
                web.get("/health", self.health),
                web.post("/login", self.login),
                web.get("/api/games", self.list_games),
                web.get("/api/games/{id}", self.read_game),
                web.post("/api/upload", self.upload),
                web.post("/rum", self.beacon),
                web.post("/-/release", self.deploy),
                web.get("/metrics", metrics_handler(self.families)),
            ]
        )
        app.on_shutdown.append(self._close)
        return app

    def families(self) -> list[Family]:
        """What ``/metrics`` shows."""
        for version in RELEASES:
            active = version in (self.rollout.stable.version, getattr(self.rollout.canary, "version", ""))
            self.build.set(active, version=version)
        return [
            self.requests.duration,
            *(self.auth, self.uploads, self.sessions, self.lcp, self.cls, self.build),
            *self._process.families(),
        ]

    async def health(self, request: web.Request) -> web.StreamResponse:
        """Alive: it answers. Whether its database does is the requests' business."""
        return web.json_response({"status": "ok", "release": self.rollout.stable.version})

    async def login(self, request: web.Request) -> web.StreamResponse:
        """Ask the identity provider; remember the session. Its silence is a failure, a refusal is not."""
        credentials = await request.json()
        try:
            async with self._session.post(
                f"http://127.0.0.1:{self._settings.idp_port}/token",
                json=credentials,
                timeout=aiohttp.ClientTimeout(total=2),
            ) as answer:
                if answer.status == 401:
                    self.auth.add(method="password", outcome="failure", reason="wrong_password")
                    return web.json_response({"error": "wrong name or password"}, status=401)
                answer.raise_for_status()
            async with self._pool.connection() as connection:
                await connection.execute(
                    "INSERT INTO sessions (token, user_id) SELECT %s, id FROM users WHERE name = %s",
                    (secrets.token_hex(16), credentials["user"]),
                )
                row = await (
                    await connection.execute(
                        "SELECT count(*) FROM sessions WHERE created_at > now() - interval '10 minutes'"
                    )
                ).fetchone()
        except (aiohttp.ClientError, TimeoutError, psycopg.Error) as error:
            self.auth.add(method="password", outcome="failure", reason="provider_unavailable")
            raise web.HTTPServiceUnavailable(
                text=f"login is not possible now: {type(error).__name__}"
            ) from error
        self.auth.add(method="password", outcome="success", reason="")
        self.sessions.set(row[0] if row else 0)
        return web.json_response({"status": "welcome"})

    async def list_games(self, request: web.Request) -> web.StreamResponse:
        """A page of the catalogue."""
        after = int(request.query.get("after", "0"))
        async with self._pool.connection() as connection:
            rows = await (await connection.execute(self.rollout.next().list_games, (after,))).fetchall()
        return web.json_response([{"id": row[0], "title": row[1], "console": row[2]} for row in rows])

    async def read_game(self, request: web.Request) -> web.StreamResponse:
        """One game, or 404."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(self.rollout.next().read_game, (int(request.match_info["id"]),))
            row = await cursor.fetchone()
        if row is None:
            raise web.HTTPNotFound(text="no such game")
        return web.json_response({"id": row[0], "title": row[1], "console": row[2], "released": row[3]})

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Store the body in the bucket and queue a job that checks it."""
        body = await request.read()
        self._uploaded += 1
        key = f"roms/{self._uploaded % UPLOAD_SLOTS:04d}.rom"
        try:
            await self._s3.put(BUCKET, key, body)
            async with self._pool.connection() as connection:
                await connection.execute(
                    "WITH upload AS (INSERT INTO uploads (key, bytes) VALUES (%s, %s) RETURNING id, key) "
                    "INSERT INTO jobs (job_type, payload) "
                    "SELECT 'checksum', jsonb_build_object('upload', id, 'key', key) FROM upload",
                    (key, len(body)),
                )
        except (S3Error, psycopg.Error) as error:
            self.uploads.add(source="web", outcome="failure")
            raise web.HTTPServiceUnavailable(
                text=f"upload is not possible now: {type(error).__name__}"
            ) from error
        self.uploads.add(source="web", outcome="success")
        return web.json_response({"key": key}, status=201)

    async def beacon(self, request: web.Request) -> web.StreamResponse:
        """What a browser measured: seconds to the largest paint, and the layout shift score."""
        measured = await request.json()
        self.lcp.observe(float(measured["lcp_seconds"]))
        self.cls.observe(float(measured["cls"]))
        return web.Response(status=204)

    async def deploy(self, request: web.Request) -> web.StreamResponse:
        """Roll a release out to every second request, or, with none, back."""
        expected = f"Bearer {self._settings.control_token}"
        if not hmac.compare_digest(request.headers.get("Authorization", ""), expected):
            raise web.HTTPForbidden(text="the control token is missing or wrong")
        version = (await request.json())["canary"]
        self.rollout.canary = RELEASES[version] if version else None
        write_private(self._canary, version or "")
        return web.json_response({"canary": version})

    async def open(self) -> None:
        """Take the connections that requests will share."""
        await self._pool.fill()

    async def _close(self, app: web.Application) -> None:
        await self._pool.close()


async def main() -> None:
    settings = Settings.of_process()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(settings.path / "tls" / "certificate.pem", settings.path / "tls" / "key.pem")
    async with aiohttp.ClientSession() as session:
        backend = Backend(settings, session, SystemClock())
        await backend.open()
        await serve(backend.app(), settings.backend_port, tls_port=settings.tls_port, tls=tls)


if __name__ == "__main__":
    run(main)
