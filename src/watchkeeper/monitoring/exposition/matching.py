"""Which lines a target has sent before: the lines of a new body against those of the last one.

Always true: ``origin[i] == j`` only where new line i and old line j have the same bytes before their values,
and ``changed[i]`` is set if their values have not; -1 says that the line may be new. Targets keep their
order, so lines are compared in step and at memory speed, across changes of length; where the step is lost it
is looked for nearby, and only then line by line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from watchkeeper.monitoring.exposition.layout import BLANK
from watchkeeper.monitoring.labels import Ints, Mask
from watchkeeper.monitoring.samples.frame import Floats

_NEAR = 8
_FAR = 1024
_BREAKS = 32
"""After so many breaks, and one in so many lines, the order is taken as lost."""
_WINDOW = 8192
_CHUNK = 512
_FEW = 64
"""So many lines without an origin are not worth a look through all old ones."""


@dataclass(frozen=True, slots=True)
class Lines:
    """A plain body and its lines.

    Line i is ``body[starts[i]:ends[i]]``; its key goes up to ``key_ends[i]``, including the blank (a comment
    is all key). ``values`` has NaN for comments.
    """

    body: bytes
    starts: Ints
    ends: Ints
    key_ends: Ints
    sample: Mask
    values: Floats

    def __len__(self) -> int:
        return len(self.starts)

    def key(self, line: int) -> bytes:
        """The key of ``line``."""
        return self.body[self.starts[line] : self.key_ends[line]]


@dataclass(slots=True)
class Alignment:
    """What :func:`align` found, per new line."""

    origin: Ints
    changed: Mask


def align(body: bytes, starts: Ints, ends: Ints, old: Lines) -> Alignment:
    """The lines of ``body`` among those of ``old``."""
    found = Alignment(np.full(len(starts), -1, np.int64), np.zeros(len(starts), np.bool_))
    differs = np.zeros(len(body), np.bool_)
    _walk(body, starts, ends, old, found, differs)
    _settle(body, starts, old, found, np.flatnonzero(differs))
    missing = np.flatnonzero(found.origin < 0)
    if len(missing) > _FEW:
        _look_up(body, starts, ends, old, found, missing)
    return found


def _walk(body: bytes, starts: Ints, ends: Ints, old: Lines, found: Alignment, differs: Mask) -> None:
    """Go through both bodies in step, taking lines of the same length as lines with the same key.

    Sets ``differs`` for every byte of such lines that is not as it was.
    """
    lengths, old_lengths = ends - starts, old.ends - old.starts
    fresh, known = np.frombuffer(body, np.uint8), np.frombuffer(old.body, np.uint8)
    i = j = breaks = 0
    while i < len(starts) and j < len(old):
        count = min(len(starts) - i, len(old) - j, _WINDOW)
        others = np.flatnonzero(lengths[i : i + count] != old_lengths[j : j + count])
        if len(others) > _CHUNK:
            count, others = int(others[_CHUNK]), others[:_CHUNK]
        same = _same_keys(body, starts, ends, others + i, old, others + j)
        in_step = same == len(others)
        others = others[:same] if in_step else others[: same + 1]
        stop = count if in_step else int(others[-1])
        changed = others[:same]
        found.origin[i : i + stop] = np.arange(j, j + stop)
        found.changed[i + changed] = True
        firsts = np.append(0, changed + 1)
        lasts = np.append(changed, stop)
        filled = firsts < lasts
        firsts, lasts = firsts[filled], lasts[filled] - 1
        for a, b, c, d in zip(
            starts[i + firsts].tolist(),
            ends[i + lasts].tolist(),
            old.starts[j + firsts].tolist(),
            old.ends[j + lasts].tolist(),
            strict=True,
        ):
            np.not_equal(fresh[a:b], known[c:d], out=differs[a:b])
        i, j = i + stop, j + stop
        if not in_step:
            breaks += 1
            step = _find_step(body, starts, ends, i, old, j)
            if step is None or (breaks > _BREAKS and breaks * _BREAKS > i):
                return
            i, j = step


def _same_keys(body: bytes, starts: Ints, ends: Ints, lines: Ints, old: Lines, old_lines: Ints) -> int:
    """How many of the first ``lines`` have the key of the old ones, though another length.

    A comment has no value that could differ.
    """
    same = 0
    for start, end, old_start, key_end, sample in zip(
        starts[lines].tolist(),
        ends[lines].tolist(),
        old.starts[old_lines].tolist(),
        old.key_ends[old_lines].tolist(),
        old.sample[old_lines].tolist(),
        strict=True,
    ):
        value = start + key_end - old_start
        if not sample or value >= end or body[start:value] != old.body[old_start:key_end]:
            break
        if body.find(b" ", value, end) >= 0:  # "a 1" was no part of "a {b="c"} 1"
            break
        same += 1
    return same


def _settle(body: bytes, starts: Ints, old: Lines, found: Alignment, places: Ints) -> None:
    """See in which lines the bytes at ``places``, which differ, are of the value, and in which of the key."""
    if not len(places):
        return
    before = np.searchsorted(places, np.append(starts, len(body)))
    lines = np.flatnonzero(before[1:] > before[:-1])
    origin = found.origin[lines]
    in_key = places[before[lines]] - starts[lines] < old.key_ends[origin] - old.starts[origin]
    found.changed[lines] = True
    blanks = places[np.frombuffer(body, np.uint8)[places] <= BLANK]
    if len(blanks):  # no value has one: these lines are not plain any more
        lines = np.append(lines[in_key], np.searchsorted(starts, blanks, side="right") - 1)
    else:
        lines = lines[in_key]
    found.origin[lines] = -1
    found.changed[lines] = False


def _find_step(body: bytes, starts: Ints, ends: Ints, i: int, old: Lines, j: int) -> tuple[int, int] | None:
    """The nearest lines from ``i`` and ``j`` on that have one key; None if there are none near."""
    size = _NEAR
    while True:
        ahead = {old.key(k): k for k in range(min(j + size, len(old)) - 1, j - 1, -1)}
        best: tuple[int, int] | None = None
        for k in range(i, min(i + size, len(starts))):
            if best is not None and k - i >= best[0] - i + best[1] - j:
                break
            place = ahead.get(key_of(body, int(starts[k]), int(ends[k])))
            if place is not None and (best is None or k - i + place - j < best[0] - i + best[1] - j):
                best = (k, place)
        if best is not None or size >= _FAR:
            return best
        size *= 4


def _look_up(body: bytes, starts: Ints, ends: Ints, old: Lines, found: Alignment, missing: Ints) -> None:
    """Look for the lines ``missing`` among all old ones that are nobody's origin."""
    free = np.ones(len(old), np.bool_)
    free[found.origin[found.origin >= 0]] = False
    places = {old.key(j): j for j in np.flatnonzero(free).tolist()}
    for line in missing.tolist():
        place = places.get(key_of(body, int(starts[line]), int(ends[line])))
        if place is not None:
            found.origin[line] = place
            found.changed[line] = True


def key_of(body: bytes, start: int, end: int) -> bytes:
    """The key of a line of a plain body: up to its last blank, and all of a comment."""
    if body.startswith(b"#", start):
        return body[start:end]
    return body[start : body.rfind(b" ", start, end) + 1]
