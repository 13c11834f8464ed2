"""Samples in memory: a :class:`~watchkeeper.monitoring.samples.frame.Storage` for tests and small jobs.

Always true: series that were given the same times share a frame; a sample at a time that a series already
has replaces the old one; nothing is ever released.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from watchkeeper.monitoring.labels import Ints, Labels, LabelStore, label_set
from watchkeeper.monitoring.promql.ast import Matcher
from watchkeeper.monitoring.samples.frame import Floats, Frame, Selection


class MemoryStorage:
    """Whole series, added one by one; frames are made when samples are first asked for.

    Values may hold the markers of :mod:`watchkeeper.monitoring.samples.frame`: a staleness marker ends a
    series there.
    """

    def __init__(self) -> None:
        self.labels = LabelStore()
        self._series: dict[int, tuple[Ints, Floats]] = {}
        self._frames: list[Frame] | None = None

    def add(
        self,
        labels: Labels | Mapping[str, str],
        times_ms: Iterable[int] | npt.NDArray[np.int64],
        values: Iterable[float] | Floats,
    ) -> None:
        """Add samples to the series ``labels`` (the metric name under ``__name__``)."""
        pairs = labels.items() if isinstance(labels, Mapping) else labels
        times = np.array(times_ms if isinstance(times_ms, np.ndarray) else list(times_ms), np.int64)
        cells = np.array(values if isinstance(values, np.ndarray) else list(values), np.float64)
        if len(times) != len(cells):
            raise ValueError(f"{len(times)} times, but {len(cells)} values")
        ref = self.labels.intern(label_set(pairs))
        known = self._series.get(ref)
        if known is not None:
            times, cells = np.concatenate([known[0], times]), np.concatenate([known[1], cells])
        # Of several samples at one time the last one given stays.
        times, last = np.unique(times[::-1], return_index=True)
        self._series[ref] = (times, cells[::-1][last])
        self._frames = None

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        """Series that match and have a sample in [start_ms, end_ms], with all of their samples."""
        if self._frames is None:
            self._frames = _frames(self._series)
        chosen = []
        for frame in self._frames:
            first, last = np.searchsorted(frame.times, (start_ms, end_ms + 1)).tolist()
            if last <= first:
                continue
            columns = np.flatnonzero(self.labels.match(matchers, frame.refs))
            if len(columns):
                chosen.append(Frame(frame.times, frame.values, columns, frame.refs[columns]))
        return Selection(self.labels, chosen)


def _frames(series: Mapping[int, tuple[Ints, Floats]]) -> list[Frame]:
    alike: dict[bytes, list[int]] = {}
    for ref, (times, _) in series.items():
        if len(times):
            alike.setdefault(times.tobytes(), []).append(ref)
    frames = []
    for refs in alike.values():
        values = np.stack([series[ref][1] for ref in refs], axis=1)
        columns = np.arange(len(refs), dtype=np.int64)
        frames.append(Frame(series[refs[0]][0], values, columns, np.array(refs, np.int64)))
    return frames
