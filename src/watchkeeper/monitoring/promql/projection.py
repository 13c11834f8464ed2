"""What operators do to label sets, remembered per series.

Always true: a label set is worked on once, when its ref is first seen; a steady evaluation with a few
new series costs the new series (tests/monitoring/promql/test_projection.py). Results live in a
:class:`LabelStore` of the engine's own, the *derived* store, from which nothing is ever released: the
engine starts a new one, with everything that refers to it, when it has grown too large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from watchkeeper.monitoring.labels import METRIC_NAME, Ints, Labels, LabelStore, Mask, RefMap, label_set
from watchkeeper.monitoring.promql.vector import Vector, merged

METADATA = frozenset({METRIC_NAME, "__type__", "__unit__"})
"""What a series loses when its values stop being what its metric is: the name, and what goes with it."""


class _PerStore:
    """One :class:`RefMap` for each label store that refs come from (the samples' and the derived one)."""

    __slots__ = ("_fill", "_maps")

    def __init__(self, fill: Callable[[LabelStore, Ints], Ints]) -> None:
        self._fill = fill
        self._maps: dict[int, tuple[LabelStore, RefMap]] = {}

    def get(self, labels: LabelStore, refs: Ints) -> Ints:
        known = self._maps.get(id(labels))
        if known is None:
            known = self._maps[id(labels)] = (labels, RefMap(labels, lambda fresh: self._fill(labels, fresh)))
        return known[1].get(refs)


class Projection:
    """Label sets reduced to (``keep``) or without some labels; the different outcomes are numbered.

    The numbers are dense, in the order of first sight, and the same for refs of different stores: two
    series match or group together exactly when their numbers are equal.
    """

    def __init__(self, derived: LabelStore, names: Iterable[str], *, keep: bool) -> None:
        self.derived = derived
        self._names = frozenset(names)
        self._keep = keep
        self._numbers: dict[int, int] = {}
        self._refs = np.zeros(16, np.int64)
        self._maps = _PerStore(self._assign)

    def __len__(self) -> int:
        """How many different outcomes there are."""
        return len(self._numbers)

    @property
    def refs(self) -> Ints:
        """By number: the derived ref of the outcome."""
        return self._refs[: len(self._numbers)]

    def numbers(self, labels: LabelStore, refs: Ints) -> Ints:
        """Per ref, the number of its outcome."""
        return self._maps.get(labels, refs)

    def apply(self, labels: LabelStore, refs: Ints) -> Ints:
        """Per ref, the derived ref of its outcome."""
        numbers = self.numbers(labels, refs)
        return self._refs[numbers]

    def _assign(self, labels: LabelStore, refs: Ints) -> Ints:
        if self._keep:
            names = sorted(self._names)
        else:
            names = [name for name in labels.columns_of(refs) if name not in self._names]
        if not names:
            return np.full(len(refs), self._number(()), np.int64)
        codes = np.stack([labels.codes(name, refs) for name in names], axis=1)
        unique, inverse = np.unique(codes, axis=0, return_inverse=True)
        values = [labels.decode(name, unique[:, i].tolist()) for i, name in enumerate(names)]
        numbers = [self._number(label_set(zip(names, row, strict=True))) for row in zip(*values, strict=True)]
        return np.array(numbers, np.int64)[inverse.reshape(-1)]

    def _number(self, labels: Labels) -> int:
        ref = self.derived.intern(labels)
        number = self._numbers.get(ref)
        if number is None:
            number = self._numbers[ref] = len(self._numbers)
            if number == len(self._refs):
                self._refs = np.concatenate([self._refs, np.zeros_like(self._refs)])
            self._refs[number] = ref
        return number


class Rewriting:
    """Label sets put through a function, which also says whether a name that was to go now stays."""

    def __init__(self, derived: LabelStore, function: Callable[[Labels], tuple[Labels, bool]]) -> None:
        self._derived = derived
        self._function = function
        self._maps = _PerStore(self._assign)

    def apply(self, labels: LabelStore, refs: Ints) -> tuple[Ints, Mask]:
        """Per ref, the derived ref of the outcome, and whether the function set the metric name."""
        packed = self._maps.get(labels, refs)
        return packed >> 1, (packed & 1).astype(np.bool_)

    def _assign(self, labels: LabelStore, refs: Ints) -> Ints:
        outcomes = []
        for ref in refs.tolist():
            rewritten, named = self._function(labels.labels(ref))
            outcomes.append(self._derived.intern(rewritten) << 1 | named)
        return np.array(outcomes, np.int64)


class Joining:
    """Label sets of one side with some labels set from the other side (``group_left``)."""

    def __init__(self, derived: LabelStore, base: Projection, include: Iterable[str]) -> None:
        self._derived = derived
        self._base = base
        self._include = tuple(include)
        self._included = Projection(derived, self._include, keep=True)
        # By number of the many side: with which outcome of the one side it was joined last, and to what.
        self._last = np.full(16, -1, np.int64)
        self._joined = np.zeros(16, np.int64)

    def apply(self, many: LabelStore, many_refs: Ints, one: LabelStore, one_refs: Ints) -> Ints:
        """Per pair of refs, the derived ref of the joined label set."""
        if not self._include:
            return self._base.apply(many, many_refs)
        base = self._base.numbers(many, many_refs)
        included = self._included.numbers(one, one_refs)
        if len(self._base) > len(self._last):
            grow = 2 * len(self._base) - len(self._last)
            self._last = np.concatenate([self._last, np.full(grow, -1, np.int64)])
            self._joined = np.concatenate([self._joined, np.zeros(grow, np.int64)])
        changed = np.flatnonzero(self._last[base] != included)
        if not len(changed):
            return self._joined[base]
        # Several series of the many side may share one base, each with its own outcome.
        outcome = self._joined[base]
        for position in changed.tolist():
            outcome[position] = self._join(int(base[position]), int(included[position]))
        self._last[base[changed]] = included[changed]
        self._joined[base[changed]] = outcome[changed]
        return outcome

    def _join(self, base: int, included: int) -> int:
        labels = dict(self._derived.labels(int(self._base.refs[base])))
        fresh = dict(self._derived.labels(int(self._included.refs[included])))
        for name in self._include:
            labels[name] = fresh.get(name, "")
        return self._derived.intern(label_set(labels.items()))


class Names:
    """Series brought into the derived store, with or without their metric names."""

    def __init__(self, derived: LabelStore) -> None:
        self.derived = derived
        self._all = Projection(derived, (), keep=False)
        self._nameless = Projection(derived, METADATA, keep=False)

    def lifted(self, vector: Vector) -> Vector:
        """The same series, with refs of the derived store."""
        if vector.labels is self.derived:
            return vector
        refs = self._all.apply(vector.labels, vector.refs)
        return Vector(self.derived, refs, vector.values, vector.present, vector.dropped, vector.ordered)

    def settled(self, vector: Vector) -> Vector:
        """Names taken off where they are to be, and series that are then the same made one.

        Raises :class:`EvaluationError` where two of those have a value at the same step.
        """
        dropped = vector.dropped
        if isinstance(dropped, bool):
            if not dropped:
                return merged(vector)
            refs = self._nameless.apply(vector.labels, vector.refs)
        else:
            refs = self._all.apply(vector.labels, vector.refs)
            if dropped.any():
                refs = refs.copy()
                refs[dropped] = self._nameless.apply(vector.labels, vector.refs[dropped])
        return merged(Vector(self.derived, refs, vector.values, vector.present, False, vector.ordered))
