"""Part files: samples that are older than the log, by column, never changed once they have their name.

Always true: a file named ``*.part`` is complete and was durable before it got that name; it says in its
directory what it holds; every tile and table in it carries a checksum. A group in a part is a list of
*blocks* (rows that share a set of columns), a block is cut into *tiles* of a few columns each, so one
series is read without its neighbours (tests/monitoring/samples/test_parts.py).

    magic | tiles and group tables, in any order | directory (zstd, JSON) | footer
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from watchkeeper.monitoring.labels import Ints
from watchkeeper.monitoring.samples.codec import (
    compress,
    decompress,
    pack_tile,
    pack_times,
    unpack_tile,
    unpack_times,
)
from watchkeeper.monitoring.samples.disk import Disk
from watchkeeper.monitoring.samples.errors import CorruptError
from watchkeeper.monitoring.samples.frame import Floats
from watchkeeper.monitoring.samples.tables import LabelTable

MAGIC = b"WKPART\x01\n"
_FOOTER = struct.Struct("<QII8s")
_BLOCK = struct.Struct("<IIIIq")
_TABLE = struct.Struct("<II")
TILE = 64
"""Columns per tile."""
_MAX_DIRECTORY = 1 << 28
_BUFFER = 1 << 18


@dataclass(frozen=True, slots=True)
class Tile:
    """Where some columns of a block lie in the file."""

    offset: int
    length: int
    crc: int


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of a group. ``columns`` ascend and are numbers of label sets in the group's table."""

    times: Ints
    columns: Ints
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """What the directory says of a group; ``names`` are the metric names in it."""

    key: str
    min_ms: int
    max_ms: int
    samples: int
    offset: int
    length: int
    crc: int
    names: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GroupContent:
    """A group's label sets and blocks, oldest block first."""

    table: LabelTable
    blocks: tuple[Block, ...]


class Part:
    """A part file open for reading."""

    _descriptor = -1

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._open()
        except (CorruptError, OSError):
            self.close()
            raise

    def _open(self) -> None:
        self.size = os.fstat(self._descriptor).st_size
        if self.size < len(MAGIC) + _FOOTER.size or self._bytes(0, len(MAGIC)) != MAGIC:
            raise CorruptError(f"{self.path.name} is not a whole part file")
        footer = self._bytes(self.size - _FOOTER.size, _FOOTER.size)
        offset, length, crc, magic = _FOOTER.unpack(footer)
        if magic != MAGIC or offset + length > self.size:
            raise CorruptError(f"{self.path.name} ends in the middle of a write")
        raw = decompress(self._checked(offset, length, crc), _MAX_DIRECTORY)
        about = json.loads(raw)
        self.first_seq: int = about["first_seq"]
        self.last_seq: int = about["last_seq"]
        self.epoch: int = about["epoch"]
        self.from_ms: int = about["from_ms"]
        self.names: list[str] = about["names"]
        groups = [GroupEntry(**{**one, "names": tuple(one["names"])}) for one in about["groups"]]
        self.groups: dict[str, GroupEntry] = {entry.key: entry for entry in groups}
        self.min_ms = min(entry.min_ms for entry in groups)
        self.max_ms = max(entry.max_ms for entry in groups)
        self.samples = sum(entry.samples for entry in groups)

    def content(self, entry: GroupEntry) -> GroupContent:
        """The label sets and blocks of a group."""
        raw = self._checked(entry.offset, entry.length, entry.crc)
        try:
            table_length, blocks = _TABLE.unpack_from(raw)
            at = _TABLE.size
            table = LabelTable.decode(memoryview(raw)[at : at + table_length])
            at += table_length
            out = []
            for _ in range(blocks):
                rows, columns, times_length, columns_length, first = _BLOCK.unpack_from(raw, at)
                at += _BLOCK.size
                times = unpack_times(raw[at : at + times_length], rows) + first
                at += times_length
                numbers = unpack_times(raw[at : at + columns_length], columns)
                at += columns_length
                count = -(-columns // TILE)
                tiles = np.frombuffer(raw, "<u8", 3 * count, at).reshape(count, 3)
                at += tiles.nbytes
                out.append(Block(times, numbers, tuple(Tile(*tile) for tile in tiles.tolist())))
                if columns and int(numbers[-1]) >= table.size:
                    raise CorruptError("a block has a column that its table lacks")
        except (struct.error, ValueError) as error:
            raise CorruptError(f"a group in {self.path.name} cannot be read: {error}") from error
        return GroupContent(table, tuple(out))

    def tile(self, block: Block, number: int) -> Floats:
        """The values of tile ``number`` of ``block``: [rows, columns of the tile]."""
        tile = block.tiles[number]
        columns = min(TILE, len(block.columns) - number * TILE)
        return unpack_tile(self._checked(tile.offset, tile.length, tile.crc), len(block.times), columns)

    def raw_tile(self, tile: Tile) -> bytes:
        """The bytes of a tile, intact."""
        return self._checked(tile.offset, tile.length, tile.crc)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()

    @cached_property
    def name_numbers(self) -> dict[str, int]:
        """The number of each metric name."""
        return {name: i for i, name in enumerate(self.names)}

    def _bytes(self, offset: int, length: int) -> bytes:
        return os.pread(self._descriptor, length, offset)

    def _checked(self, offset: int, length: int, crc: int) -> bytes:
        data = self._bytes(offset, length)
        if len(data) != length or zlib.crc32(data) != crc:
            raise CorruptError(f"{length} bytes at {offset} of {self.path.name} are damaged")
        return data


class PartWriter:
    """Writes one part: tiles and groups as they come, :meth:`finish` gives the file its name."""

    def __init__(self, disk: Disk, path: Path, *, first_seq: int, last_seq: int, epoch: int, from_ms: int):
        self._disk = disk
        self._path = path
        self._draft = path.with_name(path.name + ".tmp")
        self._about = {"first_seq": first_seq, "last_seq": last_seq, "epoch": epoch, "from_ms": from_ms}
        self._names: dict[str, int] = {}
        self._groups: list[GroupEntry] = []
        self._descriptor = disk.create(self._draft)
        self._size = 0
        self._buffer = bytearray()
        self._put(MAGIC)

    def encode(self, values: Floats, level: int = 1) -> list[Tile]:
        """Write ``values`` [rows, columns] as tiles."""
        return [
            self.copy(pack_tile(values[:, at : at + TILE], level)) for at in range(0, values.shape[1], TILE)
        ]

    def copy(self, raw: bytes) -> Tile:
        """Write a tile that is encoded already."""
        return Tile(self._put(raw), len(raw), zlib.crc32(raw))

    def group(self, key: str, table: LabelTable, blocks: Sequence[Block]) -> None:
        """Write a group whose tiles are written; blocks oldest first."""
        encoded = table.encode()
        out = [_TABLE.pack(len(encoded), len(blocks)), encoded]
        for block in blocks:
            first = int(block.times[0])
            times, columns = pack_times(block.times - first), pack_times(block.columns)
            out.append(_BLOCK.pack(len(block.times), len(block.columns), len(times), len(columns), first))
            tiles = np.array([(t.offset, t.length, t.crc) for t in block.tiles], "<u8")
            out += [times, columns, tiles.tobytes()]
        raw = b"".join(out)
        entry = GroupEntry(
            key,
            min(int(block.times[0]) for block in blocks),
            max(int(block.times[-1]) for block in blocks),
            sum(len(block.times) * len(block.columns) for block in blocks),
            self._put(raw),
            len(raw),
            zlib.crc32(raw),
            tuple(self._names.setdefault(name, len(self._names)) for name in table.names()),
        )
        self._groups.append(entry)

    def finish(self) -> Part | None:
        """Make the part durable, name it and open it; None where it would hold nothing."""
        if not self._groups:
            self.abandon()
            return None
        about = {
            **self._about,
            "names": list(self._names),
            "groups": [asdict(entry) for entry in self._groups],
        }
        raw = compress(json.dumps(about, ensure_ascii=True).encode("ascii"))
        offset = self._put(raw)
        self._put(_FOOTER.pack(offset, len(raw), zlib.crc32(raw), MAGIC))
        self._flush()
        self._disk.fsync(self._descriptor)
        self._disk.close(self._descriptor)
        self._descriptor = -1
        self._disk.rename(self._draft, self._path)
        self._disk.fsync_directory(self._path.parent)
        return Part(self._path)

    def abandon(self) -> None:
        """Take back what was written."""
        if self._descriptor >= 0:
            self._disk.close(self._descriptor)
            self._descriptor = -1
        self._disk.unlink(self._draft)

    def _put(self, data: bytes) -> int:
        at = self._size
        self._buffer += data
        self._size += len(data)
        if len(self._buffer) >= _BUFFER:
            self._flush()
        return at

    def _flush(self) -> None:
        self._disk.write(self._descriptor, bytes(self._buffer))
        self._buffer.clear()


def name_of(first_seq: int, last_seq: int) -> str:
    return f"{first_seq:010d}-{last_seq:010d}.part"
