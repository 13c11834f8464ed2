"""A half that hangs ends the process; one that is slow, or that a clock makes look so, does not."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from watchkeeper.app.liveness import EXIT_CODE, PATIENCE_SECONDS, Liveness
from watchkeeper.store.clock import ManualClock

INTERVAL = 15.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 1, 5, tzinfo=UTC))


def test_a_half_that_no_longer_comes_by_ends_the_process_and_is_named(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[int] = []
    liveness = Liveness(clock, ended.append)
    liveness.here("scraping")
    clock.advance(PATIENCE_SECONDS + INTERVAL)
    liveness.check("scraping", INTERVAL)
    assert ended == []
    clock.advance(1)
    with caplog.at_level(logging.CRITICAL):
        liveness.check("scraping", INTERVAL)
    assert ended == [EXIT_CODE]
    assert "scraping has hung for 316 s" in caplog.text


def test_a_half_that_has_not_begun_is_given_the_same_time(clock: ManualClock) -> None:
    ended: list[int] = []
    liveness = Liveness(clock, ended.append)
    clock.advance(10_000)  # the process is old, the half is new
    liveness.check("scraping")
    clock.advance(PATIENCE_SECONDS)
    liveness.check("scraping")
    assert ended == []
    clock.advance(1)
    liveness.check("scraping")
    assert ended == [EXIT_CODE]


def test_a_half_that_comes_by_and_a_clock_that_jumps_end_nothing(clock: ManualClock) -> None:
    ended: list[int] = []
    liveness = Liveness(clock, ended.append)
    for _ in range(10):
        liveness.here("scraping")
        clock.advance(PATIENCE_SECONDS)
        clock.jump(86_400)
        liveness.check("scraping")
    assert ended == []
