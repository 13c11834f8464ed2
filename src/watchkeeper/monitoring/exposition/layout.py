"""Bodies made plain: every line a comment, or a series, one blank and a value.

Always true: :func:`simplified` changes nothing that matters for labels and values, keeps the number of lines,
and leaves a body that is plain already as it is. It costs Python time only for lines that could be otherwise,
and most targets never send such a line: the reader asks for it only after it has met one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from watchkeeper.monitoring.exposition.grammar import LineError, Sample, locate
from watchkeeper.monitoring.labels import Ints, Mask

Bytes = npt.NDArray[np.uint8]
NEWLINE: Final = 10
BLANK: Final = 32
_HASH = 35
_DIGITS = np.isin(np.arange(256), np.frombuffer(b"0123456789", np.uint8))
_OF_NUMBERS = np.isin(np.arange(256), np.frombuffer(b"0123456789+-.eEnaiftyNAIFTY", np.uint8))


class ExpositionError(ValueError):
    """A body that is not an exposition; the message says in which line and why."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason if line is None else f"line {line}: {reason}")
        self.reason = reason
        self.line = line


@dataclass(frozen=True, slots=True)
class Simplified:
    """A plain body, and what was cut out of it: the times (milliseconds) of the lines that carry one."""

    body: bytes
    stamped: Ints
    stamps_ms: Ints


def simplified(body: bytes, openmetrics: bool) -> Simplified:
    """``body``, which ends with a line end, made plain; exemplars are checked and dropped.

    Raises :class:`ExpositionError` for a line that is of no format.
    """
    stamps: dict[int, int] = {}
    if not openmetrics:  # where the last two numbers of a line may be an exemplar's
        plain = _without_stamps(body)
        stamps = dict(zip(plain.stamped.tolist(), plain.stamps_ms.tolist(), strict=True))
        body = plain.body
    buffer = np.frombuffer(body, np.uint8)
    starts, ends, key_ends, blanks = _lines(buffer)[:4]
    comment = (buffer[starts] == _HASH) | (starts == ends)
    pieces: list[bytes] = []
    done = 0
    for line in np.flatnonzero(~comment & _doubtful(buffer, starts, key_ends, ends, blanks)).tolist():
        start, end = int(starts[line]), int(ends[line])
        try:
            found = locate(body, start, end, openmetrics)
        except LineError as error:
            raise ExpositionError(str(error), line + 1) from None
        if not isinstance(found, Sample):  # blanks before a '#', or nothing but blanks
            pieces.append(body[done:start])
            pieces.append(body[start:end].strip(b" \t"))
            done = end
            continue
        if found.timestamp_ms is not None:
            if line in stamps:
                raise ExpositionError("a number too many behind the value and its timestamp", line + 1)
            stamps[line] = found.timestamp_ms
        if body[found.value_start - 1] != BLANK:  # '}' or a tab: the value would not be found
            pieces.append(body[done : found.value_start])
            pieces.append(b" ")
            done = found.value_start
        if found.value_end != end:
            pieces.append(body[done : found.value_end])
            done = end
    if pieces:
        pieces.append(body[done:])
        body = b"".join(pieces)
    lines = sorted(stamps)
    return Simplified(body, np.array(lines, np.int64), np.array([stamps[line] for line in lines], np.int64))


def _without_stamps(body: bytes) -> Simplified:
    """``body`` without the timestamps that stand behind a blank, a number and a blank.

    Neither number can be in quotes, because the line ends with them; whether what is before them is one
    series is for the grammar to say. Whole targets send such lines, so this takes no Python per line.
    """
    buffer = np.frombuffer(body, np.uint8)
    starts, ends, stamp_starts, blanks, value_starts = _lines(buffer)
    two = (blanks >= 2) & (buffer[starts] != _HASH) & (value_starts > starts + 1)
    two &= (buffer[np.maximum(stamp_starts - 1, 0)] == BLANK) & (
        buffer[np.maximum(value_starts - 1, 0)] == BLANK
    )
    lines = np.flatnonzero(two)
    lines = lines[_all(_DIGITS, buffer, stamp_starts[lines], ends[lines], 15)]
    lines = lines[_all(_OF_NUMBERS, buffer, value_starts[lines], stamp_starts[lines] - 1, 1000)]
    if not len(lines):
        return Simplified(body, lines, lines)
    text = buffer[spans(stamp_starts[lines], ends[lines] - stamp_starts[lines] + 1)].tobytes()
    kept = np.ones(len(buffer), np.bool_)
    kept[spans(stamp_starts[lines] - 1, ends[lines] - stamp_starts[lines] + 1)] = False
    stamps = np.array([int(stamp) for stamp in text.split()], np.int64)
    return Simplified(buffer[kept].tobytes(), lines, stamps)


def _all(allowed: Mask, buffer: Bytes, starts: Ints, ends: Ints, most: int) -> Mask:
    """Per stretch: is it not empty, no longer than ``most``, and all of ``allowed`` bytes?"""
    mask: Mask = (starts < ends) & (ends - starts <= most)
    which = np.flatnonzero(mask)
    lengths = ends[which] - starts[which]
    odd = ~allowed[buffer[spans(starts[which], lengths)]]
    mask[np.repeat(which, lengths)[odd]] = False
    return mask


def line_ends(body: bytes) -> Ints:
    """Where the lines of ``body`` end."""
    return np.flatnonzero(np.frombuffer(body, np.uint8) == NEWLINE)


def line_starts(ends: Ints) -> Ints:
    """Where the lines begin that end at ``ends``."""
    starts = np.empty_like(ends)
    starts[:1] = 0
    starts[1:] = ends[:-1] + 1
    return starts


def _lines(buffer: Bytes) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Per line: start, end, the place behind its last blank, how many blanks, and behind the last but one.

    Every byte up to 32 counts as a blank.
    """
    low = np.flatnonzero(buffer <= BLANK)
    at = np.flatnonzero(buffer[low] == NEWLINE)
    ends = low[at]
    last = np.where(at > 0, low[at - 1], -1) + 1
    one_before = np.where(at > 1, low[np.maximum(at - 2, 0)], -1) + 1
    blanks = np.diff(at, prepend=-1) - 1
    return line_starts(ends), ends, last, blanks, one_before


def _doubtful(buffer: Bytes, starts: Ints, key_ends: Ints, ends: Ints, blanks: Ints) -> Mask:
    """The lines for which the grammar has to be asked where their parts are.

    Not those with a single blank that is neither first nor last and has only bytes of numbers behind it:
    inside quotes or braces, something else would have to follow.
    """
    simple: Mask = (blanks == 1) & (key_ends > starts + 1) & (buffer[np.maximum(key_ends - 1, 0)] == BLANK)
    lines = np.flatnonzero(simple)
    simple[lines] = _all(_OF_NUMBERS, buffer, key_ends[lines], ends[lines], len(buffer))
    return ~simple


def spans(starts: Ints, lengths: Ints) -> Ints:
    """The numbers from ``starts[i]`` on, ``lengths[i]`` of them, for every i, in a row."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    indices: Ints = np.repeat(starts - (ends - lengths), lengths) + np.arange(total)
    return indices
