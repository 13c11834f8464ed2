"""The sample store: everything that was scraped, and how to ask for it.

Always true: what an append returned for survives ``kill -9``; a query sees each series once; memory is
bounded by the window, whatever the churn. One process writes a directory at a time; within it, calls may
come from several threads. How it works is told in docs/adr/0008-sample-store.md; it is held against a
plain model in tests/monitoring/samples/test_store_model.py.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from watchkeeper.monitoring.labels import Ints, Labels, LabelStore
from watchkeeper.monitoring.promql.ast import Matcher
from watchkeeper.monitoring.samples.directory import LockedDirectory
from watchkeeper.monitoring.samples.disk import Disk
from watchkeeper.monitoring.samples.errors import Health, SampleStoreError
from watchkeeper.monitoring.samples.frame import Selection
from watchkeeper.monitoring.samples.group import AppendResult, Group
from watchkeeper.monitoring.samples.head import NEVER_MS
from watchkeeper.monitoring.samples.jobs import Jobs
from watchkeeper.monitoring.samples.log import Log
from watchkeeper.monitoring.samples.metadata import Metadata, MetadataFile
from watchkeeper.monitoring.samples.owners import Owners
from watchkeeper.monitoring.samples.reading import Held, Reader
from watchkeeper.monitoring.samples.recovery import recover
from watchkeeper.monitoring.samples.segment import Segment
from watchkeeper.monitoring.samples.sparse import Sparse
from watchkeeper.monitoring.samples.stats import Stats
from watchkeeper.monitoring.samples.timeline import JUMP_MS, Era, Reading, Span, jump_ms, turned
from watchkeeper.monitoring.samples.upkeep import LEAP_MS, RETRY_MS, Limits, Troubles, Upkeep
from watchkeeper.store.clock import Clock, to_ms

MINUTE_MS = 60_000
DAY_MS = 86_400_000


_LOG = logging.getLogger(__name__)
_WRITE_BEHIND_SECONDS = 0.05


class SampleStore:
    """Opened with :meth:`open`, closed with :meth:`close`; :meth:`tick` must be called about every second."""

    def __init__(self, root: Path, clock: Clock, limits: Limits, disk: Disk, limit_cells: int, threads: bool):
        self.lock = threading.RLock()
        self.labels = LabelStore()
        self.owners = Owners(self.labels)
        self.window_ms = limits.window_ms
        self.log: Log | None = None
        self._clock = clock
        self._limits = limits
        self._groups: dict[int, Group] = {}  # those with columns, by number
        self._by_key: weakref.WeakValueDictionary[str, Group] = weakref.WeakValueDictionary()
        self._sparse: dict[str, Sparse] = {}
        self._version = 0
        self._next_number = 0
        self._next_serial = 1
        self._rows = self._samples = self._out_of_order = self._duplicates = 0
        self._floor_ms = NEVER_MS  # samples up to here may be on disk only
        self._era = Era()
        self._reading = self._read_clock()
        self._log_began_ms = self._log_tried_ms = self._swept_ms = self._reading.monotonic_ms
        self._troubles = Troubles()
        self._jobs = Jobs(threads=threads)
        self._directory = LockedDirectory(root)
        self._upkeep = Upkeep(self._directory.parts, disk, limits, self._jobs, self._troubles)
        self._reader = Reader(
            self.lock, self.labels, self.owners, self._upkeep, self._held, self._only_in_log, limit_cells
        )
        self._metadata = MetadataFile(self._directory.metadata, disk)
        try:
            self._recover(disk)
        except BaseException as error:
            self._directory.release()
            if isinstance(error, OSError):
                raise self._directory.unusable(error) from error
            raise

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        clock: Clock,
        window_ms: int = 20 * MINUTE_MS,
        retention_ms: int = 15 * DAY_MS,
        retention_bytes: int = 2 << 30,
        sync_ms: int = 1_000,
        segment_ms: int | None = None,
        segment_bytes: int = 32 << 20,
        limit_cells: int = 25_000_000,
        disk: Disk | None = None,
        threads: bool = True,
    ) -> SampleStore:
        """Open (or make) the store in ``directory``.

        ``window_ms`` is kept in memory: at least the longest range (with offset) that a rule reads.
        ``sync_ms`` bounds what a power cut may take. ``limit_cells`` bounds the memory of one query over
        older samples (8 bytes each). ``threads`` False does all upkeep inside :meth:`tick`. Raises
        StoreLockedError if another process has it, SampleStoreError if the directory cannot be used.
        """
        if segment_ms is None:
            segment_ms = max(1_000, min(10 * MINUTE_MS, window_ms // 2))
        limits = Limits(window_ms, retention_ms, retention_bytes, sync_ms, segment_ms, segment_bytes)
        return cls(Path(directory), clock, limits, disk or Disk(), limit_cells, threads)

    def close(self) -> None:
        """Make everything durable and let go of the directory. Closing twice is harmless."""
        with self.lock:
            if self.log is None:
                return
            self._jobs.close()
            if self.log.failure is not None:
                self._start_segment()  # there may be room now; this is the last chance
            self._write_behind(float("inf"))
            handle = self.log.sync_handle()
            try:
                if handle is not None:
                    self.log.sync(handle)
                if self._metadata.dirty:
                    self._metadata.writer()()
            except OSError as error:
                _LOG.error("the last samples may not be on the disk: %s", error)
            self.log.close()
            self.log = None
            self._directory.release()

    # -- writing -------------------------------------------------------------------------------

    def group(self, key: str) -> Group:
        """The group ``key`` (stable across restarts): one target, or one rule group's results."""
        with self.lock:
            return self.make_group(key)

    def append_samples(self, key: str, samples: Iterable[tuple[Labels, int, float]]) -> AppendResult:
        """Store samples of target ``key`` that bring their own timestamps (ms); see :mod:`.sparse`."""
        with self.lock:
            self.watch_clock()
            sparse = self._sparse.get(key)
            if sparse is None:
                sparse = self._sparse[key] = Sparse(self, key)
            return sparse.append(samples, self._reading.wall_ms)

    def set_metadata(self, family: str, type: str, help: str, unit: str = "") -> None:  # noqa: A002
        """What a target says of a metric family."""
        with self.lock:
            self._metadata.put(family, Metadata(type, help, unit))

    def tick(self) -> None:
        """Do the upkeep that is due; bounded, the slow parts of it beside the caller's thread."""
        with self.lock:
            assert self.log is not None, "the store is closed"
            self.watch_clock()
            now = self._reading
            self._jobs.poll()
            self._keep_log(now)
            self._upkeep.segments += self.log.take_closed()
            self._upkeep.sync(self.log, now.monotonic_ms, self._sync_failed)
            size = self.log.current.size if self.log.current is not None else 0
            self._upkeep.work(now.wall_ms, now.monotonic_ms, self._persisted, size)
            if now.monotonic_ms - self._swept_ms >= 10_000:
                self._swept_ms = now.monotonic_ms
                self._sweep(now.wall_ms)

    # -- reading -------------------------------------------------------------------------------

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        """Series that match, and (at least) their samples in [start_ms, end_ms].

        What memory has is handed out as views: such a selection holds until the store is next written
        to, on the same thread (other threads: :meth:`select_copies`), and may have columns without a
        sample in that time. Raises QueryTooLargeError.
        """
        return self._reader.select(matchers, start_ms, end_ms)

    def select_copies(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        """As :meth:`select`, from any thread: what is handed out is a copy with its own label store.

        Writers are let in between the groups, and wait for the copy of one at most.
        """
        return self._reader.select_copies(matchers, start_ms, end_ms)

    def series(
        self, matchers: Sequence[Matcher], start_ms: int | None = None, end_ms: int | None = None
    ) -> list[Labels]:
        """The series that match and have samples in the time (default: all there is); see :mod:`.listing`."""
        return self._reader.series(matchers, start_ms, end_ms)

    def label_names(
        self, matchers: Sequence[Matcher] = (), start_ms: int | None = None, end_ms: int | None = None
    ) -> list[str]:
        """The label names of the series that match and have not ended before ``start_ms``."""
        return self._reader.label_names(matchers, start_ms, end_ms)

    def label_values(
        self,
        name: str,
        matchers: Sequence[Matcher] = (),
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> list[str]:
        """The values of label ``name`` among the series that match and have not ended before ``start_ms``."""
        return self._reader.label_values(name, matchers, start_ms, end_ms)

    def metadata(self) -> dict[str, Metadata]:
        """What is known of each metric family."""
        with self.lock:
            return dict(self._metadata.families)

    def stats(self) -> Stats:
        """How much there is."""
        with self.lock:
            heads = [group.head for group in self._groups.values() if len(group.head)]
            parts, segments = self._upkeep.parts, self._upkeep.segments
            open_size = self.log.current.size if self.log is not None and self.log.current else 0
            oldest = [head.first_ms for head in heads] + [part.min_ms for part in parts]
            newest = [head.last_ms for head in heads] + [part.max_ms for part in parts]
            memory = sum(group.head.nbytes for group in self._groups.values())
            return Stats(
                groups=len(self._groups),
                series=len(self.labels),
                memory_bytes=memory + self.owners.nbytes + self._reader.nbytes,
                disk_bytes=self._upkeep.part_bytes + self._upkeep.log_bytes + open_size,
                parts=len(parts),
                segments=len(segments) + (1 if open_size else 0),
                oldest_ms=min(oldest, default=None),
                newest_ms=max(newest, default=None),
                rows=self._rows,
                samples=self._samples,
                out_of_order=self._out_of_order,
                duplicates=self._duplicates,
            )

    def health(self) -> Health:
        """What is wrong now, for people; see :class:`Health`."""
        with self.lock:
            return Health(self._troubles.all())

    # -- for the groups ------------------------------------------------------------------------

    def make_group(self, key: str, *, sparse: bool = False) -> Group:
        """The group ``key``, made if it is not there."""
        group = self._by_key.get(key)
        if group is None:
            self._next_number += 1
            group = self._by_key[key] = Group(self, key, self._next_number, sparse=sparse)
        return group

    def groups_under(self, prefix: str) -> list[Group]:
        """The groups whose key begins with ``prefix``."""
        return [group for group in self._groups.values() if group.key.startswith(prefix)]

    def new_serials(self, count: int) -> Ints:
        """Numbers that no series had before."""
        first, self._next_serial = self._next_serial, self._next_serial + count
        return np.arange(first, first + count)

    def attach(self, group: Group) -> None:
        """``group`` has new columns."""
        self._groups[group.number] = group
        self._version += 1

    def columns_changed(self) -> None:
        """A group's columns have other numbers."""
        self._version += 1

    def note_evicted(self, newest_ms: int) -> None:
        """Rows up to ``newest_ms`` left the memory."""
        self._floor_ms = max(self._floor_ms, newest_ms)

    def counted(self, result: AppendResult) -> AppendResult:
        """``result``, added to the statistics."""
        self._rows += 1
        self._samples += result.appended
        self._out_of_order += result.out_of_order
        self._duplicates += result.duplicates
        return result

    def watch_clock(self) -> None:
        """See whether the wall clock was stepped; see :mod:`.timeline`."""
        now = self._read_clock()
        jump = jump_ms(self._reading, now)
        self._reading = now
        if jump > LEAP_MS:
            self._upkeep.hold_after_gap(now.wall_ms, now.monotonic_ms)
        if not jump and self._era.shelved_ms is None:
            return
        newest_ms = max((group.head.last_ms for group in self._groups.values()), default=NEVER_MS)
        era, on_disk_ms = turned(self._era, jump, now.wall_ms, newest_ms)
        if era.epoch != self._era.epoch:
            _LOG.warning(
                "the wall clock was stepped by %.0f s; samples stored ahead of it are kept and"
                " shown wherever no newer ones are",
                jump / 1000,
            )
            for group in self._groups.values():
                group.cut(era.from_ms - 1)
            self._era = era
            self._start_segment()
        self._era = era
        self.note_evicted(on_disk_ms)

    # -- inside --------------------------------------------------------------------------------

    def _recover(self, disk: Disk) -> None:
        recovered = recover(
            self._directory,
            disk,
            self._upkeep,
            self.labels,
            lambda key, sparse: self.make_group(key, sparse=sparse),
            self._groups.values,
            self._reading.wall_ms,
        )
        self._metadata.load()
        self._upkeep.hold_after_gap(self._reading.wall_ms, self._reading.monotonic_ms)
        self._era = recovered.era
        self.note_evicted(recovered.on_disk_ms)
        self._next_serial = max(recovered.next_serial, self._reading.wall_ms << 16)
        self._sweep(self._reading.wall_ms)
        self.log = Log(self._directory.log, disk, recovered.next_seq)
        self._start_segment()

    def _read_clock(self) -> Reading:
        return Reading(to_ms(self._clock.now()), self._clock.monotonic() * 1000)

    def _start_segment(self) -> None:
        assert self.log is not None
        now_ms = self._reading.monotonic_ms
        self._log_tried_ms = now_ms
        if self.log.start(self._era.epoch, self._era.from_ms, self._floor_ms):
            self._log_began_ms = now_ms

    def _keep_log(self, now: Reading) -> None:
        """Begin the next segment when it is time, or when the disk may have room again."""
        assert self.log is not None
        current = self.log.current
        if self.log.failure is not None:
            if now.monotonic_ms - self._log_tried_ms >= RETRY_MS:
                self._start_segment()
        elif current is not None and current.max_ms > NEVER_MS:
            old = now.monotonic_ms - self._log_began_ms >= self._limits.segment_ms
            if old or current.size >= self._limits.segment_bytes:
                self._start_segment()
        if self.log.failure is None:
            self._troubles.over("log")
            self._write_behind()
        self._tell_of_log()

    def _tell_of_log(self) -> None:
        if self.log is not None and self.log.failure is not None:
            text = (
                f"samples cannot be written to {self._directory.log}: {self.log.failure}. They are kept in"
                f" memory for {self.window_ms // MINUTE_MS} min and written when there is room again."
            )
            self._troubles.add("log", text, self._reading.wall_ms)

    def _write_behind(self, seconds: float = _WRITE_BEHIND_SECONDS) -> None:
        """Log what could not be logged when it came; no longer than scraping can wait."""
        until = self._clock.monotonic() + seconds
        for group in self._groups.values():
            if group.head.last_ms > group.logged_ms:
                group.write_log()
                if self._clock.monotonic() > until:
                    return

    def _sync_failed(self, error: OSError, synced_ms: float) -> None:
        """What was written since the last good sync may be lost: write it again, to another segment."""
        assert self.log is not None
        self.log.fail(error)
        self._log_tried_ms = self._reading.monotonic_ms
        self._tell_of_log()
        since_ms = self._reading.wall_ms - int(self._reading.monotonic_ms - synced_ms) - JUMP_MS
        for group in self._groups.values():
            group.relog_after(since_ms)

    def _persisted(self, segment: Segment, newest: dict[str, int]) -> None:
        if segment.epoch == self._era.epoch:
            for key, newest_ms in newest.items():
                group = self._by_key.get(key)
                if group is not None:
                    group.persisted(segment.seq, newest_ms)

    def _sweep(self, now_ms: int) -> None:
        """Groups that are sampled no more leave the memory once they are in a part."""
        horizon_ms = now_ms - self.window_ms
        for number, group in list(self._groups.items()):
            if group.head.last_ms < horizon_ms:
                group.drop_rows_before(min(horizon_ms, group.safe_ms + 1))
                if not len(group):
                    del self._groups[number]
                    self._version += 1
        for key, sparse in list(self._sparse.items()):
            if sparse.empty():
                del self._sparse[key]
        if self._metadata.dirty and not self._jobs.busy("metadata"):
            self._jobs.run("metadata", self._metadata.writer(), lambda _: None, self._metadata_failed)

    def _metadata_failed(self, error: OSError | SampleStoreError) -> None:
        self._metadata.dirty = True
        _LOG.warning("the metadata of metrics cannot be written and is kept in memory: %s", error)

    def _held(self) -> Held:
        wall_ms = self._reading.wall_ms
        return Held(
            self._groups,
            self._version,
            self._floor_ms,
            wall_ms if self._era.shelved_ms is not None else None,
            Span(self._era.epoch, self._era.from_ms, wall_ms),
        )

    def _only_in_log(self) -> list[Segment]:
        """The segments that may have samples which are neither in memory nor in a part: upkeep is behind."""
        waiting = [segment for segment in self._upkeep.segments if not segment.transposed]
        if self.log is not None:
            waiting += self.log.waiting()
        if any(group.head.evicted_ms > group.safe_ms for group in self._groups.values()):
            return waiting
        return [segment for segment in waiting if segment.epoch != self._era.epoch]
