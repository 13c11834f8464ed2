"""An empty store on each database, and the moment at which most of these tests begin."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.postgresql import Server
from watchkeeper.store.database import Store, open_store

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)


@pytest.fixture
def store(place: Path | str) -> Iterator[Store]:
    with open_store(place) as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgresql"])
def nothing(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a store can be made: an empty directory, or the URL of an empty database."""
    if request.param == "sqlite":
        return tmp_path
    server: Server = request.getfixturevalue("postgresql")
    return server.database()


@pytest.fixture
def now() -> datetime:
    return NOW
