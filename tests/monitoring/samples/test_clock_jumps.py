"""The wall clock is stepped an hour, either way: the store is never blind, and loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.monitoring.samples.plain import (
    STALE,
    Plain,
    abandoned,
    bits,
    everything,
    named,
    opened,
    plain,
    run_upkeep,
    scrape,
)
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.store.clock import ManualClock, to_ms

A = named("a_total")
HOUR = 3600


class Watched:
    """A store that is scraped and ticked every 15 s; values count the scrapes."""

    def __init__(self, directory: Path, clock: ManualClock) -> None:
        self.directory = directory
        self.clock = clock
        self.store: SampleStore = opened(directory, clock, window_ms=1_200_000)
        self.number = 0
        self.seen: dict[int, int] = {}

    def run(self, seconds: int) -> dict[int, int]:
        """The samples of ``seconds``, each of which was accepted and could be read at once."""
        fresh: dict[int, int] = {}
        for _ in range(seconds // 15):
            self.clock.advance(15)
            self.number += 1
            now_ms = to_ms(self.clock.now())
            assert scrape(self.store, "t", now_ms, {A: float(self.number)}) == (1, 0, 0, 0)
            fresh[now_ms] = bits(float(self.number))
            recent = plain(self.store.select([], now_ms - 60_000, now_ms), now_ms - 60_000, now_ms)
            assert recent[A][now_ms] == bits(float(self.number))
            self.store.tick()
        self.seen |= fresh
        return fresh

    def range(self, start_ms: int, end_ms: int) -> dict[int, int]:
        found: Plain = plain(self.store.select([], start_ms, end_ms), start_ms, end_ms)
        assert found == plain(self.store.select_copies([], start_ms, end_ms))
        return found.get(A, {})

    def restart(self, *, crash: bool) -> None:
        if crash:
            abandoned(self.store)
        else:
            self.store.close()
        self.store = opened(self.directory, self.clock, window_ms=1_200_000)


@pytest.fixture
def watched(tmp_path: Path, clock: ManualClock) -> Watched:
    return Watched(tmp_path, clock)


def test_a_jump_forward_is_a_gap_and_nothing_goes_stale(watched: Watched) -> None:
    watched.run(1800)
    watched.clock.jump(HOUR)
    watched.run(1800)
    assert everything(watched.store) == {A: watched.seen}
    assert STALE not in watched.seen.values()


def test_after_a_jump_back_new_samples_are_stored_and_seen_at_once(watched: Watched) -> None:
    early = watched.run(3000)
    watched.clock.jump(-HOUR / 2)
    now_ms = to_ms(watched.clock.now())
    later = watched.run(300)
    assert watched.store.stats().out_of_order == 0
    before = {ts: value for ts, value in early.items() if ts <= now_ms}
    assert watched.range(now_ms - 900_000, to_ms(watched.clock.now())) == {
        ts: value for ts, value in (before | later).items() if ts >= now_ms - 900_000
    }


def test_samples_of_before_a_jump_back_are_kept_where_no_newer_ones_are(watched: Watched) -> None:
    early = watched.run(3000)
    watched.clock.jump(-HOUR / 2)
    begin_ms = to_ms(watched.clock.now())
    later = watched.run(300)
    end_ms = to_ms(watched.clock.now())
    kept = {ts: value for ts, value in early.items() if ts <= begin_ms or ts > end_ms}
    assert everything(watched.store)[A] == kept | later


@pytest.mark.parametrize("crash", [None, False, True])
def test_a_clock_that_went_back_and_forth_leaves_only_the_stretch_that_was_lived_twice(
    watched: Watched, crash: bool | None
) -> None:
    early = watched.run(3000)
    watched.clock.jump(-HOUR)
    begin_ms = to_ms(watched.clock.now())
    wrong = watched.run(600)
    end_ms = to_ms(watched.clock.now())
    if crash is not None:
        watched.restart(crash=crash)
    watched.clock.jump(HOUR)
    if crash is not None:
        watched.restart(crash=crash)
    later = watched.run(600)
    run_upkeep(watched.store)
    expected = {ts: value for ts, value in early.items() if not begin_ms <= ts <= end_ms} | wrong | later
    assert everything(watched.store)[A] == expected
    now_ms = to_ms(watched.clock.now())
    recent = {ts: value for ts, value in expected.items() if ts > now_ms - 1_500_000}
    assert len(recent) == 60, "the last of the early ones, and the later ones"
    assert watched.range(now_ms - 1_499_999, now_ms) == recent, "rules see across the jump"


def test_a_clock_that_was_wrongly_ahead_and_came_back_does_not_blind_the_store(watched: Watched) -> None:
    watched.run(600)
    watched.clock.jump(HOUR)
    ahead = watched.run(600)
    watched.clock.jump(-HOUR)
    watched.run(600)
    assert watched.store.stats().out_of_order == 0
    now_ms = to_ms(watched.clock.now())
    assert set(watched.range(0, now_ms)) == set(watched.seen) - set(ahead)
    watched.run(2 * HOUR)
    right = {ts: value for ts, value in watched.seen.items() if ahead.get(ts) != value}
    assert everything(watched.store)[A] == right, "time has passed over them"


@pytest.mark.parametrize("crash", [False, True])
def test_a_clock_that_went_back_while_the_store_was_closed(watched: Watched, crash: bool) -> None:
    early = watched.run(1800)
    watched.restart(crash=crash)
    watched.clock.jump(-HOUR / 4)
    begin_ms = to_ms(watched.clock.now())
    watched.restart(crash=crash)
    later = watched.run(300)
    now_ms = to_ms(watched.clock.now())
    expected = {ts: value for ts, value in early.items() if ts < begin_ms} | later
    assert watched.range(now_ms - 1_000_000, now_ms) == {
        ts: value for ts, value in expected.items() if ts >= now_ms - 1_000_000
    }


def test_a_small_step_back_refuses_samples_until_time_has_caught_up(watched: Watched) -> None:
    watched.run(600)
    watched.clock.jump(-10)
    watched.clock.advance(5)
    assert scrape(watched.store, "t", to_ms(watched.clock.now()), {A: 1.0}).out_of_order == 1
    watched.clock.advance(10)
    assert scrape(watched.store, "t", to_ms(watched.clock.now()), {A: 1.0}).appended == 1


def test_a_clock_that_is_a_month_ahead_empties_nothing(tmp_path: Path, clock: ManualClock) -> None:
    watched = Watched(tmp_path, clock)
    early = watched.run(3 * HOUR)
    clock.jump(30 * 24 * HOUR)
    ahead = watched.run(3 * HOUR)
    watched.restart(crash=True)
    ahead |= watched.run(HOUR)
    assert everything(watched.store)[A] == early | ahead
    clock.jump(-30 * 24 * HOUR)
    later = watched.run(HOUR)
    assert everything(watched.store)[A] == early | ahead | later
    clock.jump(30 * 24 * HOUR)
    for _ in range(25 * 4):
        watched.run(900)
    assert not set(early) & set(everything(watched.store)[A]), "after a day it is believed"


def test_the_log_does_not_grow_while_rows_lie_far_in_the_future(watched: Watched) -> None:
    watched.clock.jump(365 * 24 * HOUR)
    watched.run(600)
    watched.clock.jump(-365 * 24 * HOUR)
    watched.run(2 * HOUR)
    assert watched.store.stats().segments <= 5
