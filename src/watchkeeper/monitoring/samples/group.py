"""One group of series that are sampled together: a target, or a rule group's results.

Always true: after :meth:`Group.append` returns, the row is in memory and (unless the disk refuses it) in
the log; a series of the group that was live and is not in the row has a staleness marker there; a sample
that is not newer than its series' newest one is not stored, and counted as Prometheus counts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from watchkeeper.monitoring.labels import Ints, Labels, Mask
from watchkeeper.monitoring.samples.frame import ABSENT, STALE, Floats
from watchkeeper.monitoring.samples.head import NEVER_MS, Head
from watchkeeper.monitoring.samples.records import Cells, Columns, encode_row
from watchkeeper.monitoring.samples.tables import LabelTable

if TYPE_CHECKING:
    from watchkeeper.monitoring.samples.store import SampleStore

FULL_EVERY = 20
"""Each so many rows one is logged as it is, so that damage to the log costs few rows."""

_MIN_DEAD = 64


class AppendResult(NamedTuple):
    """What became of the samples of one append.

    ``appended`` were stored; ``out_of_order`` are older than their series' newest sample (or than the
    window), ``duplicates`` have its time and another value: both were not stored. A sample equal to the
    one that is stored counts nowhere. ``stale`` is how many series got a staleness marker.
    """

    appended: int = 0
    out_of_order: int = 0
    duplicates: int = 0
    stale: int = 0


class Group:
    """Series that share their timestamps. Made by :meth:`SampleStore.group`, never directly.

    ``generation`` changes when columns are renumbered: see :meth:`renumbered`.
    """

    def __init__(self, store: SampleStore, key: str, number: int, *, sparse: bool = False) -> None:
        self.key = key
        self.number = number
        self.sparse = sparse
        self.generation = 0
        self.head = Head()
        self._persisted_ms = NEVER_MS
        self._late_ms = -NEVER_MS  # the oldest late sample that only the log has, up to segment _late_seq
        self._late_seq = -1
        self._store = store
        self._columns: Ints = np.zeros(0, np.int64)
        self._checked = False  # _columns are numbers of columns, each once
        self._moved: Ints = np.zeros(0, np.int64)  # column of the generation before -> column now, or -1
        self._views: tuple[Ints, Floats, Ints, Ints] | None = None
        self._log_seq = -1
        self._log_number = 0
        self._log_generation = -1
        self._log_declared = 0
        self._log_chain = FULL_EVERY
        self.logged_ms = NEVER_MS

    def __len__(self) -> int:
        """How many columns there are."""
        return self.head.columns

    # -- series --------------------------------------------------------------------------------

    def column(self, labels: Labels) -> int:
        """The column of the series ``labels`` (canonical form), which is added if it is new."""
        return int(self.columns((labels,))[0])

    def columns(self, labels: Sequence[Labels]) -> Ints:
        """The column of each series, new ones being added. Valid while :attr:`generation` is the same."""
        store = self._store
        with store.lock:
            intern = store.labels.intern
            refs = np.fromiter((intern(one) for one in labels), np.int64, len(labels))
            found = store.owners.columns(self.number, refs)
            if (found < 0).any():
                fresh = np.unique(refs[found < 0])
                self._add(fresh, store.new_serials(len(fresh)))
                found = store.owners.columns(self.number, refs)
            return found

    def labels(self, column: int) -> Labels:
        """The series in ``column``."""
        return self._store.labels.labels(int(self.head.refs[column]))

    def renumbered(self, columns: Ints, generation: int) -> Ints | None:
        """Where ``columns``, valid at ``generation``, are now (-1: gone); None if that is too long ago."""
        if generation == self.generation:
            return columns
        if generation != self.generation - 1:
            return None
        moved: Ints = self._moved[columns]
        return moved

    # -- samples -------------------------------------------------------------------------------

    def append(
        self, ts_ms: int, columns: Ints | None, values: Floats, generation: int | None = None
    ) -> AppendResult:
        """Store one scrape: ``values`` of ``columns`` (None: those of the last append) at ``ts_ms``.

        A ``ts_ms`` that is not after the newest row stores only what is newer than its own series'
        newest sample. A column given twice keeps its first value. Raises ValueError for columns that
        the group does not have, or that are of another ``generation`` (where one is given).
        """
        store = self._store
        with store.lock:
            store.watch_clock()
            given = self._columns if columns is None else columns
            if generation is not None and generation != self.generation:
                raise ValueError(
                    f"the columns of group {self.key!r} have other numbers now: see renumbered()"
                )
            if len(given) != len(values):
                raise ValueError(f"{len(values)} values for {len(given)} columns of group {self.key!r}")
            if self.head.columns == 0 and not len(given):
                return AppendResult()
            duplicates = 0
            if not self._checked or (columns is not None and not np.array_equal(columns, self._columns)):
                given, values, duplicates = self._use(given, values)
            else:
                given = self._columns
            if ts_ms <= self.head.last_ms:
                return store.counted(self._late(ts_ms, given, values, duplicates))
            return store.counted(self._append_row(ts_ms, given, values, duplicates))

    def mark_stale(self, ts_ms: int) -> AppendResult:
        """Every live series ends at ``ts_ms``: the target is gone."""
        nothing = np.zeros(0, np.int64)
        with self._store.lock:
            if not self.head.live[: self.head.columns].any():
                return AppendResult()
            return self.append(ts_ms, nothing, np.zeros(0))

    def _use(self, columns: Ints, values: Floats) -> tuple[Ints, Floats, int]:
        """Remember ``columns`` as those of the last append; without repeated ones."""
        count = self.head.columns
        self._checked = False
        if len(columns) and (int(columns.min()) < 0 or int(columns.max()) >= count):
            raise ValueError(f"group {self.key!r} has {count} columns, numbered from 0; its numbers changed")
        duplicates = 0
        mask = np.zeros(count, np.bool_)
        mask[columns] = True
        if int(np.count_nonzero(mask)) != len(columns):
            _, first = np.unique(columns, return_index=True)
            first.sort()
            duplicates = len(columns) - len(first)
            columns, values = columns[first], values[first]
        self._columns, self._checked = columns.astype(np.int64), not duplicates
        return self._columns, values, duplicates

    def _append_row(self, ts_ms: int, columns: Ints, values: Floats, duplicates: int) -> AppendResult:
        head, store = self.head, self._store
        missing = None
        if not self.sparse:
            missing = head.live[: head.columns].copy()
            missing[columns] = False
        stale = 0 if missing is None else int(np.count_nonzero(missing))
        if not len(columns) and not stale:
            return AppendResult(duplicates=duplicates)
        evicted_ms = head.evicted_ms
        row = head.open_row(store.window_ms, ts_ms, self.safe_ms)
        row[:] = ABSENT
        if stale:
            row[missing] = STALE
        row[columns] = values
        head.commit_row(ts_ms)
        self._changed()
        self.write_log()
        if head.evicted_ms != evicted_ms:
            store.note_evicted(head.evicted_ms)
            self._compact()
        return AppendResult(len(columns), 0, duplicates, stale)

    def _late(self, ts_ms: int, columns: Ints, values: Floats, duplicates: int) -> AppendResult:
        head = self.head
        newest, cells = head.newest(columns)
        older = newest > ts_ms
        same = newest == ts_ms
        differs = same & (cells.view(np.uint64) != np.ascontiguousarray(values).view(np.uint64))
        fits = ~older & ~same
        if ts_ms < head.first_ms:
            older |= fits
            fits[:] = False
        count = int(np.count_nonzero(fits))
        if count:
            head.insert(ts_ms, columns[fits], values[fits])
            self._changed()
            self._log_cells(ts_ms, columns[fits], values[fits])
        out_of_order = int(np.count_nonzero(older))
        return AppendResult(count, out_of_order, duplicates + int(np.count_nonzero(differs)))

    # -- for the store -------------------------------------------------------------------------

    @property
    def views(self) -> tuple[Ints, Floats, Ints, Ints]:
        """Times, values, gap_ms and drop_ms as they are now, read-only, shared by all who ask."""
        if self._views is None:
            head, count = self.head, self.head.columns
            values = head.values
            values.flags.writeable = False
            self._views = (head.times, values, head.gap_ms[:count], head.drop_ms[:count])
        return self._views

    def columns_of(self, refs: Ints) -> Ints:
        """The columns of ``refs``, -1 where there is none."""
        return self._store.owners.columns(self.number, refs)

    @property
    def safe_ms(self) -> int:
        """Rows up to this time are in parts: they may leave the memory."""
        return min(self._persisted_ms, self._late_ms - 1)

    def persisted(self, seq: int, newest_ms: int) -> None:
        """Everything of this group up to segment ``seq`` is in parts, the newest row at ``newest_ms``."""
        self._persisted_ms = max(self._persisted_ms, newest_ms)
        if seq >= self._late_seq:
            self._late_ms = -NEVER_MS

    def adopt(self, refs: Ints, serials: Ints) -> None:
        """Columns read back from the log."""
        self._add(refs, serials)

    def end_all_but(self, columns: Ints) -> None:
        """A declaration read back from the log lacks the other columns: they had been forgotten by then."""
        gone = self.head.live[: self.head.columns].copy()
        gone[columns] = False
        self.head.live[: self.head.columns][gone] = False

    def replay(self, ts_ms: int, row: Floats) -> None:
        """A row read back from the log, all columns."""
        head = self.head
        head.open_row(self._store.window_ms, ts_ms, self.safe_ms)[:] = row
        head.commit_row(ts_ms)
        self._changed()
        self._store.note_evicted(head.evicted_ms)
        self.logged_ms = ts_ms

    def replay_late(self, seq: int, ts_ms: int, columns: Ints, cells: Floats) -> None:
        """Cells read back from segment ``seq`` whose time is not after the newest row."""
        self._late_ms, self._late_seq = min(self._late_ms, ts_ms), seq
        if ts_ms >= self.head.first_ms:
            self.head.insert(ts_ms, columns, cells)
        else:  # the rows that were older then are in parts, and so may be others of this time
            self.head.pass_over(ts_ms, columns, cells)
            self._store.note_evicted(self.head.evicted_ms)
        self._changed()

    def cut(self, after_ms: int) -> None:
        """The clock was stepped back: rows after ``after_ms`` leave the memory (not the disk)."""
        self._persisted_ms = min(
            self._persisted_ms, after_ms
        )  # what comes at those times is not in parts yet
        if self.head.cut(after_ms):
            self.logged_ms = min(self.logged_ms, self.head.last_ms)
            self._log_chain = FULL_EVERY
            self._changed()

    def relog_after(self, ts_ms: int) -> None:
        """What was logged after ``ts_ms`` may not be on the disk: log it again."""
        self.logged_ms = min(self.logged_ms, ts_ms)
        self._log_seq = -1

    def drop_rows_before(self, before_ms: int) -> None:
        """Forget rows before ``before_ms``; a group without rows forgets its series."""
        head = self.head
        evicted_ms = head.evicted_ms
        head.evict(before_ms)
        if head.evicted_ms == evicted_ms and len(head):
            return
        self._store.note_evicted(head.evicted_ms)
        self._changed()
        if len(head):
            self._compact()
            return
        self._store.owners.remove(self.number, head.refs[: head.columns].copy())
        columns = head.columns
        head.clear()
        self._renumber(np.zeros(columns, np.bool_))

    def write_log(self) -> None:
        """Log every row that is not logged yet."""
        head, log = self.head, self._store.log
        segment = log.current if log is not None else None
        if log is None or segment is None:
            return
        out = self._declarations(segment.seq)
        times, values = head.times, head.values
        begin, chain = len(times) - 1, self._log_chain
        if begin < 1 or int(times[begin - 1]) != self.logged_ms:
            begin, chain = int(np.searchsorted(times, self.logged_ms, side="right")), FULL_EVERY
        for at in range(begin, len(times)):
            bits = values[at].view(np.uint64)
            chain = 0 if chain >= FULL_EVERY or at == 0 else chain + 1
            if chain:
                bits = bits ^ values[at - 1].view(np.uint64)
            out.append(encode_row(self._log_number, int(times[at]), chain, bits))
        if log.write(b"".join(out), head.last_ms):
            self.logged_ms, self._log_chain = head.last_ms, chain
        else:
            self._log_seq = -1

    # -- inside --------------------------------------------------------------------------------

    def _add(self, refs: Ints, serials: Ints) -> None:
        old = self.head.columns
        self.head.add_columns(refs, serials)
        self._store.owners.add(self.number, refs, np.arange(old, old + len(refs)))
        self._store.attach(self)
        self._checked = False
        self._views = None

    def _changed(self) -> None:
        self._views = None

    def _compact(self) -> None:
        """Remove the columns that no row needs, once they are many."""
        head = self.head
        dead = head.unused() if self.sparse else head.dead()
        count = int(np.count_nonzero(dead))
        if count < _MIN_DEAD + head.columns // 20:
            return
        self._store.owners.remove(self.number, head.refs[: head.columns][dead])
        head.compact(np.flatnonzero(~dead))
        self._store.owners.move(self.number, head.refs[: head.columns], np.arange(head.columns))
        self._renumber(~dead)

    def _renumber(self, kept: Mask) -> None:
        self.generation += 1
        self._moved = np.where(kept, np.cumsum(kept) - 1, -1)
        self._store.columns_changed()
        self._changed()
        moved = self._moved[self._columns]
        self._columns = moved[moved >= 0]
        self._checked = False

    def _declarations(self, seq: int) -> list[bytes]:
        """What the segment must be told of the columns before rows of all of them."""
        head, log = self.head, self._store.log
        assert log is not None
        reset = self._log_seq != seq or self._log_generation != self.generation
        if not reset and self._log_declared == head.columns:
            return []
        if reset:
            self._log_number = log.next_group(seq) if self._log_seq != seq else self._log_number
            self._log_seq, self._log_generation, self._log_declared = seq, self.generation, 0
            self._log_chain = FULL_EVERY
        first = self._log_declared
        table = LabelTable.of(self._store.labels, head.refs[first : head.columns])
        serials = head.serials[first : head.columns]
        self._log_declared = head.columns
        return [
            Columns(self._log_number, self.key, first, reset, self.sparse, serials, table.encode()).encode()
        ]

    def _log_cells(self, ts_ms: int, columns: Ints, values: Floats) -> None:
        log = self._store.log
        if log is None or log.current is None:
            return
        out = self._declarations(log.current.seq)
        out.append(Cells(self._log_number, ts_ms, columns, values).encode())
        if not log.write(b"".join(out), ts_ms):
            self._log_seq = -1
        self._late_ms, self._late_seq = min(self._late_ms, ts_ms), self._log_seq
        self._log_chain = FULL_EVERY  # the row that the next one would be XORed with may have changed
