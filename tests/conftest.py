"""What every room's tests share: both databases. A test that takes ``place`` runs on each of them.

One that is about files says so, with ``tests.postgresql.sqlite_only``.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.postgresql import Server
from watchkeeper.store.database import FILE_NAME, open_store

settings.register_profile("same", derandomize=True)
settings.load_profile("default" if os.environ.get("WATCHKEEPER_EXPLORE") else "same")
"""`make test` asks of properties the same each time, so that it fails for whoever broke something; `make
test-long` explores, with other examples each time."""

LONG_ON_POSTGRESQL = ("tests/access/", "tests/console/", "tests/monitoring/", "tests/oncall/")
"""Rooms of many tests that read and write as others do, whose tests run on both databases always."""


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what is long
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        given = getattr(item, "callspec", None)
        on_postgresql = given is not None and given.params.get("place") == "postgresql"
        if on_postgresql and item.nodeid.startswith(LONG_ON_POSTGRESQL):
            item.add_marker(pytest.mark.long)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A server that all tests of a run share; it starts when the first asks for it.

    Not in pytest's own directory: every run of pytest closes that to others, such as the server's user.
    """
    server = Server(Path(tempfile.mkdtemp(prefix="watchkeeper-postgresql-")))
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in a file, to be copied: a tenth of the time that making one takes."""
    directory = tmp_path_factory.mktemp("empty")
    open_store(directory).close()
    return directory / FILE_NAME


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | str]:
    """Where an empty store is: a directory, or the URL of a database."""
    if request.param == "sqlite":
        shutil.copyfile(request.getfixturevalue("empty_file"), tmp_path / FILE_NAME)
        yield tmp_path
        return
    server: Server = request.getfixturevalue("postgresql")
    with server.store() as url:
        yield url
