"""An empty store on each database, a clock that stands still, and a quick stand-in for Argon2 that counts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.access.people import Counting
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store, open_store

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)


@pytest.fixture
def store(place: Path | str) -> Iterator[Store]:
    with open_store(place) as opened:
        yield opened


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def verify() -> Counting:
    return Counting()
