"""What the store believes when the wall clock jumps.

The wall clock may be stepped back (and perhaps forward again). Rows that were stored with the later times
must neither block new rows until time has caught up, nor be thrown away: who knows which clock was right.
So a step back begins a new *epoch*: from its first moment on, rows of older epochs are hidden wherever the
newer one has been, and shown wherever it has not. Always true: at any time at most one epoch is visible.
Everything here is pure; tests/monitoring/samples/test_clock_jumps.py drives it through a store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from watchkeeper.monitoring.labels import Ints, Mask
from watchkeeper.monitoring.samples.head import NEVER_MS

JUMP_MS = 30_000
"""A wall clock that moved this much against the monotonic one was stepped, not slewed."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Both clocks at one moment, in milliseconds."""

    wall_ms: int
    monotonic_ms: float


def jump_ms(before: Reading, now: Reading) -> int:
    """How far the wall clock was stepped between two readings; 0 if it only ran."""
    step = (now.wall_ms - before.wall_ms) - (now.monotonic_ms - before.monotonic_ms)
    return int(step) if abs(step) > JUMP_MS else 0


@dataclass(frozen=True, slots=True)
class Span:
    """The time that an epoch has covered, both ends included."""

    epoch: int
    from_ms: int
    to_ms: int


def merged(spans: Iterable[Span]) -> list[Span]:
    """One span per epoch, oldest epoch first."""
    found: dict[int, Span] = {}
    for span in spans:
        known = found.get(span.epoch, span)
        found[span.epoch] = Span(span.epoch, min(known.from_ms, span.from_ms), max(known.to_ms, span.to_ms))
    return [found[epoch] for epoch in sorted(found)]


def visible(times: Ints, epoch: int, spans: Sequence[Span]) -> Mask | None:
    """Which rows of ``epoch`` are not hidden by a later one; None where all are."""
    mask: Mask | None = None
    for span in spans:
        if span.epoch <= epoch or not len(times) or span.from_ms > times[-1] or span.to_ms < times[0]:
            continue
        shown = (times < span.from_ms) | (times > span.to_ms)
        mask = shown if mask is None else mask & shown
    if mask is not None and np.all(mask):
        return None
    return mask


@dataclass(frozen=True, slots=True)
class Era:
    """Where the store stands: the current ``epoch``, when it began, and ``shelved_ms``: the newest row
    that a step back took out of memory and that is still ahead of the wall clock (None: there is none).
    """

    epoch: int = 0
    from_ms: int = NEVER_MS
    shelved_ms: int | None = None


def turned(era: Era, jump: int, now_ms: int, newest_ms: int) -> tuple[Era, int]:
    """The era after the wall clock, now at ``now_ms``, was stepped by ``jump`` (0: it was not), and up to
    which time samples are on disk only because of it. ``newest_ms`` is the newest row in memory.
    """
    shelved_ms = era.shelved_ms
    on_disk_ms = NEVER_MS
    if jump < 0 and newest_ms >= now_ms:
        shelved_ms = newest_ms if shelved_ms is None else max(shelved_ms, newest_ms)
        return Era(era.epoch + 1, now_ms, shelved_ms), on_disk_ms
    if shelved_ms is None:
        return era, on_disk_ms
    if jump > 0:  # what was shelved between the two clocks is the only record of that time
        on_disk_ms = min(shelved_ms, now_ms - 1)
        era = Era(era.epoch + 1, now_ms, shelved_ms)
    if now_ms > shelved_ms:
        era = Era(era.epoch, era.from_ms, None)
    return era, on_disk_ms
