"""An empty store on each database, and a runbook with two rotas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oncall.rotas import RUNBOOK
from watchkeeper.runbook.loading import load_bytes
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store.database import Store, open_store


@pytest.fixture
def store(place: Path | str) -> Iterator[Store]:
    with open_store(place) as opened:
        yield opened


@pytest.fixture
def runbook() -> Runbook:
    return load_bytes("runbook.yaml", RUNBOOK.encode()).runbook
