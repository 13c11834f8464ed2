"""One target's expositions, scrape after scrape: strict the first time, at memory speed when little changed.

Always true: a reading is the same as that of a reader which has never read before, only faster
(tests/monitoring/test_exposition_reader.py compares them); and what is remembered is no more than the last
reading that was kept, so a target that invents new names every time costs no memory for the old ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from watchkeeper.monitoring.exposition.grammar import Comment, LineError, parse_comment
from watchkeeper.monitoring.exposition.layout import (
    ExpositionError,
    Simplified,
    line_ends,
    line_starts,
    simplified,
    spans,
)
from watchkeeper.monitoring.exposition.matching import Alignment, Lines, align
from watchkeeper.monitoring.exposition.metadata import Family, families, normalized
from watchkeeper.monitoring.exposition.series import SeriesParser
from watchkeeper.monitoring.exposition.values import BadValueError, parse_values
from watchkeeper.monitoring.labels import Ints, Labels
from watchkeeper.monitoring.samples.frame import Floats

_NONE: Final = np.zeros(0, np.int64)


class TooManySamplesError(ExpositionError):
    """The body has more samples than allowed; it was not read any further."""

    def __init__(self, samples: int, limit: int) -> None:
        super().__init__(f"the target sent {samples} samples; sample_limit is {limit}")
        self.samples = samples


@dataclass(frozen=True, slots=True)
class Reading:
    """What one body says. ``values`` float64[n]: its samples in their order, the same series possibly twice.

    ``origin`` int64[n] is, per sample, its index in the reading that was kept last, or -1 for a series that
    was not in it; None says that the series are the same in the same order. ``fresh`` are the label
    sets of those with -1, in their order. ``stamped`` and ``stamps_ms`` int64: the samples that carry a time
    of their own, and those times in milliseconds. ``families`` is shared between readings: do not change it.
    """

    values: Floats
    origin: Ints | None
    fresh: list[Labels]
    stamped: Ints
    stamps_ms: Ints
    families: Mapping[str, Family]
    memory: _Memory


@dataclass(frozen=True, slots=True)
class _Memory:
    """What a reader remembers of a reading."""

    openmetrics: bool
    lines: Lines
    families: dict[str, Family]


class _NotPlainError(Exception):
    """A line that is not plain: it has more than a key and a value, or it is wrong."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


def is_openmetrics(content_type: str) -> bool:
    """Whether ``content_type`` says OpenMetrics (else it is read as Prometheus' text format).

    Raises :class:`ExpositionError` for types that are certainly neither.
    """
    media = content_type.partition(";")[0].strip().lower()
    if media == "application/openmetrics-text":
        return True
    if media in ("text/html", "application/json", "application/vnd.google.protobuf"):
        raise ExpositionError(
            f"the target answered with {media}, not with metrics in Prometheus' text format or OpenMetrics; "
            "check metrics_path"
        )
    return False


class Reader:
    """Reads the bodies of one target; remembers the last one that was kept."""

    def __init__(self) -> None:
        self._memory: _Memory | None = None
        self._careful = False

    def keep(self, reading: Reading) -> None:
        """Remember ``reading``, the last one of this reader, as the one that the next is compared with."""
        self._memory = reading.memory

    def forget(self) -> None:
        """Remember nothing: the next reading has all its label sets in ``fresh``."""
        self._memory = None

    def read(self, body: bytes, content_type: str = "", sample_limit: int = 0) -> Reading:
        """What ``body`` says.

        Raises :class:`ExpositionError` if it is not wholly of the format, :class:`TooManySamplesError` if it
        has more than ``sample_limit`` samples (0: no limit).
        """
        openmetrics = is_openmetrics(content_type)
        if body and not body.endswith(b"\n"):
            body += b"\n"
        if openmetrics and body not in (b"", b"# EOF\n") and not body.endswith(b"\n# EOF\n"):
            raise ExpositionError("the exposition does not end with '# EOF': it was cut off on its way")
        memory = self._memory if self._memory and self._memory.openmetrics == openmetrics else None
        if not self._careful:
            try:
                return _read(Simplified(body, _NONE, _NONE), openmetrics, memory, sample_limit)
            except _NotPlainError:
                pass
        plain = simplified(body, openmetrics)
        self._careful = plain.body is not body
        try:
            return _read(plain, openmetrics, memory, sample_limit)
        except _NotPlainError as error:
            raise ExpositionError(error.reason, error.line) from None


def _read(plain: Simplified, openmetrics: bool, memory: _Memory | None, sample_limit: int) -> Reading:
    body = plain.body
    ends = line_ends(body)
    starts = line_starts(ends)
    count = len(starts)
    if memory is None:
        found = Alignment(np.full(count, -1, np.int64), np.zeros(count, np.bool_))
    else:
        found = align(body, starts, ends, memory.lines)
    lines, unknown = _lines(body, starts, ends, found, memory)
    samples = int(np.count_nonzero(lines.sample))
    if 0 < sample_limit < samples:
        raise TooManySamplesError(samples, sample_limit)
    _read_values(lines, np.flatnonzero(lines.sample & (found.changed | (found.origin < 0))))
    same = memory is not None and np.array_equal(found.origin, np.arange(len(memory.lines)))
    numbers = np.cumsum(lines.sample) - 1
    stamped = numbers[plain.stamped]
    values = lines.values[lines.sample]
    if same and memory is not None:
        remembered = _Memory(openmetrics, lines, memory.families)
        return Reading(values, None, [], stamped, plain.stamps_ms, memory.families, remembered)
    known = _families(lines, found.origin, openmetrics, memory)
    if memory is not None and _retyped(known, memory.families):
        return _read(plain, openmetrics, None, sample_limit)
    fresh = _label_sets(lines, unknown, openmetrics, known)
    origin = found.origin[lines.sample]
    if memory is not None and len(memory.lines):
        old_numbers = np.cumsum(memory.lines.sample) - 1
        origin = np.where(origin >= 0, old_numbers[origin], -1)
    remembered = _Memory(openmetrics, lines, known)
    return Reading(values, origin, fresh, stamped, plain.stamps_ms, known, remembered)


def _lines(
    body: bytes, starts: Ints, ends: Ints, found: Alignment, memory: _Memory | None
) -> tuple[Lines, Ints]:
    """The lines of ``body``, values still to be read where they changed, and the samples that are new."""
    if memory is not None and len(memory.lines):
        old = memory.lines
        key_ends = starts + (old.key_ends - old.starts)[found.origin]
        sample = old.sample[found.origin]
        values = old.values[found.origin]
    else:
        key_ends, sample, values = ends.copy(), np.zeros(len(starts), np.bool_), np.full(len(starts), np.nan)
    unknown = np.flatnonzero(found.origin < 0)
    for line in unknown.tolist():
        start, end = int(starts[line]), int(ends[line])
        comment = start == end or body.startswith(b"#", start)
        key_ends[line] = end if comment else body.rfind(b" ", start, end) + 1
        sample[line] = not comment
        if not comment and not start + 1 < key_ends[line] < end:
            raise _NotPlainError("expected a series, a blank and a value", line + 1)
    values[unknown] = np.nan
    return Lines(body, starts, ends, key_ends, sample, values), unknown[sample[unknown]]


def _read_values(lines: Lines, which: Ints) -> None:
    """Fill in the values of the lines ``which``."""
    begins = lines.key_ends[which]
    lengths = lines.ends[which] - begins + 1  # with the line end, which separates them
    text = np.frombuffer(lines.body, np.uint8)[spans(begins, lengths)].tobytes()
    try:
        lines.values[which] = parse_values(text)
    except BadValueError as error:
        raise _NotPlainError(str(error), int(which[error.index]) + 1) from None


def _label_sets(lines: Lines, unknown: Ints, openmetrics: bool, known: dict[str, Family]) -> list[Labels]:
    """The label sets of the lines ``unknown``."""
    parser = SeriesParser(openmetrics)
    fresh: list[Labels] = []
    for line in unknown.tolist():
        key = lines.key(line)
        try:
            labels = parser.parse(key)
        except LineError as error:
            raise _NotPlainError(str(error), line + 1) from None
        fresh.append(normalized(labels, known) if b'le="' in key or b'quantile="' in key else labels)
    return fresh


def _families(lines: Lines, origin: Ints, openmetrics: bool, memory: _Memory | None) -> dict[str, Family]:
    """The families; read again only if some comment is not as it was."""
    of_comments = origin[~lines.sample]
    if (
        memory is not None
        and (of_comments >= 0).all()
        and len(of_comments) == int(np.count_nonzero(~memory.lines.sample))
    ):
        return memory.families
    comments: list[Comment] = []
    for line in np.flatnonzero(~lines.sample).tolist():
        try:
            comment = parse_comment(lines.key(line), openmetrics)
        except LineError as error:
            raise _NotPlainError(str(error), line + 1) from None
        if comment.keyword == "EOF" and line != len(lines) - 1:
            raise _NotPlainError("there is more behind '# EOF'", line + 2)
        comments.append(comment)
    return families(comments)


def _retyped(known: dict[str, Family], before: dict[str, Family]) -> bool:
    """Has a family got another type? Then labels that depend on it must be read again."""
    if known is before:
        return False
    unknown = Family("")
    pairs = ({known.get(name, unknown).type, before.get(name, unknown).type} for name in {*known, *before})
    return any(len(types) == 2 and types & {"histogram", "summary"} for types in pairs)
