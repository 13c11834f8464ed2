"""Which columns a selector matches, remembered from one evaluation to the next.

Always true: what is remembered equals what matching every column afresh would give; only columns that
came since are looked at. So a rule pays for churn, not for the size of what it reads.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np

from watchkeeper.monitoring.labels import Ints, LabelStore
from watchkeeper.monitoring.promql.ast import Matcher
from watchkeeper.monitoring.samples.frame import Frame
from watchkeeper.monitoring.samples.group import Group

_NONE = np.zeros(0, np.int64)


class Hit:
    """The columns of one group that match (``columns``, their ``refs``), among the first ``seen``."""

    __slots__ = ("columns", "generation", "group", "refs", "seen")

    def __init__(self, group: Group) -> None:
        self.group = group
        self.forget()

    def forget(self) -> None:
        self.generation = self.group.generation
        self.seen = 0
        self.columns: Ints = _NONE
        self.refs: Ints = _NONE

    def frame(self) -> Frame:
        """The columns with all the rows that the group has."""
        times, values, gap_ms, drop_ms = self.group.views
        return Frame(times, values, self.columns, self.refs, gap_ms, drop_ms)

    def alive(self, start_ms: int) -> Ints:
        """The refs of the series that have not ended before ``start_ms``."""
        head = self.group.head
        alive: Ints = self.refs[head.live[self.columns] | (head.died_ms[self.columns] >= start_ms)]
        return alive

    def renumber(self) -> None:
        group = self.group
        seen = group.renumbered(np.arange(self.seen), self.generation)
        moved = group.renumbered(self.columns, self.generation)
        if seen is None or moved is None:
            self.forget()
            return
        self.generation = group.generation
        self.seen = int(np.count_nonzero(seen >= 0))
        self.columns = moved[moved >= 0]
        self.refs = group.head.refs[self.columns]

    def extend(self, columns: Ints) -> None:
        self.columns = np.concatenate([self.columns, columns])
        self.refs = self.group.head.refs[self.columns]


class _Selector:
    def __init__(self, matchers: tuple[Matcher, ...]) -> None:
        self.matchers = matchers
        self.version = -1
        self.nbytes = 0
        self.hits: list[Hit] = []
        self._by_group: dict[int, Hit] = {}

    def update(self, groups: Mapping[int, Group], labels: LabelStore, version: int) -> None:
        """Look at what changed in ``groups`` since the last time."""
        self.version = version
        fresh: list[tuple[Hit, Ints]] = []
        hits: dict[int, Hit] = {}
        for number, group in groups.items():
            hit = self._by_group.get(number)
            if hit is None:
                hit = Hit(group)
            elif hit.generation != group.generation:
                hit.renumber()
            hits[number] = hit
            if hit.seen < group.head.columns:
                fresh.append((hit, group.head.refs[hit.seen : group.head.columns]))
        self._by_group = hits
        if fresh:
            mask = labels.match(self.matchers, np.concatenate([refs for _, refs in fresh]))
            at = 0
            for hit, refs in fresh:
                matched = np.flatnonzero(mask[at : at + len(refs)])
                if len(matched):
                    hit.extend(matched + hit.seen)
                hit.seen += len(refs)
                at += len(refs)
        self.hits = [hit for hit in hits.values() if len(hit.columns)]
        self.nbytes = sum(hit.columns.nbytes + hit.refs.nbytes for hit in self.hits)


class Selectors:
    """The selectors asked lately, within ``limit_bytes`` of memory."""

    def __init__(self, labels: LabelStore, limit_bytes: int = 16 << 20, limit: int = 512) -> None:
        self._labels = labels
        self._limit_bytes = limit_bytes
        self._limit = limit
        self._known: OrderedDict[tuple[Matcher, ...], _Selector] = OrderedDict()
        self._nbytes = 0

    @property
    def nbytes(self) -> int:
        return self._nbytes

    def hits(self, matchers: Sequence[Matcher], groups: Mapping[int, Group], version: int) -> list[Hit]:
        """The groups in which something matches; ``version`` changes whenever a column comes or goes."""
        key = tuple(matchers)
        selector = self._known.get(key)
        if selector is None:
            selector = self._known[key] = _Selector(key)
        else:
            self._known.move_to_end(key)
        if selector.version != version:
            self._nbytes -= selector.nbytes
            selector.update(groups, self._labels, version)
            self._nbytes += selector.nbytes
            self._shrink()
        return selector.hits

    def _shrink(self) -> None:
        while len(self._known) > 1 and (self._nbytes > self._limit_bytes or len(self._known) > self._limit):
            _, dropped = self._known.popitem(last=False)
            self._nbytes -= dropped.nbytes
