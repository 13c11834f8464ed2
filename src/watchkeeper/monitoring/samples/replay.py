"""From the log on disk back to the groups in memory.

Always true: what could be read is in the groups exactly as it was; a torn end is cut and said so; a
corrupt file is set aside, never deleted, and replaced by what is intact of it
(tests/monitoring/samples/test_damage.py, test_crash.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from watchkeeper.monitoring.labels import Ints, Labels, Mask
from watchkeeper.monitoring.samples.disk import Disk, set_aside
from watchkeeper.monitoring.samples.errors import CorruptError
from watchkeeper.monitoring.samples.frame import ABSENT_BITS
from watchkeeper.monitoring.samples.group import Group
from watchkeeper.monitoring.samples.records import Chains, Columns, Sample, parse
from watchkeeper.monitoring.samples.segment import (
    HEADER_SIZE,
    Intact,
    Segment,
    content,
    read_header,
    repair,
    scan,
)

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Found:
    """What was found in the log: its segments, oldest first, and what people must know of them."""

    segments: list[Segment] = field(default_factory=list)
    next_seq: int = 1
    next_serial: int = 1
    corrupt: list[str] = field(default_factory=list)


def find_segments(disk: Disk, directory: Path) -> Found:
    """The segments in ``directory``; files that are not what their name says are set aside."""
    found = Found()
    for path in sorted(directory.glob("*.log*")):
        number = path.name.split(".")[0]
        if number.isdigit():
            found.next_seq = max(found.next_seq, int(number) + 1)
        if path.suffix == ".tmp":
            disk.unlink(path)
        if path.suffix != ".log":
            continue
        try:
            if path.stat().st_size < HEADER_SIZE:
                _LOG.warning("%s was torn before anything was in it, and is removed", path)
                disk.unlink(path)
                continue
            found.segments.append(read_header(path))
        except (CorruptError, OSError) as error:
            found.corrupt.append(_set_aside(disk, path, str(error)))
    return found


class Replay:
    """Reads segments in order into groups that ``group_of`` gives for a key."""

    def __init__(
        self,
        disk: Disk,
        found: Found,
        group_of: Callable[[str, bool], Group],
        intern: Callable[[Labels], int],
        cut: Callable[[int], None],
        in_part: Callable[[int], bool],
    ) -> None:
        self._disk = disk
        self._found = found
        self._group_of = group_of
        self._intern = intern
        self._cut = cut
        self._in_part = in_part
        self._epoch = -1
        self._known: dict[str, tuple[Ints, Ints]] = {}  # key -> serials, ascending, and their columns
        self._maps: dict[int, Ints] = {}  # id of a declaration -> columns of its serials

    def run(self) -> None:
        """Read every segment that was found; those that cannot be read at all are left out."""
        kept = []
        for segment in self._found.segments:
            try:
                data = content(segment.path)
            except OSError as error:
                self._found.corrupt.append(_set_aside(self._disk, segment.path, str(error)))
                continue
            intact = scan(data)
            if intact.holes:
                self._repair(segment, intact)
            elif intact.torn:
                self._cut_tail(segment, intact, len(data))
            kept.append(segment)
            self._segment(segment, intact)
        self._found.segments = kept

    def _segment(self, segment: Segment, intact: Intact) -> None:
        if self._epoch >= 0 and segment.epoch != self._epoch:
            self._cut(segment.from_ms)
        self._epoch = segment.epoch
        newest: dict[str, int] = {}
        chains = Chains()
        self._maps.clear()
        for kind, payload in intact.records():
            try:
                record = parse(kind, payload)
                if isinstance(record, Columns):
                    self._declare(chains, record)
                    continue
                for sample in chains.follow(record):
                    self._store(segment.seq, sample)
                    newest[sample.group.key] = max(newest.get(sample.group.key, 0), sample.ts_ms)
                    segment.max_ms = max(segment.max_ms, sample.ts_ms)
            except CorruptError as error:
                _LOG.warning("a record of %s is left out: %s", segment.path, error)
        if self._in_part(segment.seq):
            for key, newest_ms in newest.items():
                self._group_of(key, False).persisted(segment.seq, newest_ms)
        if chains.lost:
            _LOG.warning("%d rows of %s built on damaged ones and are left out", chains.lost, segment.path)

    def _declare(self, chains: Chains, record: Columns) -> None:
        declared, serials, table = chains.declare(record)
        group = self._group_of(record.key, record.sparse)
        none = np.zeros(0, np.int64)
        known, columns = self._known.get(record.key, (none, none))
        unknown = np.flatnonzero(~_among(serials, known))
        if len(unknown):
            at = self._adopt(group, table.labels(unknown), serials[unknown])
            order = np.argsort(known := np.concatenate([known, serials[unknown]]), kind="stable")
            known, columns = known[order], np.concatenate([columns, at])[order]
            self._known[record.key] = known, columns
            self._found.next_serial = max(self._found.next_serial, int(serials.max()) + 1)
        mine = columns[np.searchsorted(known, serials)]
        before = none if record.first == 0 else self._maps[id(declared)]
        if record.reset:
            group.end_all_but(mine)
        self._maps[id(declared)] = np.concatenate([before, mine])

    def _adopt(self, group: Group, labels: list[Labels], serials: Ints) -> Ints:
        """The columns of series that ``group`` may not know; a serial may be a known series come back."""
        refs = np.fromiter((self._intern(one) for one in labels), np.int64, len(labels))
        at = group.columns_of(refs)
        fresh, first = np.unique(refs[at < 0], return_index=True)
        if len(fresh):
            order = np.sort(first)
            group.adopt(refs[at < 0][order], serials[at < 0][order])
            at = group.columns_of(refs)
        return at

    def _store(self, seq: int, sample: Sample) -> None:
        group = self._group_of(sample.group.key, sample.group.sparse)
        columns = self._maps[id(sample.group)]
        if sample.late_at is not None:
            group.replay_late(seq, sample.ts_ms, columns[sample.late_at], sample.bits.view(np.float64))
            return
        if sample.ts_ms <= group.head.last_ms:
            return  # logged twice, after a failed fsync
        row = np.full(group.head.columns, ABSENT_BITS, np.uint64)
        row[columns] = sample.bits
        group.replay(sample.ts_ms, row.view(np.float64))

    def _repair(self, segment: Segment, intact: Intact) -> None:
        aside = repair(self._disk, segment, intact)
        text = (
            f"{segment.path.name} was damaged in {intact.holes} place(s). What could be read of it is kept"
            f" and in use; the damaged file is {aside}"
        )
        _LOG.error("%s", text)
        self._found.corrupt.append(text)

    def _cut_tail(self, segment: Segment, intact: Intact, size: int) -> None:
        _LOG.warning(
            "%s: the last %d bytes were torn by a crash and are cut off; everything before them is kept",
            segment.path,
            size - intact.end,
        )
        descriptor = self._disk.open(segment.path)
        try:
            self._disk.truncate(descriptor, intact.end)
            self._disk.fsync(descriptor)
        finally:
            self._disk.close(descriptor)
        segment.size = intact.end


def _among(serials: Ints, known: Ints) -> Mask:
    """Which of ``serials`` are in ``known``, which ascends."""
    if not len(known):
        return np.zeros(len(serials), np.bool_)
    mask: Mask = known[np.minimum(np.searchsorted(known, serials), len(known) - 1)] == serials
    return mask


def _set_aside(disk: Disk, path: Path, why: str) -> str:
    aside = set_aside(disk, path)
    text = f"{why}. The file is set aside as {aside}; all others are in use"
    _LOG.error("%s", text)
    return text
