"""What the sample store hands to the engine: series that share a time axis, as one matrix.

Always true: ``times`` ascend strictly; a cell holds a value, or one of two NaNs that differ from every
NaN a target can send: :data:`STALE` (the series ended here) and :data:`ABSENT` (no sample at that time).
Both are told apart by their bits, never by comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from watchkeeper.monitoring.labels import Ints, LabelStore, Mask
from watchkeeper.monitoring.promql.ast import Matcher

Floats = npt.NDArray[np.float64]

STALE_BITS = 0x7FF0000000000002  # Prometheus' own staleness marker
ABSENT_BITS = 0x7FF0000000000003
NORMAL_NAN_BITS = 0x7FF8000000000001
STALE = np.array([STALE_BITS], np.uint64).view(np.float64)
"""The staleness marker, as an array of one (a Python float may not keep the bits)."""
ABSENT = np.array([ABSENT_BITS], np.uint64).view(np.float64)
"""The marker of a cell without a sample, as an array of one."""


def is_stale(values: Floats) -> Mask:
    """Per cell: is it the staleness marker?"""
    mask: Mask = np.asarray(values).view(np.uint64) == STALE_BITS
    return mask


def is_absent(values: Floats) -> Mask:
    """Per cell: is there no sample at all?"""
    mask: Mask = np.asarray(values).view(np.uint64) == ABSENT_BITS
    return mask


def is_value(values: Floats) -> Mask:
    """Per cell: is it a sample that a query may see (an ordinary NaN is one)?"""
    bits = np.asarray(values).view(np.uint64)
    mask: Mask = (bits != STALE_BITS) & (bits != ABSENT_BITS)
    return mask


@dataclass(frozen=True, slots=True)
class Frame:
    """Some series on one time axis.

    ``times`` int64[T] milliseconds; ``values`` float64[T, C], a view that the reader must not write to;
    ``columns`` int64[S]: the columns of ``values`` that were selected, ``refs`` int64[S]: their label sets.

    ``gap_ms`` int64[C] (per column of ``values``): the time of the newest row that holds no value for
    it (stale or absent), or a time before ``times[0]`` if every row has one; ``drop_ms`` int64[C]: the
    time of the newest row whose value is below the value before it, likewise. A window that begins
    (exclusively) at or after ``gap_ms`` is full; one whose first row is at or after ``drop_ms`` has no
    counter reset. Both let range functions over counters read two rows instead of all of them.
    None where they are not known: then nothing may be assumed.
    """

    times: Ints
    values: Floats
    columns: Ints
    refs: Ints
    gap_ms: Ints | None = None
    drop_ms: Ints | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """The series that matched, each ref in exactly one frame, and the store that its refs belong to."""

    labels: LabelStore
    frames: Sequence[Frame]


class Storage(Protocol):
    """Where the engine reads samples from."""

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        """Series that match and their samples in [start_ms, end_ms] (more may be handed out).

        A series is included when it has at least one sample, or a staleness marker, in that time.
        """
