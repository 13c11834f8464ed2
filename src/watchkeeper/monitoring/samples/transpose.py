"""A segment of the log, by column: as the part it becomes, or for a reader while there is no part yet.

Always true: every sample of the segment that can be read is there, each group's series sorted by metric
name and labels; memory is bounded by the segment itself and one group's rows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from watchkeeper.monitoring.labels import Ints
from watchkeeper.monitoring.samples.codec import Bits
from watchkeeper.monitoring.samples.disk import Disk
from watchkeeper.monitoring.samples.errors import CorruptError
from watchkeeper.monitoring.samples.frame import ABSENT, ABSENT_BITS, Floats, is_absent
from watchkeeper.monitoring.samples.merge import overlay
from watchkeeper.monitoring.samples.parts import Block, Part, PartWriter, name_of
from watchkeeper.monitoring.samples.records import Cells, Chains, Columns, Row, parse
from watchkeeper.monitoring.samples.segment import Place, Segment, walk
from watchkeeper.monitoring.samples.tables import LabelTable, concatenated, union

_LOG = logging.getLogger(__name__)


def transpose(disk: Disk, segment: Segment, directory: Path) -> tuple[Part | None, dict[str, int]]:
    """Write the part of ``segment``; it (None: no samples) and the newest time of each group in it."""
    path = directory / name_of(segment.seq, segment.seq)
    writer = PartWriter(
        disk,
        path,
        first_seq=segment.seq,
        last_seq=segment.seq,
        epoch=segment.epoch,
        from_ms=segment.from_ms,
    )
    newest: dict[str, int] = {}
    try:
        for group in groups_of(segment.path):
            tiles = tuple(writer.encode(group.values))
            block = Block(group.times, np.arange(group.table.size), tiles)
            writer.group(group.key, group.table, [block])
            newest[group.key] = int(group.times[-1])
        return writer.finish(), newest
    except BaseException:
        writer.abandon()
        raise


@dataclass(frozen=True, slots=True)
class GroupRows:
    """The samples of group ``key``: ``values`` [times, label sets of ``table``], no row or column empty."""

    key: str
    times: Ints
    table: LabelTable
    values: Floats


def groups_of(path: Path) -> Iterator[GroupRows]:
    """Each group of the segment in ``path`` that has samples; one is in memory at a time."""
    stories = _stories(path)
    with path.open("rb") as file:
        for key, story in stories.items():
            group = _group(key, story, file)
            if group is not None:
                yield group


@dataclass(slots=True)
class _Story:
    """What a segment says of one group: where, and of which series and times."""

    places: list[Place] = field(default_factory=list)
    serials: list[Ints] = field(default_factory=list)
    times: list[int] = field(default_factory=list)


def _stories(path: Path) -> dict[str, _Story]:
    """The story of each group key; a group may have had several numbers."""
    numbers: dict[int, _Story] = {}
    stories: dict[str, _Story] = {}
    for place, payload in walk(path):
        try:
            record = parse(place.kind, payload)
        except CorruptError as error:
            _LOG.warning("a record of the sample log is left out: %s", error)
            continue
        if isinstance(record, Columns):
            story = numbers[record.number] = stories.setdefault(record.key, _Story())
            story.serials.append(record.serials)
            story.places.append(place)
        elif record.number in numbers:
            numbers[record.number].times.append(record.ts_ms)
            numbers[record.number].places.append(place)
    return stories


class _Matrix:
    """The cells of one group, filled record by record; ``tables`` are of ``declared``, in order."""

    def __init__(self, story: _Story) -> None:
        self.serials = np.unique(np.concatenate(story.serials))
        self.times = np.unique(np.array(story.times, np.int64))
        cells: Bits = np.full((len(self.times), len(self.serials)), ABSENT_BITS, np.uint64)
        self.values: Floats = cells.view(np.float64)
        self.declared: list[Ints] = []
        self.tables: list[LabelTable] = []
        self._chains = Chains()

    def add(self, record: Columns | Row | Cells) -> None:
        if isinstance(record, Columns):
            _, serials, table = self._chains.declare(record)
            self.declared.append(serials)
            self.tables.append(table)
            return
        for sample in self._chains.follow(record):
            row = int(np.searchsorted(self.times, sample.ts_ms))
            where = np.searchsorted(self.serials, sample.serials)
            self.values[row, where] = overlay(self.values[row, where], sample.bits.view(np.float64))


def _group(key: str, story: _Story, file: BinaryIO) -> GroupRows | None:
    matrix = _Matrix(story)
    for place in story.places:
        file.seek(place.begin)
        try:
            matrix.add(parse(place.kind, memoryview(file.read(place.length))))
        except CorruptError as error:
            _LOG.warning("a record of the sample log is left out: %s", error)
    declared, first = np.unique(np.concatenate(matrix.declared), return_index=True)
    table, (where,) = union([concatenated(matrix.tables).take(first)])
    values = matrix.values[:, np.isin(matrix.serials, declared)]
    where, values = _one_column_each(where, values)
    rows = np.flatnonzero(~is_absent(values).all(axis=1))
    kept = np.flatnonzero(~is_absent(values).all(axis=0))
    if not len(kept):
        return None
    return GroupRows(key, matrix.times[rows], table.take(where[kept]), values[np.ix_(rows, kept)])


def _one_column_each(where: Ints, values: Floats) -> tuple[Ints, Floats]:
    """``values`` with its columns in the order of ``where``, those of the same series put together."""
    distinct, column = np.unique(where, return_inverse=True)
    if len(distinct) == len(where):
        return distinct, values[:, np.argsort(where)]
    joined = np.repeat(ABSENT, len(values) * len(distinct)).reshape(len(values), len(distinct))
    for old, new in enumerate(column.reshape(-1).tolist()):
        joined[:, new] = overlay(joined[:, new], values[:, old])
    return distinct, joined
