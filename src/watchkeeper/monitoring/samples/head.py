"""The newest samples of one group, in memory: a matrix of rows (times) and columns (series).

Always true: ``times`` of the rows held ascend strictly; a column that did not exist at a row's time is
ABSENT there; a column is *live* when its newest sample is a value (not a staleness marker); ``gap_ms``
and ``drop_ms`` mean what :class:`~watchkeeper.monitoring.samples.frame.Frame` says. Nothing is known here
of labels or disks. Held against a plain model by tests/monitoring/samples/test_store_model.py.
"""

from __future__ import annotations

import contextlib
import mmap

import numpy as np

from watchkeeper.monitoring.labels import Ints, Mask
from watchkeeper.monitoring.samples.frame import (
    ABSENT,
    ABSENT_BITS,
    STALE_BITS,
    Floats,
    is_absent,
    is_value,
)

NEVER_MS = -(1 << 62)
"""Before every time that a sample can have."""

_ROWS = 16
_OWN_PAGES = 1 << 18


_PER_COLUMN = ("refs", "serials", "gap_ms", "drop_ms", "died_ms", "last_value", "live")


def _matrix(rows: int, columns: int) -> Floats:
    """An uninitialised matrix. A large one has pages of its own: those never written to take no memory,
    and the system gets the others back when it goes.
    """
    size = rows * columns * 8
    if size < _OWN_PAGES:
        return np.empty((rows, columns))
    pages = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without huge pages has nothing to turn off
            pages.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(pages, np.float64).reshape(rows, columns)


class Head:
    """The rows of one group that are within the window, and what is known of its columns.

    Columns are only appended; :meth:`compact` removes the dead ones, and the caller renumbers.
    """

    def __init__(self) -> None:
        self.columns = 0
        self.refs: Ints = np.zeros(0, np.int64)
        self.serials: Ints = np.zeros(0, np.int64)
        self.gap_ms: Ints = np.zeros(0, np.int64)
        self.drop_ms: Ints = np.zeros(0, np.int64)
        self.died_ms: Ints = np.zeros(0, np.int64)
        self.last_value: Floats = np.zeros(0)
        self.live: Mask = np.zeros(0, np.bool_)
        self._times: Ints = np.zeros(0, np.int64)
        self._values: Floats = np.zeros((0, 0))
        self._first = 0
        self._end = 0
        self._peak_rows = 0
        self.evicted_ms = NEVER_MS

    # -- reading -------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many rows there are."""
        return self._end - self._first

    @property
    def times(self) -> Ints:
        return self._times[self._first : self._end]

    @property
    def values(self) -> Floats:
        return self._values[self._first : self._end, : self.columns]

    @property
    def first_ms(self) -> int:
        """The time of the oldest row; after every time if there is none."""
        return int(self._times[self._first]) if len(self) else -NEVER_MS

    @property
    def last_ms(self) -> int:
        """The time of the newest row; before every time if there is none."""
        return int(self._times[self._end - 1]) if len(self) else NEVER_MS

    @property
    def nbytes(self) -> int:
        """Memory in use (what is only reserved is not)."""
        per_column = sum(getattr(self, name).nbytes for name in _PER_COLUMN)
        return 8 * len(self) * self.columns + self._times.nbytes + int(per_column)

    def newest(self, column_numbers: Ints) -> tuple[Ints, Floats]:
        """Per column, the time of its newest sample or marker (NEVER_MS: none held), and that cell."""
        cells = self.values[:, column_numbers]
        if not len(cells):
            return np.full(len(column_numbers), NEVER_MS), np.repeat(ABSENT, len(column_numbers))
        present = ~is_absent(cells)
        row = len(cells) - 1 - np.argmax(present[::-1], axis=0)
        times = np.where(present.any(axis=0), self.times[row], NEVER_MS)
        return times, cells[row, np.arange(len(column_numbers))]

    # -- columns -------------------------------------------------------------------------------

    def add_columns(self, refs: Ints, serials: Ints) -> None:
        """New series, absent from every row so far."""
        old, new = self.columns, self.columns + len(refs)
        if new > len(self.refs):
            self._reserve_columns(new + new // 4)
        self.refs[old:new] = refs
        self.serials[old:new] = serials
        self.gap_ms[old:new] = self.last_ms
        self.drop_ms[old:new] = NEVER_MS
        self.died_ms[old:new] = self.last_ms + 1
        self.last_value[old:new] = np.nan
        self.live[old:new] = False
        self._values[self._first : self._end, old:new] = ABSENT
        self.columns = new

    def dead(self) -> Mask:
        """Per column: has it neither a sample nor a marker that is still of use in the rows held?"""
        n = self.columns
        mask: Mask = ~self.live[:n] & (self.died_ms[:n] < self.first_ms)
        return mask

    def unused(self) -> Mask:
        """Per column: is there no value of it in any row? (Reads the whole matrix.)"""
        mask: Mask = ~is_value(self.values).any(axis=0) & (self.died_ms[: self.columns] < self.first_ms)
        return mask

    def compact(self, kept: Ints) -> None:
        """Keep only the columns ``kept`` (ascending)."""
        count = len(kept)
        for row in range(self._first, self._end):
            self._values[row, :count] = self._values[row, kept]
        for name in _PER_COLUMN:
            array = getattr(self, name)
            array[:count] = array[kept]
        self.columns = count
        if len(self.refs) > 2 * count + 64:
            self._reserve_columns(count + count // 4)

    # -- rows ----------------------------------------------------------------------------------

    def open_row(self, window_ms: int, ts_ms: int, evictable_ms: int) -> Floats:
        """The cells of the row after the newest, to be filled in full before :meth:`commit_row`.

        Rows older than ``ts_ms - window_ms`` go, a tenth of all at a time; those after
        ``evictable_ms`` (not yet safe elsewhere) only when they are half as many as the window needs.
        """
        tenth = self._first + len(self) // 10
        if self._end > tenth and self._times[tenth] < ts_ms - window_ms:
            self._make_room(ts_ms - window_ms, evictable_ms)
        if self._end == len(self._times):
            self._resize_rows(max(_ROWS, 2 * len(self)))
        return self._values[self._end, : self.columns]

    def commit_row(self, ts_ms: int) -> None:
        """The opened row is filled: it is the newest now, at ``ts_ms``."""
        n = self.columns
        row = self._values[self._end, :n]
        live, last = self.live[:n], self.last_value[:n]
        bits = row.view(np.uint64)
        value = (bits != STALE_BITS) & (bits != ABSENT_BITS)
        with np.errstate(invalid="ignore"):  # a signalling NaN is no surprise here
            dropped = (row < last) & value
        self._times[self._end] = ts_ms
        self._end += 1
        if dropped.any():
            self.drop_ms[:n][dropped] = ts_ms
        if value.all():
            last[:] = row
            live[:] = True
            return
        self.gap_ms[:n][~value] = ts_ms
        np.copyto(last, row, where=value)
        died = live & (bits == STALE_BITS)
        if died.any():
            self.died_ms[:n][died] = ts_ms
            live[died] = False
        live |= value

    def insert(self, ts_ms: int, column_numbers: Ints, cells: Floats) -> None:
        """Put ``cells`` at ``ts_ms``, which is not after the newest row; the columns hold nothing since."""
        at = self._first + int(np.searchsorted(self.times, ts_ms))
        n = self.columns
        if at == self._end or int(self._times[at]) != ts_ms:
            if self._end == len(self._times):
                self._resize_rows(2 * len(self._times))
                at = self._first + int(np.searchsorted(self.times, ts_ms))
            self._values[at + 1 : self._end + 1] = self._values[at : self._end].copy()
            self._times[at + 1 : self._end + 1] = self._times[at : self._end].copy()
            self._values[at, :n] = ABSENT
            self._times[at] = ts_ms
            self._end += 1
        self._values[at, column_numbers] = cells
        passed_over = self.live[:n].copy()
        passed_over[~is_absent(self.values).all(axis=0)] = False
        last = self.last_value[:n][passed_over]
        self.recompute()
        self.live[:n][passed_over] = True
        self.last_value[:n][passed_over] = last

    def pass_over(self, ts_ms: int, column_numbers: Ints, cells: Floats) -> None:
        """``cells`` at ``ts_ms``, before every row held, are on the disk only: all that is kept of them is
        whether the columns that have nothing newer live.
        """
        newest, _ = self.newest(column_numbers)
        fresh = newest == NEVER_MS
        self.live[column_numbers[fresh]] = is_value(cells[fresh])
        self.last_value[column_numbers[fresh]] = cells[fresh]
        self.evicted_ms = max(self.evicted_ms, ts_ms)

    def cut(self, after_ms: int) -> bool:
        """Forget the rows after ``after_ms``; whether there were any."""
        keep = int(np.searchsorted(self.times, after_ms, side="right"))
        if keep == len(self):
            return False
        self._end = self._first + keep
        self.recompute()
        return True

    def evict(self, before_ms: int) -> None:
        """Forget the rows before ``before_ms``."""
        going = int(np.searchsorted(self.times, before_ms))
        if going:
            self.evicted_ms = max(self.evicted_ms, int(self._times[self._first + going - 1]))
            self._first += going

    def clear(self) -> None:
        """Forget every row and column, and give the memory back."""
        self.evict(-NEVER_MS)
        evicted_ms = self.evicted_ms
        Head.__init__(self)
        self.evicted_ms = evicted_ms

    def recompute(self) -> None:
        """Derive all that is known of the columns from the rows, after a change to older ones."""
        n = self.columns
        gap, drop, last = self.gap_ms[:n], self.drop_ms[:n], self.last_value[:n]
        live, died = self.live[:n], self.died_ms[:n]
        was_live = live.copy()
        gap[:], drop[:], last[:], live[:] = NEVER_MS, NEVER_MS, np.nan, False
        for ts_ms, row in zip(self.times.tolist(), self.values, strict=True):
            bits = row.view(np.uint64)
            value = (bits != STALE_BITS) & (bits != ABSENT_BITS)
            with np.errstate(invalid="ignore"):
                drop[(row < last) & value] = ts_ms
            gap[~value] = ts_ms
            np.copyto(last, row, where=value)
            ended = live & (bits == STALE_BITS)
            died[ended] = ts_ms
            live[ended] = False
            live |= value
        died[was_live & ~live] = self.last_ms + 1
        np.minimum(died, self.last_ms + 1, out=died)

    # -- storage -------------------------------------------------------------------------------

    def _make_room(self, horizon_ms: int, evictable_ms: int) -> None:
        rows = len(self)
        old = int(np.searchsorted(self.times, horizon_ms))
        self._peak_rows = max(self._peak_rows, rows - old)
        going = min(old, int(np.searchsorted(self.times, evictable_ms, side="right")))
        if going < old and rows > self._peak_rows + self._peak_rows // 2 + _ROWS:
            going = old
        if going:
            self.evict(int(self._times[self._first + going - 1]) + 1)
        if self._first:
            self._move_to_front()

    def _move_to_front(self) -> None:
        kept = len(self)
        for to, row in enumerate(range(self._first, self._end)):  # in place: no second matrix, even briefly
            self._values[to] = self._values[row]
        self._times[:kept] = self._times[self._first : self._end].copy()
        self._first, self._end = 0, kept

    def _resize_rows(self, rows: int) -> None:
        kept = len(self)
        values = _matrix(rows, len(self.refs))
        values[:kept, : self.columns] = self.values
        times = np.empty(rows, np.int64)
        times[:kept] = self.times
        self._values, self._times, self._first, self._end = values, times, 0, kept

    def _reserve_columns(self, size: int) -> None:
        for name in _PER_COLUMN:
            old = getattr(self, name)
            wider = np.zeros(size, old.dtype)
            wider[: self.columns] = old[: self.columns]
            setattr(self, name, wider)
        self._resize_rows(len(self._times))
