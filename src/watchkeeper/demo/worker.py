"""The worker: takes jobs from PostgreSQL's ``jobs`` table, one at a time in each of its lanes.

A job is taken by exactly one lane (``FOR UPDATE SKIP LOCKED``) and ends as ``done`` or ``failed``. A failed
job is not tried again: its payload is as bad the second time.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import zlib
from typing import Any

import aiohttp
import psycopg
from aiohttp import web

from watchkeeper.demo.database import Pool
from watchkeeper.demo.errors import DemoError
from watchkeeper.demo.exposition import Counter, Family, Gauge, Histogram
from watchkeeper.demo.s3 import S3Client
from watchkeeper.demo.service import ProcessMetrics, metrics_handler, run, serve
from watchkeeper.demo.settings import BUCKET, Settings
from watchkeeper.store.clock import Clock, SystemClock

logger = logging.getLogger(__name__)

JOB_TYPES = ("checksum", "thumbnail", "sweep")
LANES = 2
PAUSE_SECONDS = 0.05
"""Between two jobs of a lane: so many workers a small platform has, and so gentle they are on its machine."""
IDLE_SECONDS = 0.25
JOB_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

TAKE = """
UPDATE jobs SET state = 'running' WHERE id = (
    SELECT id FROM jobs WHERE state = 'queued' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING id, job_type, payload
"""
SWEEP = (
    "DELETE FROM jobs WHERE state IN ('done', 'failed') AND finished_at < now() - interval '2 minutes'",
    "DELETE FROM sessions WHERE created_at < now() - interval '10 minutes'",
    "DELETE FROM uploads WHERE created_at < now() - interval '10 minutes'",
)


class Worker:
    """The lanes and what they measure."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession, clock: Clock) -> None:
        self._clock = clock
        self._pool = Pool(settings.dsn(), size=LANES + 1)
        self._s3 = S3Client(session, settings.primary, clock)
        self._process = ProcessMetrics()
        self.depth = Gauge("job_queue_depth", "Jobs that wait to be taken.", ("queue",))
        self.total = Counter("jobs_total", "Jobs that ended, by type and outcome.", ("job_type", "outcome"))
        self.duration = Histogram(
            "job_duration_seconds", "From taking a job to its end.", JOB_SECONDS, ("job_type",)
        )
        for job_type in JOB_TYPES:
            self.duration.touch(job_type=job_type)
            for outcome in ("success", "failure"):
                self.total.touch(job_type=job_type, outcome=outcome)

    def families(self) -> list[Family]:
        """What ``/metrics`` shows."""
        return [self.depth, self.total, self.duration, *self._process.families()]

    async def open(self) -> None:
        """Take the connections that the lanes share."""
        await self._pool.fill()

    async def lane(self) -> None:
        """Take jobs for ever; a database that does not answer is waited for."""
        while True:
            try:
                worked = await self._one()
            except psycopg.Error:
                logger.warning("the database does not answer", exc_info=True)
                worked = False
            await self._clock.wait(PAUSE_SECONDS if worked else IDLE_SECONDS)

    async def watch_depth(self) -> None:
        """Measure the queue every second."""
        while True:
            try:
                async with self._pool.connection() as connection:
                    cursor = await connection.execute("SELECT count(*) FROM jobs WHERE state = 'queued'")
                    row = await cursor.fetchone()
                self.depth.set(row[0] if row else 0, queue="default")
            except psycopg.Error:
                logger.warning("the queue cannot be measured", exc_info=True)
            await self._clock.wait(1.0)

    async def _one(self) -> bool:
        async with self._pool.connection() as connection:
            row = await (await connection.execute(TAKE)).fetchone()
        if row is None:
            return False
        job_id, job_type, payload = row
        started = self._clock.monotonic()
        error: str | None = None
        try:
            await self._work(job_type, payload)
        except (ValueError, TypeError, KeyError, DemoError) as failure:
            error = f"{type(failure).__name__}: {failure}"
            logger.info("job %s (%s) failed: %s", job_id, job_type, error)
        self.duration.observe(self._clock.monotonic() - started, job_type=job_type)
        self.total.add(job_type=job_type, outcome="failure" if error else "success")
        async with self._pool.connection() as connection:
            await connection.execute(
                "UPDATE jobs SET state = %s, error = %s, finished_at = now() WHERE id = %s",
                ("failed" if error else "done", error, job_id),
            )
        return True

    async def _work(self, job_type: str, payload: dict[str, Any]) -> None:
        if job_type == "checksum":
            digest = hashlib.sha256(await self._s3.get(BUCKET, payload["key"])).hexdigest()
            async with self._pool.connection() as connection:
                await connection.execute(
                    "UPDATE uploads SET checksum = %s WHERE id = %s", (digest, payload["upload"])
                )
        elif job_type == "thumbnail":
            zlib.compress(bytes(int(payload["width"]) * int(payload["height"])))
        elif job_type == "sweep":
            async with self._pool.connection() as connection:
                for statement in SWEEP:
                    await connection.execute(statement)
        else:
            raise ValueError(f"no such job type: {job_type!r}")


async def main() -> None:
    settings = Settings.of_process()
    async with aiohttp.ClientSession() as session:
        worker = Worker(settings, session, SystemClock())

        await worker.open()

        async def health(request: web.Request) -> web.StreamResponse:
            return web.json_response({"status": "ok"})

        app = web.Application()
        app.add_routes([web.get("/health", health), web.get("/metrics", metrics_handler(worker.families))])
        tasks = [asyncio.create_task(worker.lane()) for _ in range(LANES)]
        tasks.append(asyncio.create_task(worker.watch_depth()))
        server = asyncio.create_task(serve(app, settings.worker_port))
        done, _ = await asyncio.wait([server, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in (*tasks, server):
            task.cancel()
        for task in done:
            task.result()


if __name__ == "__main__":
    run(main)
