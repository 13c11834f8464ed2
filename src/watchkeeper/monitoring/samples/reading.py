"""Asking the store: memory alone where it has all of it, else memory and disk together.

Always true: what ``select`` hands out of memory are views, which hold until the store is next written to;
everything else is copied, group by group, so that writers wait for the copy of one group at most.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from watchkeeper.monitoring.labels import Ints, Labels, LabelStore
from watchkeeper.monitoring.promql.ast import Matcher
from watchkeeper.monitoring.samples.errors import CorruptError
from watchkeeper.monitoring.samples.frame import Selection
from watchkeeper.monitoring.samples.group import Group
from watchkeeper.monitoring.samples.history import Asked, HeadBlock, check_size, read
from watchkeeper.monitoring.samples.listing import in_log, in_parts, sampled_refs
from watchkeeper.monitoring.samples.merge import without_repeats
from watchkeeper.monitoring.samples.owners import Owners
from watchkeeper.monitoring.samples.parts import Part
from watchkeeper.monitoring.samples.segment import Segment
from watchkeeper.monitoring.samples.selectors import Hit, Selectors
from watchkeeper.monitoring.samples.timeline import Span
from watchkeeper.monitoring.samples.upkeep import Upkeep

T = TypeVar("T")
_EVER_MS = 1 << 62
_PAUSE = threading.Event()  # never set: a thread that has just released a lock would else take it again
_PAUSE_SECONDS = 0.0002


@dataclass(frozen=True, slots=True)
class Held:
    """What is in memory now: its groups (``version`` changes with any column), and that samples up to
    ``floor_ms`` may be on disk only, as may those after ``until_ms`` (None: there are none).
    """

    groups: Mapping[int, Group]
    version: int
    floor_ms: int
    until_ms: int | None
    span: Span


class Reader:
    """Answers questions. ``held`` says what is in memory, ``only_in_log`` which segments may have samples
    that are neither there nor in a part; both are asked under ``lock``.
    """

    def __init__(
        self,
        lock: threading.RLock,
        labels: LabelStore,
        owners: Owners,
        upkeep: Upkeep,
        held: Callable[[], Held],
        only_in_log: Callable[[], list[Segment]],
        limit_cells: int,
    ) -> None:
        self._lock = lock
        self._labels = labels
        self._owners = owners
        self._upkeep = upkeep
        self._held = held
        self._only_in_log = only_in_log
        self._limit_cells = limit_cells
        self._selectors = Selectors(labels)

    @property
    def nbytes(self) -> int:
        """Memory of the remembered selectors."""
        return self._selectors.nbytes

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        with self._lock:
            if _in_memory(self._held(), start_ms, end_ms):
                frames = [hit.frame() for hit in self._hits(matchers) if len(hit.group.head)]
                repeated = [self._owners.shared(frame.refs) for frame in frames]
                if any(mask is not None for mask in repeated):
                    frames = without_repeats(frames, repeated)
                return Selection(self._labels, frames)
        return self.select_copies(matchers, start_ms, end_ms)

    def select_copies(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Selection:
        asked = self._asked(matchers, start_ms, end_ms)
        labels = LabelStore()
        head = self._per_group(matchers, lambda hit: self._copied(hit, asked, labels))
        blocks = [block for block in head if block]
        gone: set[str] = set()
        while True:
            with self._lock:  # the disk after memory: what moves there meanwhile is seen twice, not never
                held = self._held()
                inside = _in_memory(held, start_ms, end_ms)
                parts = [] if inside else list(self._upkeep.parts)
                segments = [] if inside else self._waiting(gone)
                spans = self._upkeep.spans(held.span)
            try:
                return read(asked, parts, segments, spans, blocks, labels, self._report)
            except FileNotFoundError as error:  # it was put into a part meanwhile, which is there now
                gone.add(str(error.filename))

    def series(self, matchers: Sequence[Matcher], start_ms: int | None, end_ms: int | None) -> list[Labels]:
        asked = self._asked(matchers, start_ms, end_ms)

        def sampled(hit: Hit) -> list[Labels]:
            refs = sampled_refs(hit.frame(), asked.start_ms, asked.end_ms)
            return [self._labels.labels(ref) for ref in refs]

        found = {labels for some in self._per_group(matchers, sampled) for labels in some}
        return sorted(found | self._on_disk(asked))

    def label_names(self, matchers: Sequence[Matcher], start_ms: int | None, end_ms: int | None) -> list[str]:
        asked = self._asked(matchers, start_ms, end_ms)
        names = self._known(asked, self._labels.columns_of)
        return sorted(names | {name for labels in self._on_disk(asked) for name, _ in labels})

    def label_values(
        self, name: str, matchers: Sequence[Matcher], start_ms: int | None, end_ms: int | None
    ) -> list[str]:
        asked = self._asked(matchers, start_ms, end_ms)

        def values_of(refs: Ints) -> list[str]:
            return self._labels.decode(name, np.unique(self._labels.codes(name, refs)).tolist())

        values = self._known(asked, values_of)
        values |= {value for labels in self._on_disk(asked) for label, value in labels if label == name}
        return sorted(values - {""})

    # -- inside --------------------------------------------------------------------------------

    def _asked(self, matchers: Sequence[Matcher], start_ms: int | None, end_ms: int | None) -> Asked:
        start_ms = -_EVER_MS if start_ms is None else start_ms
        end_ms = _EVER_MS if end_ms is None else end_ms
        return Asked(tuple(matchers), start_ms, end_ms, self._limit_cells)

    def _hits(self, matchers: Sequence[Matcher]) -> list[Hit]:
        held = self._held()
        return self._selectors.hits(matchers, held.groups, held.version)

    def _per_group(self, matchers: Sequence[Matcher], take: Callable[[Hit], T]) -> list[T]:
        """``take`` of each group in which something matches, letting writers in between."""
        with self._lock:
            numbers = [hit.group.number for hit in self._hits(matchers)]
        out = []
        for number in numbers:
            with self._lock:
                out += [take(hit) for hit in self._hits(matchers) if hit.group.number == number]
            _PAUSE.wait(_PAUSE_SECONDS)
        return out

    def _known(self, asked: Asked, values_of: Callable[[Ints], Iterable[str]]) -> set[str]:
        """What ``values_of`` says of the series in memory that have not ended before the time asked for."""
        known = self._per_group(asked.matchers, lambda hit: values_of(hit.alive(asked.start_ms)))
        return {value for values in known for value in values}

    def _on_disk(self, asked: Asked) -> set[Labels]:
        gone: set[str] = set()
        while True:
            with self._lock:
                older = asked.start_ms <= self._held().floor_ms
                parts = list(self._upkeep.parts) if older else []
                segments = self._waiting(gone) if older else []
            try:
                return in_parts(asked, parts, self._report) | in_log(asked, segments)
            except FileNotFoundError as error:  # as above
                gone.add(str(error.filename))

    def _waiting(self, gone: set[str]) -> list[Segment]:
        return [segment for segment in self._only_in_log() if str(segment.path) not in gone]

    def _copied(self, hit: Hit, asked: Asked, labels: LabelStore) -> HeadBlock | None:
        times, values, _, _ = hit.group.views
        begin = int(np.searchsorted(times, asked.start_ms))
        end = int(np.searchsorted(times, asked.end_ms, side="right"))
        if begin == end:
            return None
        check_size((end - begin) * len(hit.columns), asked)
        refs = np.array([labels.intern(self._labels.labels(ref)) for ref in hit.refs.tolist()], np.int64)
        return HeadBlock(hit.group.key, times[begin:end].copy(), values[begin:end, hit.columns], refs)

    def _report(self, part: Part, error: CorruptError) -> None:
        with self._lock:
            self._upkeep.report_damage(part, error)


def _in_memory(held: Held, start_ms: int, end_ms: int) -> bool:
    return start_ms > held.floor_ms and (held.until_ms is None or end_ms <= held.until_ms)
