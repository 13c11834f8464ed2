"""One file of the log: its header, and finding what is intact in it.

Always true: :func:`scan` returns every record whose checksum holds, whatever lies between; a file whose
damage reaches to its end was torn while it was written (a crash), any other damage is corruption
(tests/monitoring/samples/test_damage.py).
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from watchkeeper.monitoring.samples.codec import FRAME, MAX_PAYLOAD, checksum
from watchkeeper.monitoring.samples.disk import Disk, set_aside
from watchkeeper.monitoring.samples.errors import CorruptError
from watchkeeper.monitoring.samples.head import NEVER_MS
from watchkeeper.monitoring.samples.records import KINDS

MAGIC = b"WKLOG\x00\x01\n"
_HEADER = struct.Struct("<8sQQqqI")
HEADER_SIZE = _HEADER.size


@dataclass(slots=True)
class Segment:
    """A file of the log. ``epoch`` and ``from_ms``: see :mod:`.timeline`; ``floor_ms``: rows up to this
    time may be missing from memory; ``size`` in bytes, all of it intact; ``max_ms`` newest row.
    """

    path: Path
    seq: int
    epoch: int = 0
    from_ms: int = NEVER_MS
    floor_ms: int = NEVER_MS
    size: int = HEADER_SIZE
    max_ms: int = NEVER_MS
    transposed: bool = False
    groups: int = 0

    def header(self) -> bytes:
        packed = _HEADER.pack(MAGIC, self.seq, self.epoch, self.from_ms, self.floor_ms, 0)[:-4]
        return packed + struct.pack("<I", zlib.crc32(packed))


@dataclass(frozen=True, slots=True)
class Place:
    """Where the payload of a record lies in its file."""

    kind: int
    begin: int
    length: int


@dataclass(frozen=True, slots=True)
class Intact:
    """The whole records of ``data``, in order; where the last one ends; and the damage."""

    data: memoryview
    places: list[Place]
    end: int
    holes: int
    torn: bool

    def records(self) -> Iterator[tuple[int, memoryview]]:
        """Kind and payload of each record."""
        for place in self.places:
            yield place.kind, self.data[place.begin : place.begin + place.length]


def name_of(seq: int) -> str:
    return f"{seq:010d}.log"


def read_header(path: Path) -> Segment:
    """The segment in ``path``; :class:`CorruptError` if it does not begin like one."""
    with path.open("rb") as file:
        raw = file.read(HEADER_SIZE)
        size = os.fstat(file.fileno()).st_size
    if len(raw) < HEADER_SIZE or raw[:8] != MAGIC:
        raise CorruptError(f"{path.name} does not begin like a segment of the sample log")
    _, seq, epoch, from_ms, floor_ms, crc = _HEADER.unpack(raw)
    if crc != zlib.crc32(raw[:-4]):
        raise CorruptError(f"the header of {path.name} is damaged")
    return Segment(path, seq, epoch, from_ms, floor_ms, size)


def content(path: Path) -> memoryview:
    """The bytes of ``path``. Read, not mapped: a bad sector must be an ``OSError``, not a dead process."""
    return memoryview(path.read_bytes())


def scan(data: memoryview, start: int = HEADER_SIZE) -> Intact:
    """Every intact record of ``data`` from ``start`` on."""
    places: list[Place] = []
    at, end, holes = start, start, 0
    while at < len(data):
        payload = _payload(data, at)
        if payload is None:
            resumed = _next_record(data, at + 1)
            if resumed is None:
                return Intact(data, places, end, holes, torn=True)
            holes += 1
            at = resumed
            continue
        places.append(Place(data[at + FRAME.size - 1], at + FRAME.size, len(payload)))
        at = end = at + FRAME.size + len(payload)
    return Intact(data, places, end, holes, torn=False)


def walk(path: Path) -> Iterator[tuple[Place, memoryview]]:
    """Every intact record of the file and its payload, with one in memory at a time where none is damaged."""
    at = HEADER_SIZE
    with path.open("rb") as file:
        file.seek(at)
        while len(head := file.read(FRAME.size)) == FRAME.size:
            length, crc, kind = FRAME.unpack(head)
            payload = memoryview(file.read(length)) if kind in KINDS and length <= MAX_PAYLOAD else None
            if payload is None or len(payload) < length or checksum(kind, payload) != crc:
                break
            yield Place(kind, at + FRAME.size, length), payload
            at += FRAME.size + length
        else:
            return
    rest = scan(content(path), at)
    yield from zip(rest.places, (payload for _, payload in rest.records()), strict=True)


def repair(disk: Disk, segment: Segment, intact: Intact) -> Path:
    """Set a corrupt segment aside, and put what is intact of it in its place; the name of the old one."""
    kept = [segment.header()]
    for kind, payload in intact.records():
        kept.append(FRAME.pack(len(payload), checksum(kind, payload), kind))
        kept.append(bytes(payload))
    aside = set_aside(disk, segment.path)
    disk.publish(segment.path, b"".join(kept))
    segment.size = sum(len(piece) for piece in kept)
    return aside


def _payload(data: memoryview, at: int) -> memoryview | None:
    """The payload of the record at ``at``, if one is there and intact."""
    if at + FRAME.size > len(data):
        return None
    length, crc, kind = FRAME.unpack_from(data, at)
    begin = at + FRAME.size
    if kind not in KINDS or length > MAX_PAYLOAD or begin + length > len(data):
        return None
    payload = data[begin : begin + length]
    return payload if checksum(kind, payload) == crc else None


def _next_record(data: memoryview, start: int) -> int | None:
    """Where the next intact record begins, at or after ``start``."""
    raw = np.frombuffer(data, np.uint8)[start:]
    if len(raw) < FRAME.size:
        return None
    kinds = raw[FRAME.size - 1 :]
    candidates = np.flatnonzero((kinds >= min(KINDS)) & (kinds <= max(KINDS)))
    lengths = sum(raw[candidates + i].astype(np.int64) << (8 * i) for i in range(4))
    for at in candidates[candidates + FRAME.size + lengths <= len(raw)].tolist():
        if _payload(data, start + at) is not None:
            return start + int(at)
    return None
