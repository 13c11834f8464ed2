"""What expressions evaluate to inside the engine: arrays, one column per series, one row per step.

Always true of a :class:`Vector`: every series has a value at one step at least; where there is one step,
every series has a value at it (``present`` is None); ``values`` may be read-only. A vector's series are
told apart by their refs *and* their ``dropped`` flag: as in Prometheus with delayed name removal, the
metric name is taken off at the very end (:func:`without_names`), so that functions never touch labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from watchkeeper.monitoring.labels import Ints, LabelStore, Mask
from watchkeeper.monitoring.promql.result import EvaluationError
from watchkeeper.monitoring.samples.frame import Floats

DUPLICATE_LABELS = "vector cannot contain metrics with the same labelset"


@dataclass(frozen=True, slots=True)
class Grid:
    """The times at which something is evaluated: ``start_ms``, then every ``step_ms``, ``steps`` times."""

    start_ms: int
    step_ms: int
    steps: int

    @property
    def end_ms(self) -> int:
        return self.start_ms + (self.steps - 1) * self.step_ms

    def times(self) -> Ints:
        return self.start_ms + self.step_ms * np.arange(self.steps, dtype=np.int64)

    def first(self) -> Grid:
        """The first step alone."""
        return Grid(self.start_ms, self.step_ms, 1)


@dataclass(frozen=True, slots=True)
class Vector:
    """Series with their values at every step.

    ``refs`` int64[S] belong to ``labels``; ``values`` float64[T, S]; ``present`` bool[T, S] says where
    there is a value (None: everywhere); ``dropped`` says of all series, or of each, that the metric name
    is to be taken off; ``ordered``: the order of the series was asked for.
    """

    labels: LabelStore
    refs: Ints
    values: Floats
    present: Mask | None = None
    dropped: bool | Mask = False
    ordered: bool = False

    @property
    def steps(self) -> int:
        return int(self.values.shape[0])

    @property
    def cells(self) -> int:
        return int(self.values.size)

    def __len__(self) -> int:
        return len(self.refs)

    def mask(self) -> Mask:
        """``present``, made where it is None."""
        return np.ones(self.values.shape, np.bool_) if self.present is None else self.present

    def dropped_mask(self) -> Mask:
        """``dropped`` per series."""
        if isinstance(self.dropped, bool):
            return np.full(len(self.refs), self.dropped)
        return self.dropped

    def with_values(self, values: Floats, *, dropped: bool = True) -> Vector:
        """The same series with other values, as functions of one vector give them."""
        return replace(self, values=values, dropped=True if dropped else self.dropped)

    def take(self, columns: npt.NDArray[np.intp] | Mask) -> Vector:
        """Some of the series."""
        return replace(
            self,
            refs=self.refs[columns],
            values=self.values[:, columns],
            present=None if self.present is None else self.present[:, columns],
            dropped=self.dropped if isinstance(self.dropped, bool) else self.dropped[columns],
        )

    def at(self, step: int) -> Vector:
        """The series that have a value at one step, there."""
        one = replace(self, values=self.values[step : step + 1], present=None)
        return one if self.present is None else one.take(self.present[step])

    def where(self, keep: Mask) -> Vector:
        """Only the values that ``keep`` [T, S] (or [T, 1]) marks, out of those that are there."""
        if self.present is not None:
            keep = keep & self.present
        elif keep.shape != self.values.shape:
            keep = np.broadcast_to(keep, self.values.shape)
        return replace(self, present=keep).normal()

    def normal(self) -> Vector:
        """With the invariants of this module restored."""
        present = self.present
        if present is None:
            return self
        if present.all():
            return replace(self, present=None)
        if present.shape[0] == 1:
            return replace(self, present=None).take(present[0])
        somewhere = np.logical_or.reduce(present, axis=0)
        return self if somewhere.all() else self.take(np.flatnonzero(somewhere))

    def spread(self, steps: int) -> Vector:
        """A vector of one step, the same at ``steps`` steps."""
        if steps == self.steps:
            return self
        return replace(self, values=np.broadcast_to(self.values, (steps, len(self.refs))))


def empty_vector(labels: LabelStore, steps: int) -> Vector:
    return Vector(labels, np.zeros(0, np.int64), np.zeros((steps, 0)))


def joined(labels: LabelStore, steps: int, parts: Sequence[Vector]) -> Vector:
    """The series of ``parts``, which share one label store, side by side."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return empty_vector(labels, steps)
    if len(parts) == 1:
        return parts[0]
    present = None
    if any(part.present is not None for part in parts):
        present = np.concatenate([part.mask() for part in parts], axis=1)
    dropped: bool | Mask
    if all(isinstance(part.dropped, bool) and part.dropped == parts[0].dropped for part in parts):
        dropped = parts[0].dropped
    else:
        dropped = np.concatenate([part.dropped_mask() for part in parts])
    return Vector(
        labels,
        np.concatenate([part.refs for part in parts]),
        np.concatenate([part.values for part in parts], axis=1),
        present,
        dropped,
    )


def same_refs(refs: Ints, capacity: int) -> bool:
    """Does any ref occur twice? ``capacity`` is more than the highest of them."""
    if len(refs) < 2:
        return False
    if capacity > 64 * len(refs):
        return len(np.unique(refs)) < len(refs)
    return int(np.bincount(refs, minlength=1).max()) > 1


def merged(vector: Vector) -> Vector:
    """Series with the same labels made one; they must not have values at the same step.

    Series of which only some lose their name are not the same. Raises :class:`EvaluationError`.
    """
    if not same_refs(vector.refs, vector.labels.capacity):
        return vector
    keys = vector.refs << 1 | vector.dropped_mask()
    keys, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    if len(keys) == len(vector):
        return vector
    if vector.steps == 1:
        raise EvaluationError(DUPLICATE_LABELS)
    mask = vector.mask()
    values = np.zeros((vector.steps, len(keys)))
    present = np.zeros((vector.steps, len(keys)), np.bool_)
    for column, target in enumerate(inverse.tolist()):
        here = mask[:, column]
        if (present[:, target] & here).any():
            raise EvaluationError(DUPLICATE_LABELS)
        present[:, target] |= here
        values[here, target] = vector.values[here, column]
    return Vector(vector.labels, keys >> 1, values, present, vector.dropped_mask()[first]).normal()


def stacked(labels: LabelStore, vectors: Sequence[Vector]) -> Vector:
    """Vectors of one step each, with refs of ``labels`` that are unique within each, as one of all steps."""
    refs = np.unique(np.concatenate([vector.refs for vector in vectors]))
    values = np.zeros((len(vectors), len(refs)))
    present = np.zeros((len(vectors), len(refs)), np.bool_)
    dropped = np.zeros(len(refs), np.bool_)
    for step, vector in enumerate(vectors):
        columns = np.searchsorted(refs, vector.refs)
        values[step, columns] = vector.values[0]
        present[step, columns] = True
        dropped[columns] |= vector.dropped_mask()
    return Vector(labels, refs, values, present, dropped).normal()
