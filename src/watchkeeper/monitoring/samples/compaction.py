"""Several parts become one.

Always true: the new part has every sample that can be read of the old ones; memory is bounded by a few
tiles per old part and one group's label sets; the old ones are there until the new one is durable.
A block that stands alone is copied as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from watchkeeper.monitoring.labels import Ints
from watchkeeper.monitoring.samples.disk import Disk
from watchkeeper.monitoring.samples.errors import CorruptError
from watchkeeper.monitoring.samples.frame import ABSENT, Floats
from watchkeeper.monitoring.samples.merge import overlay
from watchkeeper.monitoring.samples.parts import TILE, Block, Part, PartWriter, name_of
from watchkeeper.monitoring.samples.tables import union

_LOG = logging.getLogger(__name__)
BLOCK_ROWS = 512
"""Blocks are put together up to so many rows."""


@dataclass(frozen=True, slots=True)
class Merged:
    """The new part (None: nothing could be read) and those of the old ones that were damaged."""

    part: Part | None
    damaged: tuple[Part, ...]


class _Source:
    """A block of an old part, read tile by tile; ``columns`` are numbers in the new table, ascending."""

    def __init__(self, part: Part, block: Block, columns: Ints) -> None:
        self.part = part
        self.block = block
        self.columns = columns
        self.damaged = False
        self._number = -1
        self._tile: Floats | None = None

    def cells(self, first: int, last: int) -> tuple[Ints, Floats] | None:
        """Its values in the new columns ``first`` to ``last`` inclusive: (those columns, values)."""
        begin = int(np.searchsorted(self.columns, first))
        end = int(np.searchsorted(self.columns, last, side="right"))
        pieces = []
        kept: list[Ints] = []
        for number in range(begin // TILE, -(-end // TILE)):
            low, high = max(begin, number * TILE), min(end, (number + 1) * TILE)
            tile = self._read(number)
            if tile is not None and low < high:
                pieces.append(tile[:, low - number * TILE : high - number * TILE])
                kept.append(self.columns[low:high])
        if not pieces:
            return None
        return np.concatenate(kept), np.concatenate(pieces, axis=1)

    def _read(self, number: int) -> Floats | None:
        if number != self._number:
            self._number = number
            try:
                self._tile = self.part.tile(self.block, number)
            except CorruptError as error:
                _LOG.error("%s; they are left out of the merged part", error)
                self.damaged = True
                self._tile = None
        return self._tile


def merge(disk: Disk, parts: Sequence[Part], directory: Path) -> Merged:
    """Write one part of ``parts``, which are neighbours of one epoch, oldest first."""
    first, last = parts[0], parts[-1]
    writer = PartWriter(
        disk,
        directory / name_of(first.first_seq, last.last_seq),
        first_seq=first.first_seq,
        last_seq=last.last_seq,
        epoch=first.epoch,
        from_ms=min(part.from_ms for part in parts),
    )
    damaged: set[Part] = set()
    try:
        for key in sorted({key for part in parts for key in part.groups}):
            _merge_group(writer, key, parts, damaged)
        return Merged(writer.finish(), tuple(part for part in parts if part in damaged))
    except BaseException:
        writer.abandon()
        raise


def _merge_group(writer: PartWriter, key: str, parts: Sequence[Part], damaged: set[Part]) -> None:
    contents = []
    for part in parts:
        if key in part.groups:
            try:
                contents.append((part, part.content(part.groups[key])))
            except CorruptError as error:
                _LOG.error("%s; it is left out of the merged part", error)
                damaged.add(part)
    if not contents:
        return
    table, wheres = union([content.table for _, content in contents])
    sources = [
        _Source(part, block, where[block.columns])
        for (part, content), where in zip(contents, wheres, strict=True)
        for block in content.blocks
    ]
    sources.sort(key=lambda source: int(source.block.times[0]))
    blocks = [_write_block(writer, together) for together in _gather(sources)]
    damaged.update(source.part for source in sources if source.damaged)
    writer.group(key, table, blocks)


def _gather(sources: Sequence[_Source]) -> list[list[_Source]]:
    """Sources in time order, those that overlap or are short together."""
    out: list[list[_Source]] = []
    rows, end_ms = 0, 0
    for source in sources:
        times = source.block.times
        if out and (int(times[0]) <= end_ms or rows + len(times) <= BLOCK_ROWS):
            out[-1].append(source)
            rows += len(times)
            end_ms = max(end_ms, int(times[-1]))
        else:
            out.append([source])
            rows, end_ms = len(times), int(times[-1])
    return out


def _write_block(writer: PartWriter, sources: Sequence[_Source]) -> Block:
    if len(sources) == 1:
        copied = _copied(writer, sources[0])
        if copied is not None:
            return copied
    times = np.unique(np.concatenate([source.block.times for source in sources]))
    columns = np.unique(np.concatenate([source.columns for source in sources]))
    rows = [np.searchsorted(times, source.block.times) for source in sources]
    tiles = []
    for begin in range(0, len(columns), TILE):
        mine = columns[begin : begin + TILE]
        values = np.repeat(ABSENT, len(times) * len(mine)).reshape(len(times), len(mine))
        for source, at_rows in zip(sources, rows, strict=True):
            found = source.cells(int(mine[0]), int(mine[-1]))
            if found is not None:
                at = np.ix_(at_rows, np.searchsorted(mine, found[0]))
                values[at] = overlay(values[at], found[1])
        tiles += writer.encode(values, level=3)
    return Block(times, columns, tuple(tiles))


def _copied(writer: PartWriter, source: _Source) -> Block | None:
    """The block as it is, or None if it is damaged."""
    try:
        raw = [source.part.raw_tile(tile) for tile in source.block.tiles]
    except CorruptError as error:
        _LOG.error("%s; they are left out of the merged part", error)
        source.damaged = True
        return None
    return Block(source.block.times, source.columns, tuple(writer.copy(tile) for tile in raw))
