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
from watchkeeper.monitoring.exposition.layout import ExpositionError, Layout
from watchkeeper.monitoring.exposition.matching import KeySequence, match
from watchkeeper.monitoring.exposition.metadata import Family, families, normalized
from watchkeeper.monitoring.exposition.series import SeriesParser
from watchkeeper.monitoring.exposition.values import BadValueError, parse_values
from watchkeeper.monitoring.labels import Ints, Labels, Mask
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
    keys: KeySequence
    comment: Mask
    families: dict[str, Family]


class _NotPlainError(Exception):
    """Some line has more than a key and a value, or is wrong: the careful layout will tell."""


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
        reading.memory.keys.forget_bounds()
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
        if not body.endswith(b"\n"):
            body += b"\n"
        if openmetrics and body != b"\n" and not f"\n{body[-6:].decode('latin-1')}".endswith("\n# EOF\n"):
            raise ExpositionError("the exposition does not end with '# EOF': it was cut off on its way")
        if body == b"\n":
            return self._empty(openmetrics)
        memory = self._memory if self._memory and self._memory.openmetrics == openmetrics else None
        layout = None if self._careful else Layout.plain(body)
        if layout is not None:
            try:
                return self._read(layout, openmetrics, memory, sample_limit, careful=False)
            except _NotPlainError:
                pass
        layout = Layout.careful(body, openmetrics)
        self._careful = layout.beyond_plain
        return self._read(layout, openmetrics, memory, sample_limit, careful=True)

    def _empty(self, openmetrics: bool) -> Reading:
        keys = KeySequence(np.zeros(0, np.uint8), np.zeros(0, np.int32))
        memory = _Memory(openmetrics, keys, np.zeros(0, np.bool_), {})
        return Reading(np.zeros(0), _NONE, [], _NONE, _NONE, {}, memory)

    def _read(
        self, layout: Layout, openmetrics: bool, memory: _Memory | None, sample_limit: int, *, careful: bool
    ) -> Reading:
        lines = np.flatnonzero(~layout.comment)
        if 0 < sample_limit < len(lines):
            raise TooManySamplesError(len(lines), sample_limit)
        keys = KeySequence(*layout.keys())
        try:
            values = parse_values(layout.values())
        except BadValueError as error:
            if not careful:
                raise _NotPlainError from None
            raise ExpositionError(str(error), int(lines[error.index]) + 1) from None
        stamped = np.searchsorted(lines, layout.stamped)
        if memory is not None and memory.keys.same_as(keys):
            if not np.array_equal(memory.comment, layout.comment):
                raise _NotPlainError
            return Reading(values, None, [], stamped, layout.stamps_ms, memory.families, memory)
        try:
            origin, fresh, known = _compare(layout, keys, openmetrics, memory)
        except ExpositionError:
            if not careful:
                raise _NotPlainError from None
            raise
        remembered = _Memory(openmetrics, keys, layout.comment, known)
        return Reading(values, origin, fresh, stamped, layout.stamps_ms, known, remembered)


def _compare(
    layout: Layout, keys: KeySequence, openmetrics: bool, memory: _Memory | None
) -> tuple[Ints, list[Labels], dict[str, Family]]:
    """Per sample its index in what is remembered; the label sets of the new ones; the families."""
    origin = np.full(len(keys), -1, np.int64) if memory is None else match(keys, memory.keys)
    known = _families(layout, origin, openmetrics, memory)
    if memory is not None:
        matched = origin >= 0
        if (
            _retyped(known, memory.families)
            or (layout.comment[matched] != memory.comment[origin[matched]]).any()
        ):
            memory = None
            origin = np.full(len(keys), -1, np.int64)
    samples = ~layout.comment
    fresh: list[Labels] = []
    parser = SeriesParser(openmetrics)
    for line in np.flatnonzero((origin < 0) & samples).tolist():
        key = layout.body[layout.starts[line] : layout.key_ends[line]]
        try:
            labels = parser.parse(key)
        except LineError as error:
            raise ExpositionError(str(error), line + 1) from None
        fresh.append(normalized(labels, known) if b'le="' in key or b'quantile="' in key else labels)
    of_samples = origin[samples]
    if memory is not None and len(memory.keys):
        index_of_line = np.cumsum(~memory.comment) - 1
        of_samples = np.where(of_samples >= 0, index_of_line[of_samples], -1)
    return of_samples, fresh, known


def _families(layout: Layout, origin: Ints, openmetrics: bool, memory: _Memory | None) -> dict[str, Family]:
    """The families; read again only if some comment is not as it was."""
    of_comments = origin[layout.comment]
    if memory is not None and len(of_comments) == int(memory.comment.sum()) and (of_comments >= 0).all():
        return memory.families
    comments: list[Comment] = []
    last = len(layout.starts) - 1
    for line in np.flatnonzero(layout.comment).tolist():
        try:
            comment = parse_comment(layout.body[layout.starts[line] : layout.key_ends[line]], openmetrics)
        except LineError as error:
            raise ExpositionError(str(error), line + 1) from None
        if comment.keyword == "EOF" and line != last:
            raise ExpositionError("there is more behind '# EOF'", line + 2)
        comments.append(comment)
    return families(comments)


def _retyped(known: dict[str, Family], before: dict[str, Family]) -> bool:
    """Has a family got another type? Then labels that depend on it must be read again."""
    if known is before:
        return False
    unknown = Family("")
    pairs = ({known.get(name, unknown).type, before.get(name, unknown).type} for name in {*known, *before})
    return any(len(types) == 2 and types & {"histogram", "summary"} for types in pairs)
