"""A closed segment of the log becomes a part: rows become columns.

Always true: the part holds every sample of the segment that can be read, each group's series sorted by
metric name and labels; memory is bounded by the segment itself and one group's rows.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from watchkeeper.monitoring.labels import Ints
from watchkeeper.monitoring.samples.codec import Bits
from watchkeeper.monitoring.samples.disk import Disk
from watchkeeper.monitoring.samples.errors import CorruptError
from watchkeeper.monitoring.samples.frame import ABSENT, ABSENT_BITS, Floats, is_absent
from watchkeeper.monitoring.samples.merge import overlay
from watchkeeper.monitoring.samples.parts import Block, Part, PartWriter, name_of
from watchkeeper.monitoring.samples.records import Chains, Columns, Sample, parse
from watchkeeper.monitoring.samples.segment import Intact, Segment, content, scan
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
        for key, records in _by_key(scan(content(segment.path))).items():
            last = _write_group(writer, key, records)
            if last is not None:
                newest[key] = last
        return writer.finish(), newest
    except BaseException:
        writer.abandon()
        raise


def _by_key(intact: Intact) -> dict[str, list[tuple[int, memoryview]]]:
    """The records of each group; a group may have had several numbers."""
    keys: dict[int, str] = {}
    found: dict[str, list[tuple[int, memoryview]]] = {}
    for kind, payload in intact.records:
        try:
            record = parse(kind, payload)
        except CorruptError as error:
            _LOG.warning("a record of the sample log is left out: %s", error)
            continue
        if isinstance(record, Columns):
            keys[record.number] = record.key
        key = keys.get(record.number)
        if key is not None:
            found.setdefault(key, []).append((kind, payload))
    return found


class _Assembly:
    """The rows of one group while its records are followed, kept as (time, serials, bits)."""

    def __init__(self) -> None:
        self.serials: list[Ints] = []
        self.tables: list[LabelTable] = []
        self.samples: list[Sample] = []

    def follow(self, records: list[tuple[int, memoryview]]) -> None:
        chains = Chains()
        for kind, payload in records:
            try:
                record = parse(kind, payload)
                if isinstance(record, Columns):
                    _, serials, table = chains.declare(record)
                    self.serials.append(serials)
                    self.tables.append(table)
                else:
                    self.samples.extend(chains.follow(record))
            except CorruptError as error:
                _LOG.warning("a record of the sample log is left out: %s", error)

    def matrix(self) -> tuple[Ints, Floats]:
        """Times, and the cells of every distinct serial, ascending."""
        serials = np.unique(np.concatenate(self.serials))
        times = np.unique(np.array([sample.ts_ms for sample in self.samples], np.int64))
        cells: Bits = np.full((len(times), len(serials)), ABSENT_BITS, np.uint64)
        values = cells.view(np.float64)
        for sample in self.samples:
            row = int(np.searchsorted(times, sample.ts_ms))
            where = np.searchsorted(serials, sample.serials)
            values[row, where] = overlay(values[row, where], sample.bits.view(np.float64))
        return times, values


def _write_group(writer: PartWriter, key: str, records: list[tuple[int, memoryview]]) -> int | None:
    assembly = _Assembly()
    assembly.follow(records)
    if not assembly.samples:
        return None
    times, values = assembly.matrix()
    _, first = np.unique(np.concatenate(assembly.serials), return_index=True)
    table, (where,) = union([concatenated(assembly.tables).take(first)])
    where, values = _one_column_each(where, values)
    kept = np.flatnonzero(~is_absent(values).all(axis=0))
    if not len(kept):
        return None
    table = table.take(where[kept])
    tiles = writer.encode(values[:, kept])
    writer.group(key, table, [Block(times, np.arange(len(kept)), tuple(tiles))])
    return int(times[-1])


def _one_column_each(where: Ints, values: Floats) -> tuple[Ints, Floats]:
    """``values`` with its columns in the order of ``where``, those of the same series put together."""
    distinct, column = np.unique(where, return_inverse=True)
    if len(distinct) == len(where):
        return distinct, values[:, np.argsort(where)]
    joined = np.repeat(ABSENT, len(values) * len(distinct)).reshape(len(values), len(distinct))
    for old, new in enumerate(column.reshape(-1).tolist()):
        joined[:, new] = overlay(joined[:, new], values[:, old])
    return distinct, joined
