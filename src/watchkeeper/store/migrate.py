"""Brings a store's schema to this version, once, whoever starts first.

Always true here: one process migrates at a time (a lock file beside a SQLite file, the lock of all writers on
PostgreSQL); an upgrade is one transaction, so a failed one changes nothing; a schema that this version does
not know is refused and left alone (tests/store/test_migrations.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from watchkeeper.store.clock import Clock
from watchkeeper.store.errors import StoreBusyError, StoreCorruptError, StoreError, StoreNewerError

HEAD = "0010"
"""The revision that this version writes and reads (a test holds it to the newest module)."""

LOCK_SECONDS = 60.0


def current_revision(connection: Connection, place: str) -> str | None:
    """The schema's revision; ``None`` for an empty database.

    Raises :class:`StoreCorruptError` for a database that holds tables, but not ours.
    """
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        if tables:
            raise StoreCorruptError(
                f"{place} is a database, but not one of Watchkeeper's (it holds {tables[0]!r}). "
                "It was not touched; name another place with --data or --store."
            )
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def require_head(revision: str | None, place: str) -> None:
    """Refuse to read a schema of another version. Raises :class:`StoreError` with what to do about it."""
    if revision == HEAD:
        return
    if revision is None or revision < HEAD:
        raise StoreError(
            f"{place} has the schema of an older version ({revision or 'none'}; this one reads {HEAD}). "
            "It is intact; start `watchkeeper serve` of this version once, which brings it up to date."
        )
    raise newer(revision, place)


def known(revision: str) -> bool:
    """Whether this version can read, or bring up to date, a schema of that revision."""
    return revision.isdecimal() and revision <= HEAD


def newer(revision: str, place: str) -> StoreNewerError:
    """The error for a schema that is ahead of this version."""
    return StoreNewerError(
        f"{place} was written by a newer Watchkeeper (schema {revision}; this one knows up to {HEAD}). "
        "It was not touched; run the newer version, or restore the copy from before its upgrade."
    )


def upgrade(connection: Connection, revision: str | None, place: str) -> None:
    """Run what is missing after ``revision`` on ``connection``, inside its transaction."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise newer(revision, place)
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)


@contextlib.contextmanager
def file_lock(path: Path, clock: Clock, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold the lock file ``path``; it ends with the process, however that ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = clock.monotonic() + seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if clock.monotonic() >= deadline:
                    raise StoreBusyError(
                        f"another process has been opening the store for {seconds:.0f} s (it holds {path}). "
                        "Nothing was changed; look for a stuck watchkeeper process, then start again."
                    ) from None
                clock.sleep(0.02)
        yield
    finally:
        os.close(descriptor)
