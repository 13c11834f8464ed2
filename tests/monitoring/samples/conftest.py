"""A clock at the start of the plain model's time."""

from __future__ import annotations

import pytest

from tests.monitoring.samples.plain import START
from watchkeeper.store.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)
