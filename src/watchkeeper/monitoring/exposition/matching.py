"""Which lines a target has sent before: the new sequence of keys against the last one.

Always true: ``origin[i] == j`` only where new key i and old key j are the same bytes, and no j is given twice
unless the target repeats the key; -1 says that the key is new. Targets keep their order, so runs of equal
lines are compared at memory speed, and only what lies between them is looked up key by key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from watchkeeper.monitoring.exposition.layout import Bytes
from watchkeeper.monitoring.labels import Ints

_WINDOW = 8
_SCATTERED = 32
"""After so many breaks, and one in so many lines, the order is taken as lost."""


@dataclass(slots=True)
class KeySequence:
    """The keys of a body in their order: their bytes without anything between, and their lengths."""

    data: Bytes
    lengths: npt.NDArray[np.int32]
    _bounds: Ints | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def bounds(self) -> Ints:
        """Key i is ``data[bounds[i]:bounds[i + 1]]``."""
        if self._bounds is None:
            self._bounds = np.zeros(len(self.lengths) + 1, np.int64)
            np.cumsum(self.lengths, out=self._bounds[1:])
        return self._bounds

    def forget_bounds(self) -> None:
        """Give back the memory that :attr:`bounds` takes; it is computed again when needed."""
        self._bounds = None

    def keys(self, begin: int, end: int) -> list[bytes]:
        """Keys ``begin`` to ``end`` (exclusive)."""
        bounds = self.bounds[begin : end + 1].tolist()
        text = self.data[bounds[0] : bounds[-1]].tobytes()
        base = bounds[0]
        return [text[a - base : b - base] for a, b in pairwise(bounds)]

    def same_as(self, other: KeySequence) -> bool:
        """Are these the same keys in the same order?"""
        return np.array_equal(self.lengths, other.lengths) and np.array_equal(self.data, other.data)


def match(new: KeySequence, old: KeySequence) -> Ints:
    """Per key of ``new``, the index of the same key in ``old``, or -1."""
    origin = np.full(len(new), -1, np.int64)
    i = j = breaks = 0
    ordered = True
    while ordered and i < len(new) and j < len(old):
        run = _equal_run(new, i, old, j)
        origin[i : i + run] = np.arange(j, j + run)
        i, j = i + run, j + run
        if i == len(new) or j == len(old):
            break
        breaks += 1
        resumed = _resume(new, i, old, j)
        ordered = resumed is not None and (breaks < _SCATTERED or breaks * _SCATTERED < i)
        i, j = resumed or (i, j)
    if not ordered:
        _look_up(new, old, origin)
    return origin


def _equal_run(new: KeySequence, i: int, old: KeySequence, j: int) -> int:
    """How many keys from ``new[i]`` and ``old[j]`` on are equal, one by one."""
    total, step = 0, 64
    while True:
        count = min(step, len(new) - i - total, len(old) - j - total)
        if count == 0:
            return total
        a, b = i + total, j + total
        different = np.flatnonzero(new.lengths[a : a + count] != old.lengths[b : b + count])
        equal = count if not len(different) else int(different[0])
        size = int(new.bounds[a + equal] - new.bounds[a])
        left = new.data[new.bounds[a] : new.bounds[a] + size]
        right = old.data[old.bounds[b] : old.bounds[b] + size]
        if not np.array_equal(left, right):
            byte = int(new.bounds[a]) + int(np.argmax(left != right))
            equal = int(np.searchsorted(new.bounds, byte, side="right")) - 1 - a
        total += equal
        if equal < count:
            return total
        step *= 4


def _resume(new: KeySequence, i: int, old: KeySequence, j: int) -> tuple[int, int] | None:
    """The nearest place behind a break where both sequences hold the same key; None if there is none near."""
    size = _WINDOW
    while True:
        ahead = {key: j + k for k, key in enumerate(old.keys(j, min(j + size, len(old))))}
        best: tuple[int, int] | None = None
        for k, key in enumerate(new.keys(i, min(i + size, len(new)))):
            at = ahead.get(key)
            if at is not None and (best is None or at - j + k < best[0] + best[1] - i - j):
                best = (i + k, at)
            if best is not None and k >= best[0] + best[1] - i - j:
                break
        if best is not None or size >= 128 * _WINDOW:
            return best
        size *= 4


def _look_up(new: KeySequence, old: KeySequence, origin: Ints) -> None:
    """Find every key that has no origin yet, wherever it is in ``old``."""
    places = {key: j for j, key in enumerate(old.keys(0, len(old)))}
    keys = new.keys(0, len(new))
    for k in np.flatnonzero(origin < 0).tolist():
        origin[k] = places.get(keys[k], -1)
