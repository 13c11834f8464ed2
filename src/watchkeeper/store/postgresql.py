"""The store's connections to PostgreSQL: where it is, how long it is waited for, and one writer at a time.

Always true here: of all processes on one database only one is inside ``write()`` (an advisory lock that ends
with the transaction, ADR 0015); a database that hangs, refuses or goes away is a :class:`StoreError` within
``ANSWER_SECONDS``, and the next use connects anew; a commit is on the server's disk before it returns; no
password is in any text (tests/store/test_postgresql.py, test_postgresql_outages.py).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError

from watchkeeper.store.clock import SystemClock
from watchkeeper.store.errors import StoreError, StoreReadOnlyError

PASSWORD_FILE_VARIABLE = "WATCHKEEPER_STORE_PASSWORD_FILE"  # noqa: S105 - the name of a variable
EXAMPLE = "postgresql://watchkeeper@db.example.com/watchkeeper"
OLDEST = 13
CONNECT_SECONDS = 10
LOCK_SECONDS = 15
"""As long as SQLite's writers wait for each other."""
STATEMENT_SECONDS = 30
ANSWER_SECONDS = 40.0
"""A server that obeys STATEMENT_SECONDS answers before; one that does not is given up."""
IDLE_SECONDS = 60
"""A writer that stopped in the middle (its machine froze) is thrown out, so that the others can go on."""
READERS, MORE_READERS = 4, 8
_WRITER_LOCK = 0x77617463686B6570  # "watchkep"
_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
_KEEPALIVES = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3}


def is_url(where: object) -> bool:
    """Whether ``where`` is a database's URL and not a directory."""
    return isinstance(where, str) and "://" in where


def parse(where: str) -> URL:
    """The database at the URL ``where``. Raises :class:`StoreError`, in which no part of it is shown."""
    try:
        url = make_url(where)
    except (ArgumentError, ValueError):
        raise StoreError(f"the store's URL cannot be read; write it like {EXAMPLE}") from None
    if url.drivername not in _SCHEMES:
        raise StoreError(
            f"a store cannot be kept in {url.drivername!r}; write {EXAMPLE}, or leave it out: "
            "then it is a SQLite file in the data directory"
        )
    if not url.database and "service" not in url.query:
        raise StoreError(f"the store's URL names no database; write it like {EXAMPLE}")
    return url.set(drivername="postgresql+psycopg")


def has_password(where: str) -> bool:
    """Whether the URL ``where`` carries a password. Raises :class:`StoreError`."""
    url = parse(where)
    return bool(url.password) or "password" in url.query


def shown(url: URL) -> str:
    """The database in words that may be printed: no password, no parameters."""
    host = url.host or url.query.get("host")
    named = host if isinstance(host, str) and "/" not in host else None
    bare = URL.create("postgresql", url.username, host=named, port=url.port, database=url.database)
    return bare.render_as_string()


def writer(url: URL) -> Engine:
    """The engine of ``write()``: one connection, whose transactions begin with the lock of all writers."""
    engine = _engine(url, {}, pool_size=1, max_overflow=0)

    @event.listens_for(engine, "begin")
    def _queue(connection: Connection) -> None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")

    return engine


def reader(url: URL) -> Engine:
    """The engine of ``read()``: each transaction is one snapshot that cannot write."""
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    return _engine(url, options, pool_size=READERS, max_overflow=MORE_READERS)


def require_usable(connection: Connection, place: str, *, write: bool) -> None:
    """Refuse a database that is no place for a store. Raises :class:`StoreError` with what to do."""
    version, encoding, replica = connection.execute(
        text(
            "SELECT current_setting('server_version_num')::int, "
            "(SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()), "
            "pg_is_in_recovery()"
        )
    ).one()
    if version < OLDEST * 10_000:
        raise StoreError(
            f"{place} is PostgreSQL {version // 10_000}; Watchkeeper needs {OLDEST} or newer. "
            "Nothing was changed."
        )
    if encoding != "UTF8":
        raise StoreError(
            f"{place} is kept in {encoding}, which cannot hold every text. Nothing was changed; make a "
            "database with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0."
        )
    if write and replica:
        raise StoreReadOnlyError(
            f"{place} is a replica, which cannot be written. Nothing was changed; name the primary "
            "(with several hosts in the URL: ?target_session_attrs=read-write)."
        )


@contextlib.contextmanager
def unhurried(connection: Connection) -> Iterator[None]:
    """Let the statements in the block take as long as they need (an upgrade rewrites tables)."""
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    driver: Any = connection.connection.driver_connection
    driver.answer_seconds = None
    try:
        yield
    finally:
        driver.answer_seconds = ANSWER_SECONDS


def _engine(url: URL, options: dict[str, Any], **sizes: int) -> Engine:
    connection_class = _driver()
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_recycle=1800,
        pool_timeout=LOCK_SECONDS,
        execution_options=options,
        **sizes,
    )

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: object, _record: object, _given: object, parameters: dict[str, Any]) -> Any:
        defaults = {"connect_timeout": CONNECT_SECONDS, "application_name": "watchkeeper", **_KEEPALIVES}
        wanted = {**defaults, **parameters}
        if "password" not in wanted and (stored := _stored_password()):
            wanted["password"] = stored
        return connection_class.connect(**wanted)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_SESSION)
        connection.commit()

    return engine


# Settings of the session, not parameters of the connection: poolers such as PgBouncer refuse the latter.
_SESSION = f"""SELECT
  set_config('lock_timeout', '{LOCK_SECONDS}s', false),
  set_config('statement_timeout', '{STATEMENT_SECONDS}s', false),
  set_config('idle_in_transaction_session_timeout', '{IDLE_SECONDS}s', false),
  set_config('client_min_messages', 'warning', false),
  CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END
"""


def _stored_password() -> str | None:
    """What the file of ``WATCHKEEPER_STORE_PASSWORD_FILE`` holds now; read anew for every connection."""
    path = os.environ.get(PASSWORD_FILE_VARIABLE)
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n") or None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise StoreError(
            f"the store's password cannot be read from {path} ({PASSWORD_FILE_VARIABLE}): {why}"
        ) from None


@cache
def _driver() -> Any:
    """psycopg's connection, which waits no longer than ``answer_seconds`` for any answer."""
    try:
        import psycopg
    except ImportError:
        raise StoreError(
            "a store on PostgreSQL needs a driver that is not installed; nothing was changed. "
            "Install it: pip install 'watchkeeper[postgresql]'"
        ) from None

    class Impatient(psycopg.Connection[Any]):
        """Gives up a server that says nothing: its own time-outs do not help when it is it that hangs."""

        answer_seconds: float | None = ANSWER_SECONDS

        def wait(self, gen: Any, *given: Any, **named: Any) -> Any:
            return super().wait(self._bounded(gen), *given, **named)

        def _bounded(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
            clock = SystemClock()  # the server's answers take time on no other
            begun = clock.monotonic()
            try:
                wanted = next(gen)
                while True:
                    wanted = gen.send((yield wanted))
                    seconds = self.answer_seconds
                    if seconds is not None and clock.monotonic() - begun > seconds:
                        self.pgconn.finish()
                        raise psycopg.OperationalError(f"the server gave no answer for {seconds:.0f} s")
            except StopIteration as end:
                return end.value

    return Impatient
