"""Which group has which series in which column.

Always true: a label set is alive exactly as long as at least one group has a column for it; the last
group to drop it releases its ref. Almost every ref has one owner, which is found in two arrays; the few
with more (two targets that expose the same series) are listed apart.
"""

from __future__ import annotations

import numpy as np

from watchkeeper.monitoring.labels import Ints, LabelStore, Mask


class Owners:
    """The columns of every ref, over all groups; a group is known by a number that is never used again."""

    def __init__(self, labels: LabelStore) -> None:
        self._labels = labels
        self._group = np.full(1024, -1, np.int32)
        self._column = np.zeros(1024, np.int32)
        self._others: dict[int, dict[int, int]] = {}  # ref -> further group -> column
        self._shared: Ints | None = None

    def columns(self, group: int, refs: Ints) -> Ints:
        """Per ref, its column in ``group``, or -1."""
        self._fit()
        found = np.where(self._group[refs] == group, self._column[refs], -1).astype(np.int64)
        if self._others:
            for at in np.flatnonzero(found < 0).tolist():
                found[at] = self._others.get(int(refs[at]), {}).get(group, -1)
        return found

    def add(self, group: int, refs: Ints, columns: Ints) -> None:
        """``group`` now has ``refs`` in ``columns``; it had none of them before."""
        self._fit()
        free = self._group[refs] < 0
        self._group[refs[free]] = group
        self._column[refs[free]] = columns[free]
        for at in np.flatnonzero(~free).tolist():
            self._others.setdefault(int(refs[at]), {})[group] = int(columns[at])
            self._shared = None

    def move(self, group: int, refs: Ints, columns: Ints) -> None:
        """The columns of ``refs`` in ``group`` have other numbers now."""
        first = self._group[refs] == group
        self._column[refs[first]] = columns[first]
        for at in np.flatnonzero(~first).tolist():
            self._others[int(refs[at])][group] = int(columns[at])

    def remove(self, group: int, refs: Ints) -> None:
        """``group`` has ``refs`` no more; those that nobody has are released."""
        if not len(refs):
            return
        first = self._group[refs] == group
        dead = []
        for ref in refs[~first].tolist():
            self._drop_other(ref, group)
        for ref in refs[first].tolist():
            others = self._others.get(ref)
            if others:
                heir, column = next(iter(others.items()))
                self._drop_other(ref, heir)
                self._group[ref], self._column[ref] = heir, column
            else:
                dead.append(ref)
        self._group[np.array(dead, np.int64)] = -1
        self._labels.release(dead)

    def shared(self, refs: Ints) -> Mask | None:
        """Per ref: has it more than one owner? None where not one of them has."""
        if not self._others:
            return None
        if self._shared is None:
            self._shared = np.array(sorted(self._others), np.int64)
        mask = np.isin(refs, self._shared)
        return mask if mask.any() else None

    @property
    def nbytes(self) -> int:
        return self._group.nbytes + self._column.nbytes

    def _drop_other(self, ref: int, group: int) -> None:
        others = self._others[ref]
        del others[group]
        if not others:
            del self._others[ref]
        self._shared = None

    def _fit(self) -> None:
        missing = self._labels.capacity - len(self._group)
        if missing > 0:
            missing = max(missing, len(self._group) // 4)
            self._group = np.concatenate([self._group, np.full(missing, -1, np.int32)])
            self._column = np.concatenate([self._column, np.zeros(missing, np.int32)])
