"""What goes wrong in a simulated deployment, drawn from a seed: crashes, a store that fails, steps of clocks.

Always true: a crash is raised at a point that was chosen before (a statement, a commit, a send), so that the
same seed dies at the same place; it is a ``BaseException``, which no guard of the product catches, as none
survives ``kill -9``; the errors of the store are SQLite's own (a lock that another connection holds, a file
that may not grow), so that the way from the driver's error to the product's is walked too
(tests/simulation/test_faults.py).

One thing differs from a real lock: nobody waits the fifteen seconds until a writer gives up.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event

from watchkeeper.store.clock import Clock
from watchkeeper.store.database import FILE_NAME, Store, open_store

_UNLIMITED = 1073741823
_WRITES = ("INSERT", "UPDATE", "DELETE")


class Crash(BaseException):
    """The process ``process`` is dead; whatever it had not committed never was."""

    def __init__(self, process: str) -> None:
        super().__init__(process)
        self.process = process


class Point(StrEnum):
    """Where a process can die."""

    BEFORE_STATEMENT = "before a statement"
    AFTER_WRITE = "after a write"
    BEFORE_COMMIT = "before a commit"
    AFTER_COMMIT = "after a commit"
    BEFORE_SEND = "before a send"
    AFTER_SEND = "after a send"


class Trouble(StrEnum):
    """What can be wrong with the store."""

    BUSY = "another writer holds the store"
    FULL = "the disk is full"


@dataclass
class _Armed:
    point: Point
    left: int


class Faults:
    """Which fault is next, and how many there were by kind."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.commits = 0
        """Transactions that were committed: while it does not grow, there is nothing new to be read."""
        self.trouble: Trouble | None = None
        self._armed: dict[str, _Armed] = {}
        self._lock: sqlite3.Connection | None = None

    def arm(self, process: str, point: Point, count: int) -> None:
        """Let ``process`` die the ``count``-th time from now that it comes to ``point``."""
        self._armed[process] = _Armed(point, max(1, count))

    def disarm(self) -> None:
        """Let nobody die any more."""
        self._armed.clear()

    def reach(self, process: str, point: Point) -> None:
        """``process`` is at ``point``. Raises :class:`Crash` where it is to die there."""
        armed = self._armed.get(process)
        if armed is None or armed.point is not point:
            return
        armed.left -= 1
        if armed.left <= 0:
            del self._armed[process]
            self.counts[f"crash {point}"] += 1
            raise Crash(process)

    def begin_trouble(self, trouble: Trouble, directory: Path) -> None:
        """From now on the store in ``directory`` cannot be written."""
        self.end_trouble()
        self.trouble = trouble
        self.counts[trouble.value] += 1
        if trouble is Trouble.BUSY:
            self._lock = sqlite3.connect(directory / FILE_NAME, isolation_level=None)
            self._lock.execute("BEGIN IMMEDIATE")

    def end_trouble(self) -> None:
        """The store can be written again."""
        self.trouble = None
        if self._lock is not None:
            self._lock.rollback()
            self._lock.close()
            self._lock = None

    def open(self, directory: Path, clock: Clock, process: str) -> Store:
        """The store as ``process`` opens it, with every point at which it can die. Raises StoreError."""
        return FragileStore(open_store(directory, clock), self, process)


class FragileStore(Store):
    """The real store, whose process can die at any statement, and whose disk can be full."""

    def __init__(self, opened: Store, faults: Faults, process: str) -> None:
        assert opened._writer is not None
        super().__init__(opened.place, opened._writer, opened._reader)
        self._faults = faults
        self._process = process
        self._limited = False
        for engine in (opened._writer, opened._reader):
            engine.dispose()
            event.listen(engine, "connect", _wait_for_nobody)
            self._listen(engine)
        event.listen(opened._writer, "commit", self._before_commit)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """As the real one; beside that it counts, and dies, after the commit."""
        with super().write() as conn:
            full = self._faults.trouble is Trouble.FULL
            if full is not self._limited:
                self._limit(conn, 1 if full else _UNLIMITED)
                self._limited = full
            yield conn
        self._faults.commits += 1
        self._faults.reach(self._process, Point.AFTER_COMMIT)

    @staticmethod
    def _limit(conn: Connection, pages: int) -> None:
        raw = conn.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        raw.execute(f"PRAGMA max_page_count={pages}")  # never less than the file has already

    def _listen(self, engine: Engine) -> None:
        faults, process = self._faults, self._process

        def before(_conn: Any, _cursor: Any, _statement: str, *_: Any) -> None:
            faults.reach(process, Point.BEFORE_STATEMENT)

        def after(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if statement.startswith(_WRITES):
                faults.reach(process, Point.AFTER_WRITE)

        event.listen(engine, "before_cursor_execute", before)
        event.listen(engine, "after_cursor_execute", after)

    def _before_commit(self, _conn: Connection) -> None:
        self._faults.reach(self._process, Point.BEFORE_COMMIT)


def _wait_for_nobody(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA busy_timeout=0")
