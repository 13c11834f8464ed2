"""Samples that bring their own timestamps (exporters that answer for others, federation).

Always true: series are in one group exactly as long as they get their samples at the same times; a series
whose times part from the others' moves into another group, and its order is kept across the move. Such
series get no staleness markers, as in Prometheus.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from watchkeeper.monitoring.labels import Ints, Labels
from watchkeeper.monitoring.samples.group import AppendResult, Group
from watchkeeper.monitoring.samples.head import NEVER_MS

if TYPE_CHECKING:
    from watchkeeper.monitoring.samples.store import SampleStore

SEPARATOR = "\x1f"
"""Between the key that the caller gave and the number of one of its groups."""
AHEAD_MS = 600_000
"""A timestamp further in the future than this is refused (Prometheus' scrape does the same)."""

_Batch = dict[Labels, list[tuple[int, float]]]
_ByTimes = dict[tuple[int, ...], list[Labels]]
_Placed = tuple[Group, list[Labels], Group | None]  # where to, which series, and where they move from


class Sparse:
    """The groups that hold the explicitly timed series of one key."""

    def __init__(self, store: SampleStore, key: str) -> None:
        self._store = store
        self._key = key
        self._group_of: dict[Labels, Group] = {}
        for group in store.groups_under(key + SEPARATOR):
            for column in range(len(group)):
                self._group_of[group.labels(column)] = group

    def append(self, samples: Iterable[tuple[Labels, int, float]], now_ms: int) -> AppendResult:
        """Store ``samples`` in order of time."""
        out_of_order = 0
        batch: _Batch = {}
        for labels, ts_ms, value in samples:
            if ts_ms > now_ms + AHEAD_MS:
                out_of_order += 1
                continue
            batch.setdefault(labels, []).append((ts_ms, value))
        total = AppendResult(out_of_order=out_of_order)
        for group, members, moved_from in self._placed(batch):
            total = _sum(total, self._append(group, members, moved_from, batch))
        self._forget_dead()
        return total

    def empty(self) -> bool:
        """Has every series of it gone?"""
        return not any(len(group) for group in self._group_of.values())

    def _placed(self, batch: _Batch) -> list[_Placed]:
        """Which series go to which group now, and from which they come if they move."""
        by_group: dict[Group | None, _ByTimes] = {}
        for labels, samples in batch.items():
            samples.sort(key=lambda sample: sample[0])
            times = tuple(ts_ms for ts_ms, _ in samples)
            by_group.setdefault(self._current(labels), {}).setdefault(times, []).append(labels)
        fresh = by_group.pop(None, {})
        placed: list[_Placed] = []
        keeps: dict[tuple[int, ...], list[Labels]] = {}
        for group, by_times in by_group.items():
            assert group is not None
            new = self._with_news(group, by_times, placed)
            biggest = max(new, key=lambda times: len(new[times]), default=None)
            for times, members in new.items():
                # What is older than the group's rows has no place there, however old its own series is.
                if times == biggest and times[0] >= group.head.first_ms:
                    placed.append((group, members, None))
                    keeps.setdefault(times, members)
                else:
                    placed.append((self._new_group(), members, group))
        for times, members in fresh.items():
            if times in keeps:
                keeps[times].extend(members)
            else:
                placed.append((self._new_group(), members, None))
        return placed

    @staticmethod
    def _with_news(group: Group, by_times: _ByTimes, placed: list[_Placed]) -> _ByTimes:
        """The series with a sample that is newer than what ``group`` has; the others stay where they are."""
        new: _ByTimes = {}
        for times, members in by_times.items():
            newest, _ = group.head.newest(group.columns(members))
            for labels, newest_ms in zip(members, newest.tolist(), strict=True):
                if newest_ms < times[-1]:
                    new.setdefault(times, []).append(labels)
            known = [
                one for one, newest_ms in zip(members, newest.tolist(), strict=True) if newest_ms >= times[-1]
            ]
            if known:
                placed.append((group, known, None))
        return new

    def _append(
        self,
        group: Group,
        members: list[Labels],
        moved_from: Group | None,
        batch: _Batch,
    ) -> AppendResult:
        newest = None
        if moved_from is not None:
            before = moved_from.columns(members)
            newest, cells = moved_from.head.newest(before)
            newest = np.where(newest == NEVER_MS, moved_from.head.evicted_ms, newest)
        columns = group.columns(members)
        for labels in members:
            self._group_of[labels] = group
        total = AppendResult()
        for at in range(len(batch[members[0]])):
            ts_ms = batch[members[0]][at][0]
            values = np.array([batch[labels][at][1] for labels in members])
            mine: Ints = np.arange(len(members))
            if newest is not None:
                mine = np.flatnonzero(newest < ts_ms)
                same = np.flatnonzero(newest == ts_ms)
                differs = cells[same].view(np.uint64) != values[same].view(np.uint64)
                refused = AppendResult(
                    0, int(np.count_nonzero(newest > ts_ms)), int(np.count_nonzero(differs))
                )
                total = _sum(total, self._store.counted(refused))
            if len(mine):
                total = _sum(total, group.append(ts_ms, columns[mine], values[mine]))
        return total

    def _current(self, labels: Labels) -> Group | None:
        group = self._group_of.get(labels)
        if group is None:
            return None
        ref = self._store.labels.find(labels)
        if ref is None or int(group.columns_of(np.array([ref]))[0]) < 0:
            return None
        return group

    def _new_group(self) -> Group:
        number = int(self._store.new_serials(1)[0])
        return self._store.make_group(f"{self._key}{SEPARATOR}{number}", sparse=True)

    def _forget_dead(self) -> None:
        groups = {group.number: len(group) for group in self._group_of.values()}
        if len(self._group_of) > 64 + 2 * sum(groups.values()):
            self._group_of = {
                labels: group for labels, group in self._group_of.items() if self._current(labels)
            }


def _sum(one: AppendResult, other: AppendResult) -> AppendResult:
    return AppendResult(*(a + b for a, b in zip(one, other, strict=True)))
