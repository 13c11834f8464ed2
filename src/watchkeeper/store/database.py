"""Opening the store, and the two ways into it: ``write`` (one at a time, durable) and ``read`` (a snapshot).

Always true here, on SQLite and on PostgreSQL: a write is committed whole and synced to disk before
``write()`` returns, or not at all; writers take their lock at once (``BEGIN IMMEDIATE``, an advisory lock),
so none fails half way for want of it, and what one reads stays true until it commits; readers never wait for
writers; whatever goes wrong surfaces as a :class:`StoreError` that says what is still safe
(tests/store/test_database.py, test_writers.py).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from watchkeeper.store import migrate, postgresql
from watchkeeper.store.clock import Clock, SystemClock
from watchkeeper.store.errors import StoreCorruptError, StoreError, StoreMissingError, StoreReadOnlyError
from watchkeeper.store.faults import busy, explain

FILE_NAME = "watchkeeper.db"
BUSY_SECONDS = 15.0
_MAGIC = b"SQLite format 3\0"


class Store:
    """An open store. Safe to share between threads; a process that forks opens its own."""

    def __init__(self, place: str, writer: Engine | None, reader: Engine) -> None:
        self.place = place
        self._writer = writer
        self._reader = reader
        self._held = threading.local()

    @property
    def file(self) -> Path | None:
        """The SQLite file; None for a database server."""
        return None if "://" in self.place else Path(self.place)

    @property
    def read_only(self) -> bool:
        """Whether this store was opened without the right to write."""
        return self._writer is None

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that may write: committed when the block ends, undone when it raises.

        Writers queue, within the process and between processes. Raises :class:`StoreError`.
        """
        if self._writer is None:
            raise StoreReadOnlyError(
                f"{self.place} was opened for reading only; nothing was changed. "
                "Only the processes of `watchkeeper serve` write to it."
            )
        if getattr(self._held, "writing", False):
            raise RuntimeError("store.write() inside store.write(): pass the connection on instead")
        self._held.writing = True
        try:
            with self._explained(), self._writer.begin() as connection:
                yield connection
        finally:
            self._held.writing = False

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent snapshot, for reading. Raises :class:`StoreError`."""
        with self._explained(), self._reader.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._reader.dispose()
        if self._writer is not None:
            self._writer.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise  # a constraint of ours, which the caller either handles or must see as a defect
        except DBAPIError as error:
            raise explain(error, self.place) from error
        except PoolTimeoutError as error:
            raise busy(self.place) from error


def open_store(where: Path | str, clock: Clock | None = None) -> Store:
    """Open, and if need be create or upgrade, the store in the data directory ``where``.

    A text with ``://`` is a database's URL instead (``postgresql://user@host/name``). Raises
    :class:`StoreError`.
    """
    clock = clock or SystemClock()
    if isinstance(where, str) and postgresql.is_url(where):
        return _open_url(postgresql.parse(where))
    path = Path(where) / FILE_NAME
    store = Store(str(path), _sqlite(path, "write"), _sqlite(path, "read"))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with migrate.file_lock(path.with_name(path.name + ".lock"), clock):
            _refuse_foreign_file(path)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            _migrate_sqlite(store, path)
    except OSError as error:
        store.close()
        raise StoreError(
            f"the store {path} cannot be opened: {error.strerror}. Nothing was changed; "
            "check the directory's permissions and space, or name another with --data."
        ) from error
    except BaseException:
        store.close()
        raise
    return store


def open_existing(where: Path | str, *, write: bool = False) -> Store:
    """Open a store for reading (with ``write`` for writing too), leaving its schema exactly as it is.

    Raises :class:`StoreMissingError` where there is none yet, and :class:`StoreError` for one that this
    version cannot read.
    """
    if isinstance(where, str) and postgresql.is_url(where):
        url = postgresql.parse(where)
        writer = postgresql.writer(url) if write else None
        store = Store(postgresql.shown(url), writer, postgresql.reader(url))
    else:
        path = Path(where) / FILE_NAME
        if not path.exists() or path.stat().st_size == 0:
            raise StoreMissingError(
                f"there is no store in {path.parent} yet; `watchkeeper serve` makes one, "
                "--data or WATCHKEEPER_DATA names another directory"
            )
        _refuse_foreign_file(path)
        writer = _sqlite(path, "write") if write else None
        store = Store(str(path), writer, _sqlite(path, "only-read"))
    try:
        with store.read() as connection:
            if connection.dialect.name == "postgresql":
                postgresql.require_usable(connection, store.place, write=write)
            revision = migrate.current_revision(connection, store.place)
            if revision is None:
                raise StoreMissingError(
                    f"there is no store in {store.place} yet; `watchkeeper serve` makes one, "
                    "--data or --store names another place"
                )
            migrate.require_head(revision, store.place)
    except BaseException:
        store.close()
        raise
    return store


def open_copy(path: Path) -> Store:
    """Open a SQLite file that is a copy of a store, of whatever revision, for reading.

    Raises :class:`StoreError` for a file that is none.
    """
    _refuse_foreign_file(path)
    return Store(str(path), None, _sqlite(path, "only-read"))


def _migrate_sqlite(store: Store, path: Path) -> None:
    with contextlib.closing(_raw(path)) as raw:
        try:
            raw.execute("PRAGMA journal_mode=WAL")
            raw.execute("SELECT name FROM sqlite_master LIMIT 1").fetchall()
        except sqlite3.DatabaseError as error:
            raise explain(error, store.place) from error
    with store.read() as connection:
        revision = migrate.current_revision(connection, store.place)
    if revision == migrate.HEAD:
        return
    with store.write() as connection:
        migrate.upgrade(connection, revision, store.place)


def _open_url(url: URL) -> Store:
    store = Store(postgresql.shown(url), postgresql.writer(url), postgresql.reader(url))
    try:
        with store.read() as connection:
            postgresql.require_usable(connection, store.place, write=True)
            revision = migrate.current_revision(connection, store.place)
        if revision != migrate.HEAD:
            with store.write() as connection, postgresql.unhurried(connection):
                # Another process may have been faster, as this one waited for the lock of all writers.
                revision = migrate.current_revision(connection, store.place)
                if revision != migrate.HEAD:
                    migrate.upgrade(connection, revision, store.place)
    except BaseException:
        store.close()
        raise
    return store


def _refuse_foreign_file(path: Path) -> None:
    """A file that SQLite would call malformed or, worse, overwrite is refused by its first bytes."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
    except FileNotFoundError:
        return
    if start and start != _MAGIC:
        raise StoreCorruptError(
            f"{path} is not a SQLite database (it may be damaged or of another program). It was not touched; "
            "move it away to start afresh, or put the last good copy in its place."
        )


def _raw(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)


def _sqlite(path: Path, use: str) -> Engine:
    """An engine whose connections begin as ``use`` needs: ``write``, ``read`` or ``only-read``."""
    arguments: dict[str, Any] = {"timeout": BUSY_SECONDS}
    if use == "only-read":
        url = URL.create("sqlite", database=f"{path.absolute().as_uri()}?mode=ro", query={"uri": "true"})
    else:
        url = URL.create("sqlite", database=str(path))
    sizes = {"pool_size": 1, "max_overflow": 0} if use == "write" else {"pool_size": 4, "max_overflow": 12}
    engine = create_engine(
        url, connect_args=arguments, hide_parameters=True, pool_timeout=BUSY_SECONDS, **sizes
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, see below
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(
            "PRAGMA recursive_triggers=ON"
        )  # REPLACE must not slip past the journal's triggers
        connection.execute("PRAGMA journal_size_limit=67108864")
        if use != "write":
            connection.execute("PRAGMA query_only=ON")

    begin = "BEGIN IMMEDIATE" if use == "write" else "BEGIN"

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
