"""One time axis out of several, for series that more than one group has sampled.

Always true: the result has every sample of every piece; where two have one at the same time, a value wins
over a staleness marker, and else the earlier piece over the later.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from watchkeeper.monitoring.labels import Ints, Mask
from watchkeeper.monitoring.samples.frame import ABSENT, Floats, Frame, is_absent, is_stale, is_value


def overlay(into: Floats, cells: Floats) -> Floats:
    """``into``, and what ``cells`` knows beyond it."""
    better = (is_absent(into) & ~is_absent(cells)) | (is_stale(into) & is_value(cells))
    return np.where(better, cells, into)


def merge(pieces: Sequence[tuple[Ints, Floats, Ints]]) -> Frame:
    """One frame of ``pieces``: (times[T], values[T, S], refs[S]), refs distinct within a piece."""
    times = np.unique(np.concatenate([piece[0] for piece in pieces]))
    refs = np.unique(np.concatenate([piece[2] for piece in pieces]))
    values = np.repeat(ABSENT, len(times) * len(refs)).reshape(len(times), len(refs))
    for piece_times, cells, piece_refs in pieces:
        at = np.ix_(np.searchsorted(times, piece_times), np.searchsorted(refs, piece_refs))
        values[at] = overlay(values[at], cells)
    return Frame(times, values, np.arange(len(refs)), refs)


def without_repeats(frames: Sequence[Frame], repeated: Sequence[Mask | None]) -> list[Frame]:
    """``frames`` with the series that more than one may have (``repeated``) put into one of their own."""
    out: list[Frame] = []
    pieces: list[tuple[Ints, Floats, Ints]] = []
    for frame, mask in zip(frames, repeated, strict=True):
        if mask is None:
            out.append(frame)
            continue
        pieces.append((frame.times, frame.values[:, frame.columns[mask]], frame.refs[mask]))
        if not mask.all():
            rest = ~mask
            out.append(
                Frame(
                    frame.times,
                    frame.values,
                    frame.columns[rest],
                    frame.refs[rest],
                    frame.gap_ms,
                    frame.drop_ms,
                )
            )
    if pieces:
        out.append(merge(pieces))
    return out
