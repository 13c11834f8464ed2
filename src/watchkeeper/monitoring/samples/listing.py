"""Which series there are, without their samples.

Always true: a series that has a sample in the time asked for is listed. One in a part may be listed
although its samples lie just outside: parts are looked at by block (up to two hours of rows).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from watchkeeper.monitoring.labels import Labels
from watchkeeper.monitoring.samples.errors import CorruptError
from watchkeeper.monitoring.samples.frame import Frame, is_absent
from watchkeeper.monitoring.samples.history import Asked, Report, candidates
from watchkeeper.monitoring.samples.parts import Part
from watchkeeper.monitoring.samples.segment import Segment
from watchkeeper.monitoring.samples.transpose import groups_of


def sampled_refs(frame: Frame, start_ms: int, end_ms: int) -> list[int]:
    """The refs of ``frame`` that have a sample or a marker in [start_ms, end_ms]."""
    begin = int(np.searchsorted(frame.times, start_ms))
    end = int(np.searchsorted(frame.times, end_ms, side="right"))
    present = np.any(~is_absent(frame.values[begin:end]), axis=0)
    refs: list[int] = frame.refs[present[frame.columns]].tolist()
    return refs


def in_parts(asked: Asked, parts: Sequence[Part], report: Report) -> set[Labels]:
    """The series of ``parts`` that match and have a block in the time asked for."""
    found: set[Labels] = set()
    for part in parts:
        if part.min_ms > asked.end_ms or part.max_ms < asked.start_ms:
            continue
        for entry in candidates(part, asked):
            try:
                content = part.content(entry)
            except CorruptError as error:
                report(part, error)
                continue
            held = np.zeros(content.table.size, np.bool_)
            for block in content.blocks:
                if block.times[0] <= asked.end_ms and block.times[-1] >= asked.start_ms:
                    held[block.columns] = True
            held &= content.table.match(asked.matchers)
            found.update(content.table.labels(np.flatnonzero(held)))
    return found


def in_log(asked: Asked, segments: Sequence[Segment]) -> set[Labels]:
    """The series of ``segments`` that match and have a sample in the time asked for.

    Raises FileNotFoundError if one of the segments got its part meanwhile.
    """
    found: set[Labels] = set()
    for segment in segments:
        for group in groups_of(segment.path):
            begin = int(np.searchsorted(group.times, asked.start_ms))
            end = int(np.searchsorted(group.times, asked.end_ms, side="right"))
            held = np.any(~is_absent(group.values[begin:end]), axis=0) & group.table.match(asked.matchers)
            found.update(group.table.labels(np.flatnonzero(held)))
    return found
