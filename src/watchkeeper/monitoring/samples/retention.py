"""Which parts have to go, and which belong together. Pure; tests/monitoring/samples/test_retention.py.

Always true: the oldest part goes first, whole; what is in memory or in the log is never counted out.
Parts are put together once their stretch of time is over and the log no longer has their rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HOUR_MS = 3_600_000
LEVELS_MS = (2 * HOUR_MS, 24 * HOUR_MS)
MAX_MERGE = 64


@dataclass(frozen=True, slots=True)
class Held:
    """A part: its times, its bytes, the segments of the log it was made of, and their epoch."""

    min_ms: int
    max_ms: int
    size: int
    first_seq: int
    last_seq: int
    epoch: int


def expired(
    parts: Sequence[Held], *, now_ms: int, retention_ms: int, retention_bytes: int, log_bytes: int
) -> list[Held]:
    """The parts past their time, and then the oldest until parts and log fit ``retention_bytes``."""
    oldest_first = sorted(parts, key=lambda part: (part.max_ms, part.first_seq))
    going = [part for part in oldest_first if part.max_ms < now_ms - retention_ms]
    total = log_bytes + sum(part.size for part in oldest_first[len(going) :])
    for part in oldest_first[len(going) :]:
        if total <= retention_bytes:
            break
        going.append(part)
        total -= part.size
    return going


def to_merge(parts: Sequence[Held], *, now_ms: int, log_from_seq: int) -> list[Held]:
    """Neighbours that should be one part: those of two hours first, then those of a day. Empty: none."""
    ordered = sorted(parts, key=lambda part: part.first_seq)
    for length in LEVELS_MS:
        run: list[Held] = []
        for part in ordered:
            fits = part.last_seq < log_from_seq and (part.min_ms // length + 1) * length <= now_ms
            same = run and part.epoch == run[0].epoch and part.min_ms // length == run[0].min_ms // length
            if fits and same and len(run) < MAX_MERGE:
                run.append(part)
                continue
            if len(run) > 1:
                return run
            run = [part] if fits else []
        if len(run) > 1:
            return run
    return []
