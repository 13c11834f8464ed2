"""How samples become few bytes, and how bytes are framed so that damage is found.

Always true: what is decoded equals what was encoded bit for bit, NaN payloads included
(tests/monitoring/samples/test_codec.py). Neighbouring samples differ in few bits: a value is XORed with
the one before it, the bytes of equal significance are put together, and zstd does the rest (1 to 2 bytes
per sample for real counters).
"""

from __future__ import annotations

import struct
import threading
import zlib
from typing import cast

import numpy as np
import numpy.typing as npt
import zstandard

from watchkeeper.monitoring.samples.errors import CorruptError
from watchkeeper.monitoring.samples.frame import Floats

Bits = npt.NDArray[np.uint64]

FRAME = struct.Struct("<IIB")
"""length of the payload, CRC-32 of type and payload, type."""
MAX_PAYLOAD = 1 << 28
_contexts = threading.local()


def compress(data: bytes | memoryview, level: int = 1) -> bytes:
    """``data`` as one zstd frame that knows its size."""
    name = f"compressor{level}"
    compressor = getattr(_contexts, name, None)
    if compressor is None:
        compressor = zstandard.ZstdCompressor(level=level, write_checksum=False)
        setattr(_contexts, name, compressor)
    return cast(bytes, compressor.compress(data))


def decompress(data: bytes | memoryview, limit: int) -> bytes:
    """The content of a zstd frame, which may be ``limit`` bytes long; else :class:`CorruptError`."""
    decompressor = getattr(_contexts, "decompressor", None)
    if decompressor is None:
        decompressor = _contexts.decompressor = zstandard.ZstdDecompressor()
    try:
        size = zstandard.frame_content_size(data)
        if not 0 <= size <= limit:
            raise CorruptError(f"a compressed block of {size} bytes where at most {limit} can be")
        return cast(bytes, decompressor.decompress(data, max_output_size=limit))
    except zstandard.ZstdError as error:
        raise CorruptError(f"a compressed block cannot be read: {error}") from error


def pack(bits: Bits, level: int = 1) -> bytes:
    """Bit patterns, bytes of equal significance together, compressed."""
    planes = np.ascontiguousarray(bits.reshape(-1).view(np.uint8).reshape(-1, 8).T)
    return compress(planes.data, level)


def unpack(data: bytes | memoryview, count: int) -> Bits:
    """The ``count`` bit patterns that were packed."""
    raw = decompress(data, count * 8)
    if len(raw) != count * 8:
        raise CorruptError(f"{len(raw)} bytes of samples where {count * 8} belong")
    planes = np.frombuffer(raw, np.uint8).reshape(8, -1)
    return np.ascontiguousarray(planes.T).view(np.uint64).reshape(-1)


def pack_tile(values: Floats, level: int = 1) -> bytes:
    """``values`` [rows, columns], each column XORed along time."""
    bits = np.ascontiguousarray(values.T).view(np.uint64)
    coded = bits.copy()
    coded[:, 1:] ^= bits[:, :-1]
    return pack(coded, level)


def unpack_tile(data: bytes | memoryview, rows: int, columns: int) -> Floats:
    """The values of :func:`pack_tile`, as [rows, columns] (not contiguous)."""
    coded = unpack(data, rows * columns).reshape(columns, rows)
    bits: Bits = np.bitwise_xor.accumulate(coded, axis=1)
    return bits.view(np.float64).T


def pack_times(times: npt.NDArray[np.int64]) -> bytes:
    """Ascending times, as compressed differences."""
    return compress(np.diff(times, prepend=np.int64(0)).astype("<i8").tobytes())


def unpack_times(data: bytes | memoryview, count: int) -> npt.NDArray[np.int64]:
    raw = decompress(data, count * 8)
    if len(raw) != count * 8:
        raise CorruptError(f"{len(raw)} bytes of times where {count * 8} belong")
    times: npt.NDArray[np.int64] = np.cumsum(np.frombuffer(raw, "<i8"))
    return times


def checksum(kind: int, payload: bytes | memoryview) -> int:
    return zlib.crc32(payload, zlib.crc32(bytes((kind,))))


def framed(kind: int, payload: bytes) -> bytes:
    """One record of a log."""
    return FRAME.pack(len(payload), checksum(kind, payload), kind) + payload
