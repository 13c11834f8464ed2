"""Label sets as columns of integer codes.

Always true here: a label set has one *ref* (a small int) while it is alive, and refs of dead sets are
used again; a label that a set lacks has code 0, which is also the code of the empty string; whoever
keeps something per ref keeps it in a :class:`RefMap`, which forgets recycled refs by itself. Matching and
grouping 100,000 series are then a handful of NumPy operations (tests/monitoring/test_labels.py).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from watchkeeper.monitoring.promql.ast import Matcher, MatchOp
from watchkeeper.monitoring.regex import compile_anchored, fullmatch

Labels = tuple[tuple[str, str], ...]
"""A label set: (name, value) pairs sorted by name, no empty values; the metric name under ``__name__``."""

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

METRIC_NAME = "__name__"
_PAGE_BITS = 10
_PAGE = 1 << _PAGE_BITS


def label_set(pairs: Iterable[tuple[str, str]]) -> Labels:
    """``pairs`` in canonical form: sorted, labels with an empty value left out."""
    return tuple(sorted(pair for pair in pairs if pair[1]))


class _Column:
    """One label name: which value each ref has, in pages that exist only where some ref has the label."""

    __slots__ = ("codes", "epoch", "free", "index", "masks", "name", "pages", "values")

    def __init__(self, name: str, index: int) -> None:
        self.name = name
        self.index = index
        self.codes: dict[str, int] = {"": 0}
        self.values: list[str] = [""]
        self.free: list[int] = []
        self.epoch = 0  # changes whenever a code may have come to mean another value
        self.pages: npt.NDArray[np.int32] = np.zeros(1, np.int32)  # ref >> _PAGE_BITS -> row of the pool
        self.masks: dict[Matcher, tuple[int, Mask]] = {}

    def code(self, value: str) -> int:
        code = self.codes.get(value)
        if code is None:
            if self.free:
                code = self.free.pop()
                self.values[code] = value
            else:
                code = len(self.values)
                self.values.append(value)
            self.codes[value] = code
        return code

    def accepted(self, matcher: Matcher) -> Mask:
        """Per code: does ``matcher`` accept the value? Computed once for each value ever seen."""
        epoch, mask = self.masks.get(matcher, (-1, np.zeros(0, np.bool_)))
        if epoch != self.epoch:
            mask = np.zeros(0, np.bool_)
        if len(mask) < len(self.values):
            accepts = predicate(matcher)
            fresh = [accepts(value) for value in self.values[len(mask) :]]
            mask = np.concatenate([mask, np.array(fresh, np.bool_)])
            if len(self.masks) >= 256:
                self.masks.clear()
            self.masks[matcher] = (self.epoch, mask)
        return mask


def predicate(matcher: Matcher) -> Callable[[str], bool]:
    """The test that ``matcher`` makes of one label value."""
    wanted = matcher.value
    if matcher.op is MatchOp.EQUAL:
        return lambda value: value == wanted
    if matcher.op is MatchOp.NOT_EQUAL:
        return lambda value: value != wanted
    regex = compile_anchored(wanted)
    if matcher.op is MatchOp.REGEX:
        return lambda value: fullmatch(regex, value) is not None
    return lambda value: fullmatch(regex, value) is None


class LabelStore:
    """Interns label sets and answers questions about many of them at once."""

    def __init__(self) -> None:
        self._columns: dict[str, _Column] = {}
        self._by_index: list[_Column] = []
        self._refs: dict[bytes, int] = {}
        self._keys: list[bytes | None] = []
        self._free: list[int] = []
        self._released_since_sweep = 0
        self._pool = np.zeros((64, _PAGE), np.int32)  # row 0 stays zero: "no ref here has this label"
        self._pool_used = 1
        self._pool_free: list[int] = []
        self._recycled: list[int] = []
        self._recycled_base = 0

    def __len__(self) -> int:
        """How many label sets are alive."""
        return len(self._refs)

    @property
    def capacity(self) -> int:
        """One more than the highest ref ever given out."""
        return len(self._keys)

    # -- one label set -------------------------------------------------------------------------

    def intern(self, labels: Labels) -> int:
        """The ref of ``labels`` (canonical form), which is made alive if it was not."""
        packed = array("i")
        for name, value in labels:
            column = self._columns.get(name)
            if column is None:
                column = self._columns[name] = _Column(name, len(self._by_index))
                self._by_index.append(column)
            packed.append(column.index)
            packed.append(column.code(value))
        key = packed.tobytes()
        ref = self._refs.get(key)
        if ref is not None:
            return ref
        if self._free:
            ref = self._free.pop()
            self._keys[ref] = key
        else:
            ref = len(self._keys)
            self._keys.append(key)
        self._refs[key] = ref
        page, slot = ref >> _PAGE_BITS, ref & (_PAGE - 1)
        for position in range(0, len(packed), 2):
            column = self._by_index[packed[position]]
            row = self._page_of(column, page)  # may replace the pool
            self._pool[row, slot] = packed[position + 1]
        return ref

    def find(self, labels: Labels) -> int | None:
        """The ref of ``labels`` if they are alive."""
        packed = array("i")
        for name, value in labels:
            column = self._columns.get(name)
            code = None if column is None else column.codes.get(value)
            if column is None or code is None:
                return None
            packed.append(column.index)
            packed.append(code)
        return self._refs.get(packed.tobytes())

    def labels(self, ref: int) -> Labels:
        """The label set of a live ``ref``."""
        key = self._keys[ref]
        if key is None:
            raise KeyError(f"label set {ref} is not alive")
        packed = array("i", key)
        columns = self._by_index
        return tuple(
            (columns[packed[i]].name, columns[packed[i]].values[packed[i + 1]])
            for i in range(0, len(packed), 2)
        )

    def value(self, ref: int, name: str) -> str:
        """The value of label ``name`` of ``ref``; empty where it has none."""
        column = self._columns.get(name)
        if column is None:
            return ""
        return column.values[int(self._codes(column, np.array([ref]))[0])]

    def release(self, refs: Iterable[int]) -> None:
        """These label sets are dead: their refs may come to mean other sets."""
        for ref in refs:
            key = self._keys[ref]
            if key is None:
                continue
            page, slot = ref >> _PAGE_BITS, ref & (_PAGE - 1)
            packed = array("i", key)
            for position in range(0, len(packed), 2):
                self._pool[self._by_index[packed[position]].pages[page], slot] = 0
            del self._refs[key]
            self._keys[ref] = None
            self._free.append(ref)
            self._recycled.append(ref)
            self._released_since_sweep += 1
        if len(self._recycled) > max(4096, len(self._keys)):
            self._recycled_base += len(self._recycled)
            self._recycled.clear()
        if self._released_since_sweep > max(4096, len(self._refs) // 2):
            self._sweep()

    # -- many label sets -----------------------------------------------------------------------

    def names(self) -> list[str]:
        """Every label name known, in the order of first use."""
        return [column.name for column in self._by_index]

    def codes(self, name: str, refs: Ints) -> Codes:
        """Per ref, the code of its value of ``name`` (0: it has none)."""
        column = self._columns.get(name)
        return np.zeros(len(refs), np.int32) if column is None else self._codes(column, refs)

    def decode(self, name: str, codes: Iterable[int]) -> list[str]:
        """The values that ``codes`` of label ``name`` stand for."""
        column = self._columns.get(name)
        return ["" for _ in codes] if column is None else [column.values[code] for code in codes]

    def match(self, matchers: Sequence[Matcher], refs: Ints) -> Mask:
        """Per ref: do all ``matchers`` accept it?"""
        mask = np.ones(len(refs), np.bool_)
        for matcher in matchers:
            column = self._columns.get(matcher.name)
            if column is None:
                if not predicate(matcher)(""):
                    mask[:] = False
                    break
                continue
            if matcher.op is MatchOp.EQUAL:
                mask &= self._codes(column, refs) == column.codes.get(matcher.value, -1)
            else:
                mask &= column.accepted(matcher)[self._codes(column, refs)]
        return mask

    def live(self) -> Ints:
        """Every live ref, ascending."""
        return np.array([ref for ref, key in enumerate(self._keys) if key is not None], np.int64)

    def columns_of(self, refs: Ints) -> list[str]:
        """The label names that at least one of ``refs`` has."""
        if not len(refs):
            return []
        pages = np.unique(refs >> _PAGE_BITS)
        return [
            column.name
            for column in self._by_index
            if self._rows(column, pages).any() and self._codes(column, refs).any()
        ]

    # -- storage of the codes ------------------------------------------------------------------

    def _codes(self, column: _Column, refs: Ints) -> Codes:
        codes: Codes = self._pool[self._rows(column, refs >> _PAGE_BITS), refs & (_PAGE - 1)]
        return codes

    def _rows(self, column: _Column, pages: Ints) -> npt.NDArray[np.int32]:
        if len(column.pages) << _PAGE_BITS < len(self._keys):
            self._grow(column, len(self._keys) >> _PAGE_BITS)
        return column.pages[pages]

    def _page_of(self, column: _Column, page: int) -> int:
        if page >= len(column.pages):
            self._grow(column, page)
        row = int(column.pages[page])
        if row == 0:
            if self._pool_free:
                row = self._pool_free.pop()
            else:
                if self._pool_used == len(self._pool):
                    self._pool = np.concatenate([self._pool, np.zeros_like(self._pool)])
                row = self._pool_used
                self._pool_used += 1
            column.pages[page] = row
        return row

    @staticmethod
    def _grow(column: _Column, page: int) -> None:
        grown = np.zeros(max(page + 1, 2 * len(column.pages)), np.int32)
        grown[: len(column.pages)] = column.pages
        column.pages = grown

    def _sweep(self) -> None:
        """Free the pages and value codes that no live label set uses any more."""
        self._released_since_sweep = 0
        for column in self._by_index:
            used = np.zeros(len(column.values), np.bool_)
            used[0] = True
            for page in np.flatnonzero(column.pages):
                row = int(column.pages[page])
                if self._pool[row].any():
                    used[self._pool[row]] = True
                else:
                    column.pages[page] = 0
                    self._pool_free.append(row)
            dead = [code for code in np.flatnonzero(~used).tolist() if column.values[code]]
            for code in dead:
                del column.codes[column.values[code]]
                column.values[code] = ""
                column.free.append(code)
            if dead:
                column.epoch += 1
                column.masks.clear()

    def recycled_since(self, position: int) -> tuple[int, list[int] | None]:
        """The new position, and the refs released since ``position`` (None: too long ago, forget all)."""
        now = self._recycled_base + len(self._recycled)
        if position < self._recycled_base:
            return now, None
        return now, self._recycled[position - self._recycled_base :]


class RefMap:
    """An int per ref, computed when first asked for, forgotten when the ref comes to mean another set.

    ``fill`` gets the refs that are not known yet and returns their values, which must not be negative.
    """

    __slots__ = ("_fill", "_position", "_store", "_values")

    def __init__(self, store: LabelStore, fill: Callable[[Ints], Ints]) -> None:
        self._store = store
        self._fill = fill
        self._values = np.full(max(store.capacity, 64), -1, np.int64)
        self._position, _ = store.recycled_since(0)

    def get(self, refs: Ints) -> Ints:
        """The value of each of ``refs``, all of them alive."""
        self._position, recycled = self._store.recycled_since(self._position)
        if recycled is None:
            self._values[:] = -1
        elif recycled:
            self._values[np.array([ref for ref in recycled if ref < len(self._values)], np.int64)] = -1
        if self._store.capacity > len(self._values):
            grown = np.full(max(self._store.capacity, 2 * len(self._values)), -1, np.int64)
            grown[: len(self._values)] = self._values
            self._values = grown
        values = self._values[refs]
        missing = values < 0
        if missing.any():
            fresh = np.unique(refs[missing])
            self._values[fresh] = self._fill(fresh)
            values = self._values[refs]
        return values
