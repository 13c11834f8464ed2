"""The disk is full, or fails: samples keep flowing, it is said, and nothing stored is lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.monitoring.samples.plain import Plain, everything, named, of, opened, run_upkeep, scrape
from watchkeeper.monitoring.samples.disk import Disk
from watchkeeper.monitoring.samples.store import SampleStore
from watchkeeper.store.clock import ManualClock, to_ms

A, B = named("a_total", i="1"), named("b_total", i="2")


class FailingDisk(Disk):
    """Room for ``room`` more bytes (None: plenty); a write that does not fit leaves a part of itself."""

    def __init__(self) -> None:
        self.room: int | None = None
        self.error = errno.ENOSPC
        self.fsync_error: int | None = None
        self.cannot_truncate = False

    def write(self, descriptor: int, data: bytes) -> None:
        if self.room is None:
            super().write(descriptor, data)
            return
        fits = data[: self.room]
        super().write(descriptor, fits)
        self.room -= len(fits)
        if len(fits) < len(data):
            raise OSError(self.error, os.strerror(self.error))

    def create(self, path: Path) -> int:
        if self.room == 0:
            raise OSError(self.error, os.strerror(self.error), str(path))
        return super().create(path)

    def truncate(self, descriptor: int, size: int) -> None:
        if self.cannot_truncate:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().truncate(descriptor, size)

    def fsync(self, descriptor: int) -> None:
        if self.fsync_error is not None:
            raise OSError(self.fsync_error, os.strerror(self.fsync_error))
        super().fsync(descriptor)


class Scraped:
    """A store on a failing disk, and what it should have."""

    def __init__(self, directory: Path, clock: ManualClock) -> None:
        self.directory = directory
        self.clock = clock
        self.disk = FailingDisk()
        self.store = self.open()
        self.expected: Plain = {A: {}, B: {}}
        self.rows = 0

    def open(self) -> SampleStore:
        return opened(self.directory, self.clock, disk=self.disk, window_ms=1_200_000)

    def scrape(self, times: int) -> None:
        for _ in range(times):
            self.clock.advance(15)
            self.rows += 1
            ts_ms = to_ms(self.clock.now())
            result = scrape(self.store, "t", ts_ms, {A: float(self.rows), B: 1e9 / self.rows})
            assert result.appended == 2
            self.expected[A] |= of([(ts_ms, float(self.rows))])
            self.expected[B] |= of([(ts_ms, 1e9 / self.rows)])
            self.store.tick()

    def reopened(self) -> Plain:
        self.store.close()
        self.store = self.open()
        return everything(self.store)


@pytest.fixture
def scraped(tmp_path: Path, clock: ManualClock) -> Scraped:
    return Scraped(tmp_path, clock)


@pytest.mark.parametrize("room", [0, 1, 60, 150])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_samples_keep_flowing_and_come_to_the_disk_when_there_is_room(
    scraped: Scraped, room: int, error: int
) -> None:
    scraped.scrape(5)
    scraped.disk.room, scraped.disk.error = room, error
    scraped.scrape(8)
    assert everything(scraped.store) == scraped.expected
    problem = scraped.store.health().problems[0]
    assert problem.what == "log"
    assert os.strerror(error) in problem.text
    assert "kept in memory for 20 min" in problem.text

    scraped.disk.room = None
    scraped.scrape(3)
    assert scraped.store.health().ok
    assert scraped.reopened() == scraped.expected
    assert scraped.store.health().ok, "nothing on the disk is damaged"


def test_a_store_closed_while_the_disk_is_full_keeps_what_was_written_before(scraped: Scraped) -> None:
    scraped.scrape(5)
    before = everything(scraped.store)
    scraped.disk.room = 30
    scraped.scrape(2)
    scraped.store.close()
    scraped.disk.room = None
    scraped.store = scraped.open()
    assert everything(scraped.store) == before


def test_closing_writes_what_is_only_in_memory_if_there_is_room_by_then(scraped: Scraped) -> None:
    scraped.scrape(5)
    scraped.disk.room = 30
    scraped.scrape(3)
    scraped.disk.room = None
    assert scraped.reopened() == scraped.expected


def test_a_partial_record_that_cannot_be_cut_is_skipped_by_readers(scraped: Scraped) -> None:
    scraped.scrape(5)
    scraped.disk.room, scraped.disk.cannot_truncate = 30, True
    scraped.scrape(3)
    scraped.disk.room, scraped.disk.cannot_truncate = None, False
    scraped.scrape(3)
    assert scraped.reopened() == scraped.expected


def test_a_store_opens_on_a_full_disk(scraped: Scraped) -> None:
    scraped.scrape(5)
    scraped.store.close()
    scraped.disk.room = 0
    scraped.store = scraped.open()
    scraped.scrape(2)
    assert not scraped.store.health().ok
    scraped.disk.room = None
    scraped.scrape(2)
    assert scraped.reopened() == scraped.expected


def test_what_an_fsync_refused_is_written_again(scraped: Scraped, tmp_path: Path) -> None:
    scraped.scrape(5)
    scraped.disk.fsync_error = errno.EIO
    scraped.scrape(1)
    assert not scraped.store.health().ok
    suspect = {path for path in (tmp_path / "log").iterdir() if path.stat().st_size}
    scraped.disk.fsync_error = None
    scraped.scrape(2)
    assert scraped.store.health().ok
    newer = set((tmp_path / "log").iterdir()) - suspect
    scraped.store.close()
    since_ms = min(sorted(scraped.expected[A])[-4:])
    for path in suspect:  # the kernel dropped what it could not write
        path.unlink()
    assert newer
    scraped.store = scraped.open()
    kept = everything(scraped.store)[A]
    assert {ts for ts in scraped.expected[A] if ts >= since_ms} <= set(kept)


def test_older_samples_wait_in_the_log_while_no_part_can_be_written(
    scraped: Scraped, tmp_path: Path, clock: ManualClock
) -> None:
    scraped.scrape(5)
    part = tmp_path / "parts"
    part.rename(tmp_path / "gone")
    part.write_text("in the way")
    scraped.scrape(140)
    (problem,) = scraped.store.health().problems
    assert problem.what == "parts-write"
    part.unlink()
    (tmp_path / "gone").rename(part)
    clock.advance(10)
    run_upkeep(scraped.store)
    assert scraped.store.health().ok
    assert everything(scraped.store) == scraped.expected
    assert scraped.reopened() == scraped.expected
