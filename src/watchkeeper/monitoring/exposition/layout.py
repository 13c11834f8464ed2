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
    buffer = np.frombuffer(body, np.uint8)
    starts, ends, key_ends, blanks = _lines(buffer)
    comment = (buffer[starts] == _HASH) | (starts == ends)
    pieces: list[bytes] = []
    done = 0
    stamped: list[int] = []
    stamps_ms: list[int] = []
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
            stamped.append(line)
            stamps_ms.append(found.timestamp_ms)
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
    return Simplified(body, np.array(stamped, np.int64), np.array(stamps_ms, np.int64))


def line_ends(body: bytes) -> Ints:
    """Where the lines of ``body`` end."""
    return np.flatnonzero(np.frombuffer(body, np.uint8) == NEWLINE)


def line_starts(ends: Ints) -> Ints:
    """Where the lines begin that end at ``ends``."""
    starts = np.empty_like(ends)
    starts[:1] = 0
    starts[1:] = ends[:-1] + 1
    return starts


def _lines(buffer: Bytes) -> tuple[Ints, Ints, Ints, Ints]:
    """Per line: start, end, where the value begins if the last blank is before it, and how many blanks.

    Every byte up to 32 counts as a blank.
    """
    low = np.flatnonzero(buffer <= BLANK)
    at = np.flatnonzero(buffer[low] == NEWLINE)
    ends = low[at]
    key_ends = np.where(at > 0, low[at - 1], -1) + 1
    blanks = np.diff(at, prepend=-1) - 1
    return line_starts(ends), ends, key_ends, blanks


def _doubtful(buffer: Bytes, starts: Ints, key_ends: Ints, ends: Ints, blanks: Ints) -> Mask:
    """The lines for which the grammar has to be asked where their parts are.

    Not those with a single blank that is neither first nor last and has only bytes of numbers behind it:
    inside quotes or braces, something else would have to follow.
    """
    mask: Mask = (blanks != 1) | (key_ends <= starts + 1) | (key_ends == ends)
    mask |= buffer[np.maximum(key_ends - 1, 0)] != BLANK
    lines = np.flatnonzero(~mask)
    lengths = ends[lines] - key_ends[lines]
    odd = ~_OF_NUMBERS[buffer[spans(key_ends[lines], lengths)]]
    mask[np.repeat(lines, lengths)[odd]] = True
    return mask


def spans(starts: Ints, lengths: Ints) -> Ints:
    """The numbers from ``starts[i]`` on, ``lengths[i]`` of them, for every i, in a row."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    indices: Ints = np.repeat(starts - (ends - lengths), lengths) + np.arange(total)
    return indices
