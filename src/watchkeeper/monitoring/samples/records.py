"""What a segment of the log says, record by record.

Always true: a segment can be read without any other; a group is declared in it (its key, and each
column's series) before its rows refer to it. A row is XORed with the row of its group before it, and
numbered along that chain, so that a reader who misses a record notices.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from watchkeeper.monitoring.labels import Ints
from watchkeeper.monitoring.samples.codec import Bits, compress, decompress, framed, pack, unpack
from watchkeeper.monitoring.samples.errors import CorruptError
from watchkeeper.monitoring.samples.frame import ABSENT_BITS, Floats
from watchkeeper.monitoring.samples.tables import LabelTable

COLUMNS, ROW, CELLS = 1, 2, 3
KINDS = (COLUMNS, ROW, CELLS)

_COLUMNS = struct.Struct("<IIBHII")
_ROW = struct.Struct("<IqII")
_CELLS = struct.Struct("<IqI")
_RESET, _SPARSE = 1, 2
_MAX_COLUMNS = 1 << 24


@dataclass(frozen=True, slots=True)
class Columns:
    """Group ``number`` is ``key``; its columns from ``first`` on are these series.

    ``serials`` name a series across segments (unlike refs they are never used again);
    ``reset``: what the segment said of the group before holds no more.
    """

    number: int
    key: str
    first: int
    reset: bool
    sparse: bool
    serials: Ints
    table: bytes

    def encode(self) -> bytes:
        key = self.key.encode("utf-8", "surrogatepass")
        flags = self.reset * _RESET | self.sparse * _SPARSE
        head = _COLUMNS.pack(self.number, self.first, flags, len(key), len(self.table), len(self.serials))
        serials = compress(np.diff(self.serials, prepend=np.int64(0)).astype("<i8").tobytes())
        return framed(COLUMNS, b"".join((head, key, self.table, serials)))


@dataclass(frozen=True, slots=True)
class Row:
    """All ``count`` columns of group ``number`` at ``ts_ms``; ``chain`` 0: as they are, else XORed."""

    number: int
    ts_ms: int
    chain: int
    count: int
    packed: bytes | memoryview

    def delta(self) -> Bits:
        return unpack(self.packed, self.count)


def encode_row(number: int, ts_ms: int, chain: int, delta: Bits) -> bytes:
    return framed(ROW, _ROW.pack(number, ts_ms, chain, len(delta)) + pack(delta))


@dataclass(frozen=True, slots=True)
class Cells:
    """Samples of group ``number`` at ``ts_ms``, which is not after its newest row."""

    number: int
    ts_ms: int
    columns: Ints
    values: Floats

    def encode(self) -> bytes:
        head = _CELLS.pack(self.number, self.ts_ms, len(self.columns))
        return framed(CELLS, head + self.columns.astype("<i8").tobytes() + self.values.tobytes())


def parse(kind: int, payload: memoryview) -> Columns | Row | Cells:
    """The record of an intact payload."""
    try:
        if kind == ROW:
            number, ts_ms, chain, count = _ROW.unpack_from(payload)
            if count > _MAX_COLUMNS:
                raise CorruptError(f"a row of {count} columns")
            return Row(number, ts_ms, chain, count, payload[_ROW.size :])
        if kind == CELLS:
            number, ts_ms, count = _CELLS.unpack_from(payload)
            columns = np.frombuffer(payload, "<i8", count, _CELLS.size).astype(np.int64)
            values = np.frombuffer(payload, "<f8", count, _CELLS.size + 8 * count).copy()
            return Cells(number, ts_ms, columns, values)
        number, first, flags, key_length, table_length, count = _COLUMNS.unpack_from(payload)
        at = _COLUMNS.size
        key = bytes(payload[at : at + key_length]).decode("utf-8", "surrogatepass")
        at += key_length
        table = bytes(payload[at : at + table_length])
        raw = decompress(payload[at + table_length :], 8 * count)
        serials = np.cumsum(np.frombuffer(raw, "<i8", count))
    except (struct.error, ValueError) as error:
        raise CorruptError(f"a record of kind {kind} cannot be read: {error}") from error
    return Columns(number, key, first, bool(flags & _RESET), bool(flags & _SPARSE), serials, table)


@dataclass(slots=True)
class Declared:
    """What a segment has said of a group so far."""

    key: str
    sparse: bool
    serials: Ints
    chain: int = -1
    bits: Bits | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """A row (or some cells of one) read back: ``bits`` of the series ``serials``.

    ``late_at``: the columns (as declared) of cells whose time is not after the group's newest row.
    """

    group: Declared
    ts_ms: int
    serials: Ints
    bits: Bits
    late_at: Ints | None = None


class Chains:
    """Follows the records of one segment; ``lost`` counts rows that could not be understood."""

    def __init__(self) -> None:
        self.groups: dict[int, Declared] = {}
        self.lost = 0

    def declare(self, record: Columns) -> tuple[Declared, Ints, LabelTable]:
        """The group, the series that are new in it, and their labels; CorruptError if it makes no sense."""
        table = LabelTable.decode(record.table)
        group = self.groups.get(record.number)
        if table.size != len(record.serials):
            raise CorruptError("a declaration of columns that does not fit its labels")
        if record.reset or group is None:
            if record.first:
                raise CorruptError("a declaration of columns whose beginning is missing")
            group = Declared(record.key, record.sparse, record.serials)
            self.groups[record.number] = group
            return group, record.serials, table
        if record.first != len(group.serials):
            del self.groups[record.number]
            raise CorruptError("a declaration of columns after a missing one")
        group.serials = np.concatenate([group.serials, record.serials])
        return group, record.serials, table

    def follow(self, record: Row | Cells) -> Iterator[Sample]:
        """The sample row that ``record`` holds, if what it builds on is known."""
        group = self.groups.get(record.number)
        if group is None:
            self.lost += 1
            return
        if isinstance(record, Cells):
            if not len(record.columns) or int(record.columns.max()) >= len(group.serials):
                self.lost += 1
                return
            cells = record.values.view(np.uint64)
            yield Sample(group, record.ts_ms, group.serials[record.columns], cells, record.columns)
            return
        if record.count != len(group.serials) or (record.chain and record.chain != group.chain + 1):
            group.chain = -2
            self.lost += 1
            return
        bits = record.delta()
        if record.chain:
            assert group.bits is not None
            before = np.full(record.count, ABSENT_BITS, np.uint64)
            before[: len(group.bits)] = group.bits
            bits = bits ^ before  # bits may be read-only
        group.bits, group.chain = bits, record.chain
        yield Sample(group, record.ts_ms, group.serials, bits)
