"""The platform: starts every process in order, keeps them running, and ends them all.

Whoever started it calls :meth:`Platform.stop` in a ``finally``; the janitor and the kernel do it otherwise.
A process that ends by itself is started again, unless a fault wants it down.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp

from watchkeeper.demo import directory as directories
from watchkeeper.demo import postgres, seaweed
from watchkeeper.demo.children import Child, Janitor, Program, free_ports, spawn, wait_ready
from watchkeeper.demo.control import CONFIG, STATE, own_state
from watchkeeper.demo.errors import DemoError
from watchkeeper.demo.overlay import write_overlay
from watchkeeper.demo.s3 import S3Client, S3Error
from watchkeeper.demo.settings import (
    BUCKET,
    CONFIG_VARIABLE,
    DR_REGION,
    MIB,
    REGION,
    Cluster,
    Settings,
    write_private,
)
from watchkeeper.demo.tls import create_certificate
from watchkeeper.store.clock import Clock

logger = logging.getLogger(__name__)

CAPACITY_BYTES = 128 * MIB
START_SECONDS = 30.0
RESTARTS = 5
RESTART_SECONDS = 60.0
"""So often in such a time a process is started again before the demo gives up."""

Report = Callable[[str], None]


class Platform:
    """Everything that is watched. ``report`` gets a line for each step."""

    def __init__(self, directory: Path, session: aiohttp.ClientSession, clock: Clock, report: Report) -> None:
        self.session = session
        self.clock = clock
        self.children: dict[str, Child] = {}
        self._report = report
        self._began = clock.monotonic()
        self._halted: set[str] = set()
        self._restarts: dict[str, list[float]] = {}
        postgres.package()
        seaweed.binary()
        directories.claim(directory, readable_by=postgres.system_user())
        self.janitor = Janitor()
        self.janitor.tell(f"directory {directory}")
        self.settings = new_settings(directory)
        self._postgres = postgres.Postgres(self.settings, self.janitor)

    async def start(self) -> None:
        """Start everything; when it returns, the platform serves its load."""
        settings = self.settings
        settings.save(settings.path / CONFIG)
        write_private(settings.path / "pager-secret", secrets.token_hex(32))
        create_certificate(settings.path / "tls", self.clock.now())
        write_overlay(settings, settings.path / "overlay.yaml")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._start_services())
            for cluster in settings.clusters:
                group.create_task(self._start_cluster(cluster))
            group.create_task(self._start_python("idp", settings.idp_port))
            group.create_task(self._start_python("exporter", settings.exporter_port))
        await self._start_python("load", settings.load_port)
        self.write_state()
        self.say(f"{settings.requests_per_second:.0f} requests per second run against it")

    async def keep(self) -> None:
        """Start again what ends by itself. Raises :class:`DemoError` when something will not stay up."""
        while True:
            await self.clock.wait(0.5)
            for name, child in list(self.children.items()):
                if child.running or child.program.interactive or name in self._halted:
                    continue
                now = self.clock.monotonic()
                recent = [at for at in self._restarts.get(name, []) if now - at < RESTART_SECONDS]
                self._restarts[name] = [*recent, now]
                if len(recent) >= RESTARTS:
                    raise DemoError(
                        f"{name} ended {len(recent) + 1} times in a minute and is given up "
                        f"(code {child.process.returncode}). The end of its log:\n{child.last_words()}"
                    )
                self.say(f"{name} ended with code {child.process.returncode} and is started again")
                self.children[name] = await spawn(child.program, self.janitor)
                self.write_state()

    async def stop(self) -> None:
        """End every process, the load first and the stores last; then the directory goes."""
        order = [name for name in reversed(self.children) if not name.startswith(("postgres", "s3"))]
        for name in order:
            self._halted.add(name)
        await asyncio.gather(*(self.children[name].stop() for name in order))
        stores = [child for child in self.children.values() if child.name not in order]
        self._halted.update(child.name for child in stores)
        await asyncio.gather(*(child.stop() for child in stores))
        await self.janitor.finish()

    async def halt(self, name: str) -> None:
        """Stop one process and keep it stopped."""
        self._halted.add(name)
        await self.children[name].stop()

    async def resume(self, name: str) -> None:
        """Start it again and wait until it answers."""
        if not self.children[name].running:
            await self._start_python(name, getattr(self.settings, f"{name}_port"))
        self._halted.discard(name)
        self.write_state()

    async def add(self, program: Program) -> Child:
        """Start a process of ours that is not part of the platform, and look after it too."""
        child = self.children[program.name] = await spawn(program, self.janitor)
        self.write_state()
        return child

    def say(self, text: str) -> None:
        """Report a step with the seconds since the beginning."""
        self._report(f"[{self.clock.monotonic() - self._began:5.1f} s] {text}")

    def write_state(self) -> None:
        """Let the command line find this demo."""
        state = {
            **own_state(),
            "control_port": self.settings.control_port,
            "control_token": self.settings.control_token,
            "janitor": self.janitor.pid,
            "processes": {name: child.process.pid for name, child in self.children.items() if child.running},
        }
        write_private(self.settings.path / STATE, json.dumps(state, indent=1))

    async def _start_services(self) -> None:
        self.children["postgres-primary"] = child = await self._postgres.start_primary()
        await wait_ready("PostgreSQL", self._postgres.answers, child, self.clock, START_SECONDS)
        await self._postgres.create_schema()
        self.say(f"PostgreSQL {postgres.VERSION} is up on port {self.settings.postgres_port}")
        self.children["postgres-standby"] = child = await self._postgres.start_standby()

        async def standby_answers() -> bool:
            return await self._postgres.answers(standby=True)

        await wait_ready("the PostgreSQL standby", standby_answers, child, self.clock, START_SECONDS)
        self.say(f"its standby streams on port {self.settings.standby_port}")
        async with asyncio.TaskGroup() as group:
            for name in ("backend", "worker"):
                group.create_task(self._start_python(name, getattr(self.settings, f"{name}_port")))

    async def _start_cluster(self, cluster: Cluster) -> None:
        child = await seaweed.start(cluster, self.settings.path, self.janitor)
        self.children[child.name] = child

        async def usable() -> bool:
            if not await seaweed.answers(self.session, cluster):
                return False
            client = S3Client(self.session, cluster, self.clock)
            try:
                await client.create_bucket(BUCKET)
                await client.put(BUCKET, "ready", b"ready")
            except S3Error:
                return False
            return True

        await wait_ready(f"the {cluster.name} S3 cluster", usable, child, self.clock, START_SECONDS)
        self.say(f"S3 cluster {cluster.name} ({cluster.region}) is up on port {cluster.s3}")

    async def _start_python(self, name: str, port: int) -> None:
        program = Program(
            name=name,
            command=(sys.executable, "-m", f"watchkeeper.demo.{name}"),
            log=self.settings.path / "logs" / f"{name}.log",
            environment={CONFIG_VARIABLE: str(self.settings.path / CONFIG), "PYTHONUNBUFFERED": "1"},
            patience_seconds=3.0,
        )
        child = self.children[name] = await spawn(program, self.janitor)

        async def answers() -> bool:
            return await answers_http(self.session, f"http://127.0.0.1:{port}/metrics")

        await wait_ready(name, answers, child, self.clock, START_SECONDS)
        self.say(f"{name} answers on port {port}")


async def answers_http(session: aiohttp.ClientSession, url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def new_settings(directory: Path) -> Settings:
    """Fresh ports and credentials for a demo in ``directory``."""
    ports = iter(free_ports(27))

    def cluster(name: str, region: str) -> Cluster:
        return Cluster(
            name=name,
            region=region,
            master=next(ports),
            volume=next(ports),
            filer=next(ports),
            s3=next(ports),
            metrics=next(ports),
            grpc=(next(ports), next(ports), next(ports), next(ports)),
            access_key=secrets.token_hex(10).upper(),
            secret_key=secrets.token_urlsafe(30),
            capacity_bytes=CAPACITY_BYTES,
        )

    return Settings(
        directory=str(directory),
        postgres_port=next(ports),
        standby_port=next(ports),
        backend_port=next(ports),
        tls_port=next(ports),
        idp_port=next(ports),
        worker_port=next(ports),
        exporter_port=next(ports),
        load_port=next(ports),
        control_port=next(ports),
        primary=cluster("primary", REGION),
        dr=cluster("dr", DR_REGION),
        app_password=secrets.token_hex(16),
        superuser_password=secrets.token_hex(16),
        password_seed=secrets.token_hex(16),
        control_token=secrets.token_hex(24),
    )
