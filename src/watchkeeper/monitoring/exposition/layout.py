"""A body split into lines, and each line into key and value, by NumPy: no Python per line.

Always true: ``body[starts[i]:key_ends[i]]`` is the key of line i (a series with the blanks behind it, or a
whole comment) and ``body[key_ends[i]:value_ends[i]]`` its value (empty for a comment). The *plain* layout
takes what stands behind the last blank as the value, which is right for every line whose key the strict
parser takes as one whole series; the *careful* layout asks the grammar about all lines that may differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from watchkeeper.monitoring.exposition.grammar import LineError, Sample, locate
from watchkeeper.monitoring.labels import Ints, Mask

Bytes = npt.NDArray[np.uint8]
_NEWLINE, _BLANK, _HASH = 10, 32, 35
_OF_NUMBERS = np.isin(np.arange(256), np.frombuffer(b"0123456789+-.eEnaiftyNAIFTY", np.uint8))


class ExpositionError(ValueError):
    """A body that is not an exposition; the message says in which line and why."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason if line is None else f"line {line}: {reason}")
        self.reason = reason
        self.line = line


@dataclass(slots=True)
class Layout:
    """Where the lines of ``body`` are, and their parts. ``stamps_ms`` are the own times of some lines."""

    body: bytes
    starts: Ints
    key_ends: Ints
    value_ends: Ints
    comment: Mask
    stamped: Ints
    """The lines with a time of their own, ascending."""
    stamps_ms: Ints
    """The times of those, in milliseconds."""
    beyond_plain: bool = False
    """Does some line have what the plain layout cannot see?"""

    @classmethod
    def plain(cls, body: bytes) -> Self | None:
        """The layout if no line has more than a key and a value; None where some line surely has.

        ``body`` ends with a line end.
        """
        buffer = np.frombuffer(body, np.uint8)
        starts, ends, previous, _ = _lines(buffer)
        comment = _comments(buffer, starts, ends)
        if (previous < starts)[~comment].any():
            return None  # a sample without a blank
        key_ends = np.where(comment, ends, previous + 1)
        none = np.zeros(0, np.int64)
        return cls(body, starts, key_ends, ends, comment, none, none)

    @classmethod
    def careful(cls, body: bytes, openmetrics: bool) -> Self:
        """The layout of any valid body; raises :class:`ExpositionError` for another."""
        buffer = np.frombuffer(body, np.uint8)
        starts, ends, previous, blanks = _lines(buffer)
        comment = _comments(buffer, starts, ends)
        key_ends = np.where(comment, ends, previous + 1)
        value_ends = ends.copy()
        beyond_plain = False
        stamped: list[int] = []
        stamps_ms: list[int] = []
        for line in np.flatnonzero(~comment & _doubtful(buffer, starts, key_ends, ends, blanks)).tolist():
            try:
                found = locate(body, int(starts[line]), int(ends[line]), openmetrics)
            except LineError as error:
                raise ExpositionError(str(error), line + 1) from None
            if not isinstance(found, Sample):
                beyond_plain |= starts[line] < ends[line]
                comment[line] = True
                key_ends[line] = ends[line]
                continue
            beyond_plain |= found.value_start != key_ends[line] or found.value_end != ends[line]
            key_ends[line], value_ends[line] = found.value_start, found.value_end
            if found.timestamp_ms is not None:
                stamped.append(line)
                stamps_ms.append(found.timestamp_ms)
        return cls(
            body,
            starts,
            key_ends,
            value_ends,
            comment,
            np.array(stamped, np.int64),
            np.array(stamps_ms, np.int64),
            bool(beyond_plain),
        )

    def keys(self) -> tuple[Bytes, npt.NDArray[np.int32]]:
        """All keys without anything between them, and the length of each."""
        lengths = (self.key_ends - self.starts).astype(np.int32)
        buffer = np.frombuffer(self.body, np.uint8)
        mask = np.ones(len(buffer), np.bool_)
        following = np.append(self.starts[1:], len(buffer))
        mask[_spans(self.key_ends, following - self.key_ends)] = False
        keys: Bytes = buffer[mask]
        return keys, lengths

    def values(self) -> bytes:
        """The values of the samples, each with a line end behind it."""
        samples = ~self.comment
        starts, ends = self.key_ends[samples], self.value_ends[samples]
        text = np.frombuffer(self.body, np.uint8)[_spans(starts, ends - starts + 1)]
        text[np.cumsum(ends - starts + 1) - 1] = _NEWLINE
        return text.tobytes()


def _lines(buffer: Bytes) -> tuple[Ints, Ints, Ints, Ints]:
    """Per line: start, end, the last byte of 32 or less before its end, and how many of those it has."""
    low = np.flatnonzero(buffer <= _BLANK)
    at = np.flatnonzero(buffer[low] == _NEWLINE)
    ends = low[at]
    starts = np.empty_like(ends)
    starts[0] = 0
    starts[1:] = ends[:-1] + 1
    previous = np.where(at > 0, low[at - 1], -1)
    blanks = np.diff(at, prepend=-1) - 1
    return starts, ends, previous, blanks


def _comments(buffer: Bytes, starts: Ints, ends: Ints) -> Mask:
    mask: Mask = (buffer[starts] == _HASH) | (starts == ends)
    return mask


def _doubtful(buffer: Bytes, starts: Ints, key_ends: Ints, ends: Ints, blanks: Ints) -> Mask:
    """The lines for which the grammar has to be asked where their parts are.

    Not those with a single blank that is neither first nor last and has only bytes of numbers behind it:
    inside quotes or braces, something else would have to follow.
    """
    mask: Mask = (blanks != 1) | (key_ends <= starts + 1) | (key_ends == ends)
    lines = np.flatnonzero(~mask)
    lengths = ends[lines] - key_ends[lines]
    odd = ~_OF_NUMBERS[buffer[_spans(key_ends[lines], lengths)]]
    mask[np.repeat(lines, lengths)[odd]] = True
    return mask


def _spans(starts: Ints, lengths: Ints) -> Ints:
    """The numbers from ``starts[i]`` on, ``lengths[i]`` of them, for every i, in a row."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    indices: Ints = np.repeat(starts - (ends - lengths), lengths) + np.arange(total)
    return indices
