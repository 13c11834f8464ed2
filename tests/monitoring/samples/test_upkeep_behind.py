"""Upkeep is late, or parts cannot be written: what left the memory is read from the log, as it was."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.monitoring.samples.plain import (
    Plain,
    abandoned,
    equal,
    everything,
    named,
    of,
    opened,
    plain,
    run_upkeep,
    scrape,
)
from watchkeeper.monitoring.promql.ast import Matcher
from watchkeeper.monitoring.samples.disk import Disk
from watchkeeper.monitoring.samples.segment import Segment
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.store.clock import ManualClock, to_ms

A, B = named("a_total", i="1"), named("b_total", i="2")
ROWS = 100
"""Of 15 s each, in a store that keeps two minutes in memory: most of them must leave it."""


def scraped(store: SampleStore, clock: ManualClock, rows: int = ROWS) -> Plain:
    """``rows`` scrapes without a tick; what was stored."""
    out: Plain = {A: {}, B: {}}
    for row in range(rows):
        clock.advance(15)
        ts_ms = to_ms(clock.now())
        scrape(store, "t", ts_ms, {A: float(row), B: 1.0 / (row + 1)})
        out[A] |= of([(ts_ms, float(row))])
        out[B] |= of([(ts_ms, 1.0 / (row + 1))])
    return out


def test_without_a_tick_memory_is_bounded_and_every_sample_is_read(
    tmp_path: Path, clock: ManualClock
) -> None:
    store = opened(tmp_path, clock)
    expected = scraped(store, clock)
    assert len(store.group("t").head) < ROWS / 2
    assert everything(store) == expected
    assert store.series([equal("__name__", "a_total")]) == [A]
    times = sorted(expected[A])
    early = plain(store.select([equal("__name__", "a_total")], times[3], times[7]), times[3], times[7])
    assert early == {A: {ts: expected[A][ts] for ts in times[3:8]}}


def test_a_series_that_only_the_log_has_is_listed_in_its_time(tmp_path: Path, clock: ManualClock) -> None:
    store = opened(tmp_path, clock)
    clock.advance(15)
    early_ms = to_ms(clock.now())
    scrape(store, "gone", early_ms, {B: 1.0})
    scraped(store, clock)
    name_b: list[Matcher] = [equal("__name__", "b_total"), equal("i", "2")]
    assert B in store.series(name_b, early_ms, early_ms)
    assert store.label_values("i", name_b, early_ms, early_ms) == ["2"]
    assert store.series([equal("__name__", "a_total")], early_ms, early_ms + 1) == []


def test_a_restart_before_any_tick_loses_nothing(tmp_path: Path, clock: ManualClock) -> None:
    store = opened(tmp_path, clock)
    expected = scraped(store, clock)
    abandoned(store)
    store = opened(tmp_path, clock)
    assert everything(store) == expected
    run_upkeep(store)
    assert everything(store) == expected


def test_what_comes_after_a_clock_was_set_back_is_read_too(tmp_path: Path, clock: ManualClock) -> None:
    store = opened(tmp_path, clock)
    first = scraped(store, clock, 20)
    run_upkeep(store)
    clock.jump(-100_000)
    second = scraped(store, clock)
    expected = {labels: first[labels] | second[labels] for labels in (A, B)}
    assert len(store.group("t").head) < ROWS / 2
    assert everything(store) == expected


@pytest.mark.parametrize("ticks", [0, 20])
def test_a_late_row_older_than_all_that_a_restart_reads_back_is_shown_and_its_series_ends(
    tmp_path: Path, clock: ManualClock, ticks: int
) -> None:
    store = opened(tmp_path, clock)
    clock.advance(30)
    scrape(store, "t", to_ms(clock.now()), {A: 1.0})
    clock.advance(61)
    store.tick()  # a new segment: the first row will not be needed after a restart
    clock.advance(40)
    now_ms = to_ms(clock.now())
    scrape(store, "t", now_ms, {A: 2.0})
    assert scrape(store, "t", now_ms - 30_000, {B: 9.0}).appended == 1
    clock.advance(30)
    run_upkeep(store, ticks)
    abandoned(store)
    store = opened(tmp_path, clock)
    run_upkeep(store, ticks)
    asked = (now_ms - 40_000, now_ms - 1)
    assert plain(store.select([], *asked), *asked) == {B: of([(now_ms - 30_000, 9.0)])}
    clock.advance(15)
    assert scrape(store, "t", now_ms + 15_000, {A: 3.0}).stale == 1


def test_a_series_that_comes_back_is_judged_by_its_own_last_sample_and_not_by_its_group(
    tmp_path: Path, clock: ManualClock
) -> None:
    store = opened(tmp_path, clock)
    first_ms = to_ms(clock.now())
    store.append_samples("t", [(A, first_ms, 1.0), (B, first_ms, 1.0)])
    clock.advance(100)
    run_upkeep(store)  # the row is in a part, and leaves the memory with the next one
    clock.advance(100)
    now_ms = to_ms(clock.now())
    for second in range(3):
        store.append_samples("t", [(A, now_ms + 1000 * second, 2.0)])
    (head,) = (group.head for group in store.groups_under("t"))
    assert head.first_ms == now_ms
    result = store.append_samples("t", [(B, now_ms - 4000, 3.0), (A, now_ms - 4000, 9.0)])
    assert (result.appended, result.out_of_order) == (1, 1)
    assert everything(store)[B] == of([(first_ms, 1.0), (now_ms - 4000, 3.0)])


class NoParts(Disk):
    """The log can be written, parts cannot: a quota, or the last free bytes of a disk."""

    refuse = True

    def create(self, path: Path) -> int:
        if self.refuse and ".part" in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return super().create(path)


def test_parts_that_cannot_be_written_hide_nothing(tmp_path: Path, clock: ManualClock) -> None:
    disk = NoParts()
    store = opened(tmp_path, clock, disk=disk)
    expected: Plain = {A: {}, B: {}}
    for _ in range(10):
        for labels, samples in scraped(store, clock, 10).items():
            expected[labels] |= samples
        store.tick()
    assert not store.health().ok
    assert len(store.group("t").head) < ROWS / 2
    assert everything(store) == expected
    disk.refuse = False
    for _ in range(30):
        clock.advance(5)
        store.tick()
    assert store.health().ok
    assert everything(store) == expected


def test_a_segment_that_becomes_a_part_while_it_is_read_is_read_there(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path, clock)
    expected = scraped(store, clock)
    listed = store._only_in_log

    def then_overtaken() -> list[Segment]:
        segments = listed()
        if segments:
            clock.advance(3600)
            run_upkeep(store)  # makes the part and removes the segment
        return segments

    monkeypatch.setattr(store._reader, "_only_in_log", then_overtaken)
    assert plain(store.select([], -(1 << 60), 1 << 60)) == expected
    assert store._upkeep.parts
    assert not any(segment.path.exists() for segment in listed())
