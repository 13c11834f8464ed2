"""Reading further back than memory: parts, segments that are not in a part yet, and head put together.

Always true: each series is in one frame, with every visible sample of the time asked for; memory is
bounded by ``limit_cells``, checked before anything large is read; a damaged tile is reported and left out,
the rest is served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from watchkeeper.monitoring.labels import METRIC_NAME, Ints, LabelStore, predicate
from watchkeeper.monitoring.promql.ast import Matcher
from watchkeeper.monitoring.samples.errors import CorruptError, QueryTooLargeError
from watchkeeper.monitoring.samples.frame import ABSENT, Floats, Frame, Selection, is_absent
from watchkeeper.monitoring.samples.merge import overlay, without_repeats
from watchkeeper.monitoring.samples.parts import TILE, Block, GroupContent, GroupEntry, Part
from watchkeeper.monitoring.samples.segment import Segment
from watchkeeper.monitoring.samples.timeline import Span, visible
from watchkeeper.monitoring.samples.transpose import GroupRows, groups_of

Report = Callable[[Part, CorruptError], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """A query: which series, from when to when (inclusive), and how many cells it may hold in memory."""

    matchers: tuple[Matcher, ...]
    start_ms: int
    end_ms: int
    limit_cells: int


@dataclass(frozen=True, slots=True)
class HeadBlock:
    """What memory has of a group: copies, so that they may be read in another thread."""

    key: str
    times: Ints
    values: Floats
    refs: Ints


@dataclass(slots=True)
class _Piece:
    """Rows of some series of one group key, to be read from a part or at hand."""

    refs: Ints
    times: Ints
    rows: Ints | None = None  # None: all of ``values``
    values: Floats | None = None
    part: Part | None = None
    block: Block | None = None
    positions: Ints | None = None  # of the refs' columns in the block

    def read(self, report: Report) -> Iterable[tuple[Ints, Floats]]:
        """(positions in ``refs``, values [times, those]) until all is read."""
        if self.values is not None:
            yield np.arange(len(self.refs)), self.values
            return
        assert self.part is not None
        assert self.block is not None
        assert self.positions is not None
        tiles = self.positions // TILE
        for number in np.unique(tiles).tolist():
            mine = np.flatnonzero(tiles == number)
            try:
                tile = self.part.tile(self.block, number)
            except CorruptError as error:
                report(self.part, error)
                continue
            yield mine, tile[np.ix_(self.rows, self.positions[mine] - number * TILE)]  # type: ignore[arg-type]


def read(
    asked: Asked,
    parts: Sequence[Part],
    segments: Sequence[Segment],
    spans: Sequence[Span],
    head: Sequence[HeadBlock],
    labels: LabelStore,
    report: Report,
) -> Selection:
    """The selection of ``asked``; refs of ``head`` blocks belong to ``labels``, as all others will.

    ``segments`` are in no part. Raises FileNotFoundError if one of them got its part meanwhile.
    """
    keys: dict[str, list[_Piece]] = {}
    held = {block.key: block.times for block in head}
    for part in sorted(parts, key=lambda part: (part.first_seq, part.last_seq)):
        if part.min_ms > asked.end_ms or part.max_ms < asked.start_ms:
            continue
        for entry in candidates(part, asked):
            try:
                content = part.content(entry)
            except CorruptError as error:
                report(part, error)
                continue
            found = _of_part(asked, part, content, spans, held.get(entry.key), labels)
            if found:
                keys.setdefault(entry.key, []).extend(found)
    read_cells = 0
    for segment in segments:
        for group in groups_of(segment.path):
            rows = _of_segment(asked, segment, group, spans, held.get(group.key), labels)
            if rows is not None:
                read_cells += len(rows.refs) * len(rows.times)
                check_size(read_cells, asked)
                keys.setdefault(group.key, []).append(rows)
    for block in head:
        if len(block.refs) and len(block.times):
            piece = _Piece(block.refs, block.times, values=block.values)
            keys.setdefault(block.key, []).append(piece)
    plans = [_Plan(pieces) for pieces in keys.values()]
    check_size(sum(plan.cells for plan in plans), asked)
    frames = [frame for plan in plans for frame in plan.frames(report)]
    return Selection(labels, _one_frame_each(frames))


def candidates(part: Part, asked: Asked) -> Iterable[GroupEntry]:
    """The groups of ``part`` that may have what is asked, judged by time and metric name."""
    accepts = [predicate(matcher) for matcher in asked.matchers if matcher.name == METRIC_NAME]
    named = {i for i, name in enumerate(part.names) if all(accept(name) for accept in accepts)}
    for entry in part.groups.values():
        if entry.min_ms > asked.end_ms or entry.max_ms < asked.start_ms:
            continue
        if not named.isdisjoint(entry.names):
            yield entry


def _of_part(
    asked: Asked,
    part: Part,
    content: GroupContent,
    spans: Sequence[Span],
    held: Ints | None,
    labels: LabelStore,
) -> list[_Piece]:
    mask = content.table.match(asked.matchers)
    chosen = np.flatnonzero(mask)
    if not len(chosen):
        return []
    refs: Ints | None = None
    pieces = []
    for block in content.blocks:
        times = block.times
        at = _rows(asked, times, part.epoch, spans, held)
        positions = np.flatnonzero(mask[block.columns])
        if not len(at) or not len(positions):
            continue
        if refs is None:
            refs = np.zeros(len(mask), np.int64)
            refs[chosen] = [labels.intern(one) for one in content.table.labels(chosen)]
        pieces.append(
            _Piece(
                refs[block.columns[positions]],
                times[at],
                at,
                part=part,
                block=block,
                positions=positions,
            )
        )
    return pieces


def _of_segment(
    asked: Asked,
    segment: Segment,
    group: GroupRows,
    spans: Sequence[Span],
    held: Ints | None,
    labels: LabelStore,
) -> _Piece | None:
    chosen = np.flatnonzero(group.table.match(asked.matchers))
    at = _rows(asked, group.times, segment.epoch, spans, held)
    if not len(chosen) or not len(at):
        return None
    refs = np.array([labels.intern(one) for one in group.table.labels(chosen)], np.int64)
    return _Piece(refs, group.times[at], values=group.values[np.ix_(at, chosen)])


def _rows(asked: Asked, times: Ints, epoch: int, spans: Sequence[Span], held: Ints | None) -> Ints:
    """Which rows on the disk are asked for, not hidden by a later epoch, and not in memory themselves."""
    rows = (times >= asked.start_ms) & (times <= asked.end_ms)
    if held is not None:
        rows &= ~np.isin(times, held)
    shown = visible(times, epoch, spans)
    if shown is not None:
        rows &= shown
    return np.flatnonzero(rows)


def check_size(cells: int, asked: Asked) -> None:
    """Raise QueryTooLargeError if ``asked`` may not hold ``cells`` in memory."""
    if cells > asked.limit_cells:
        days = (asked.end_ms - asked.start_ms) / 86_400_000
        raise QueryTooLargeError(
            f"the query would read about {cells:,} samples over {days:.2g} days, and may hold"
            f" {asked.limit_cells:,} in memory. Nothing is wrong with the data: ask for fewer series"
            " (more labels in the selector) or a shorter time."
        )


class _Plan:
    """How the pieces of one group key become frames: series that live in the same pieces share one."""

    def __init__(self, pieces: list[_Piece]) -> None:
        self.pieces = sorted(pieces, key=lambda piece: int(piece.times[0]))
        self.refs = np.unique(np.concatenate([piece.refs for piece in pieces]))
        self.places = [np.searchsorted(self.refs, piece.refs) for piece in self.pieces]
        first = np.full(len(self.refs), len(pieces))
        last = np.zeros(len(self.refs), np.int64)
        for number, place in enumerate(self.places):
            first[place] = np.minimum(first[place], number)
            last[place] = np.maximum(last[place], number)
        lives, life = np.unique(np.stack([first, last]), axis=1, return_inverse=True)
        self.life = life.reshape(-1)
        self.members = [np.flatnonzero(self.life == number) for number in range(lives.shape[1])]
        self.axes = [
            np.unique(np.concatenate([piece.times for piece in self.pieces[begin : end + 1]]))
            for begin, end in lives.T.tolist()
        ]
        self.cells = sum(len(axis) * len(mine) for axis, mine in zip(self.axes, self.members, strict=True))

    def frames(self, report: Report) -> Iterable[Frame]:
        """Read everything."""
        column = np.zeros(len(self.refs), np.int64)
        matrices: list[Floats] = []
        for axis, mine in zip(self.axes, self.members, strict=True):
            column[mine] = np.arange(len(mine))
            matrices.append(np.repeat(ABSENT, len(axis) * len(mine)).reshape(len(axis), len(mine)))
        for piece, place in zip(self.pieces, self.places, strict=True):
            for positions, values in piece.read(report):
                lives = self.life[place[positions]]
                for number in np.unique(lives).tolist():
                    some = np.flatnonzero(lives == number)
                    rows = np.searchsorted(self.axes[number], piece.times)
                    at = np.ix_(rows, column[place[positions[some]]])
                    matrices[number][at] = overlay(matrices[number][at], values[:, some])
        for axis, mine, values in zip(self.axes, self.members, matrices, strict=True):
            frame = _sampled(axis, values, self.refs[mine])
            if frame is not None:
                yield frame


def _sampled(times: Ints, values: Floats, refs: Ints) -> Frame | None:
    """The frame of those series that have a sample at all."""
    columns = np.flatnonzero(~is_absent(values).all(axis=0))
    return Frame(times, values, columns, refs[columns]) if len(columns) else None


def _one_frame_each(frames: list[Frame]) -> list[Frame]:
    if not frames:
        return []
    refs, counts = np.unique(np.concatenate([frame.refs for frame in frames]), return_counts=True)
    repeated = refs[counts > 1]
    if not len(repeated):
        return frames
    masks = [np.isin(frame.refs, repeated) for frame in frames]
    return without_repeats(frames, [mask if mask.any() else None for mask in masks])
