"""One evaluation: what is shared while a tree of nodes is computed at one or more times.

Always true: a vector that stands in several places is computed once per grid; whatever a node's value
depends on beside its own fields is here; the memory that values take stays below ``max_samples`` cells,
and the deadline is asked before every vector.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from watchkeeper.monitoring.labels import LabelStore
from watchkeeper.monitoring.promql.annotations import Annotation, Annotations
from watchkeeper.monitoring.promql.ast import Expr, Matcher
from watchkeeper.monitoring.promql.block import Block
from watchkeeper.monitoring.promql.projection import Names
from watchkeeper.monitoring.promql.result import EvaluationError
from watchkeeper.monitoring.promql.vector import Grid, Vector
from watchkeeper.monitoring.promql.windows import Ranges
from watchkeeper.monitoring.samples.frame import Floats, Selection, Storage

TOO_MANY_SAMPLES = "query processing would load too many samples into memory in query execution"


@dataclass(frozen=True, slots=True)
class Limits:
    """What queries of one engine are held to, and its defaults."""

    lookback_ms: int
    default_step_ms: int
    max_samples: int
    max_result_points: int


class Workspace:
    """Where derived label sets live, for as long as the nodes that made them."""

    def __init__(self) -> None:
        self.derived = LabelStore()
        self.names = Names(self.derived)


class Node:
    """A compiled expression. It may keep what it learnt about label sets, never values.

    ``invariant``: the value is the same at every time of one query (``@`` on all selectors, no clock).
    """

    def __init__(self, expr: Expr, *children: Node) -> None:
        self.expr = expr
        self.users = 0
        self.invariant: bool = all(child.invariant for child in children)
        for child in children:
            child.users += 1


class VectorNode(Node, ABC):
    """An instant vector."""

    @abstractmethod
    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        """The series and their values at every step of ``grid``."""


class ScalarNode(Node, ABC):
    """A scalar."""

    @abstractmethod
    def run(self, evaluation: Evaluation, grid: Grid) -> Floats:
        """One value for each step of ``grid``."""


class Evaluation:
    """The shared state. ``grid`` is the query's own: ``@ start()``/``@ end()`` are its ends."""

    def __init__(
        self,
        storage: Storage,
        workspace: Workspace,
        limits: Limits,
        grid: Grid,
        *,
        expired: Callable[[], bool] | None = None,
    ) -> None:
        self.workspace = workspace
        self.limits = limits
        self.grid = grid
        self._storage = storage
        self._expired = expired
        self._memo: dict[tuple[int, Grid], tuple[Vector, list[Annotation]]] = {}
        self._selections: dict[tuple[Matcher, ...], tuple[int, int, Selection]] = {}
        self._blocks: dict[int, tuple[Selection, list[Block]]] = {}
        self._ranges: dict[tuple[int, Grid], tuple[Ranges, list[Annotation]]] = {}
        self._collected: list[Annotation] = []
        self._held = 0
        self._passing = 0

    # -- values of nodes -----------------------------------------------------------------------

    def vector(self, node: VectorNode, grid: Grid) -> Vector:
        """What ``node`` is on ``grid``."""
        if node.invariant and grid.steps > 1:
            single = self.vector(node, grid.first())
            self.spend(len(single) * grid.steps)
            return single.spread(grid.steps)
        key = (id(node), grid)
        if node.users > 1:
            known = self._memo.get(key)
            if known is not None:
                self._collected.extend(known[1])
                return known[0]
        self.check()
        outer, self._collected = self._collected, []
        passing = self._passing
        with np.errstate(all="ignore"):  # NaN and Inf are ordinary results
            vector = node.run(self, grid)
        self._passing = passing  # what its operands took is free again
        if node.users > 1:
            self._memo[key] = (vector, self._collected)
            self._held += vector.cells
        else:
            self._passing += vector.cells
        outer.extend(self._collected)
        self._collected = outer
        return vector

    def scalar(self, node: ScalarNode, grid: Grid) -> Floats:
        """What ``node`` is at every step of ``grid``."""
        if node.invariant and grid.steps > 1:
            return np.broadcast_to(node.run(self, grid.first()), (grid.steps,))
        return node.run(self, grid)

    # -- what nodes ask for --------------------------------------------------------------------

    def select(self, matchers: tuple[Matcher, ...], start_ms: int, end_ms: int) -> Selection:
        """Series and samples, read once where the same series are wanted for several ranges."""
        known = self._selections.get(matchers)
        if known is not None:
            start, end, selection = known
            if start <= start_ms and end_ms <= end:
                return selection
            start_ms, end_ms = min(start, start_ms), max(end, end_ms)
        selection = self._storage.select(matchers, start_ms, end_ms)
        self._selections[matchers] = (start_ms, end_ms, selection)
        return selection

    def blocks(self, selection: Selection) -> list[Block]:
        """The frames of ``selection`` as blocks, made once."""
        known = self._blocks.get(id(selection))
        if known is None:
            frames = [frame for frame in selection.frames if len(frame.times) and len(frame.refs)]
            blocks = [Block.of_frame(selection.labels, frame) for frame in frames]
            known = self._blocks[id(selection)] = (selection, blocks)
        return known[1]

    def remembered(self, key: tuple[int, Grid], make: Callable[[], Ranges]) -> Ranges:
        """The windows ``key``, made when first asked for."""
        known = self._ranges.get(key)
        if known is None:
            outer, self._collected = self._collected, []
            passing = self._passing
            known = self._ranges[key] = (make(), self._collected)
            self._held += self._passing - passing
            self._passing = passing
            self._collected = outer
        self._collected.extend(known[1])
        return known[0]

    def annotate(self, annotation: Annotation) -> None:
        self._collected.append(annotation)

    def taken_annotations(self) -> Annotations:
        """Everything annotated since the last call."""
        annotations = Annotations()
        annotations.update(self._collected)
        self._collected = []
        return annotations

    def finish_plan(self) -> None:
        """A plan is done: of its values only the shared ones still take memory."""
        self._passing = 0
        self._collected = []

    def check(self) -> None:
        """Raises :class:`EvaluationError` where the query must stop."""
        if self._expired is not None and self._expired():
            raise EvaluationError("query timed out in expression evaluation")

    def spend(self, cells: int) -> None:
        """Raises :class:`EvaluationError` where ``cells`` more values would be too many."""
        self._passing += cells
        if self._passing + self._held > self.limits.max_samples:
            raise EvaluationError(f"{TOO_MANY_SAMPLES} (limit {self.limits.max_samples})")
