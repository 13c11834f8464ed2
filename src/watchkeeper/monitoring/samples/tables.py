"""The label sets of many series as columns of codes: how they lie on disk and how they are matched there.

Always true: a table holds each label set as one code per label name (0: it has none), values are UTF-8
and free of the byte 0xFF that separates them; ``decode(encode(table))`` gives the same label sets
(tests/monitoring/samples/test_codec.py).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from watchkeeper.monitoring.labels import METRIC_NAME, Codes, Ints, Labels, LabelStore, Mask, predicate
from watchkeeper.monitoring.promql.ast import Matcher, MatchOp
from watchkeeper.monitoring.samples.codec import compress, decompress
from watchkeeper.monitoring.samples.errors import CorruptError

_HEAD = struct.Struct("<IH")
_COLUMN = struct.Struct("<HIB")
_MAX_TABLE = 1 << 30
_FEW = 64
_WIDTHS: dict[int, npt.DTypeLike] = {1: "u1", 2: "<u2", 4: "<u4"}


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """The values of one label name; code ``i`` stands for ``values[i - 1]``."""

    name: str
    values: tuple[bytes, ...]
    codes: Codes

    def decode(self, code: int) -> str:
        return self.values[code - 1].decode("utf-8", "surrogatepass") if code else ""


@dataclass(frozen=True, slots=True)
class LabelTable:
    """``size`` label sets; ``columns`` sorted by name."""

    size: int
    columns: tuple[LabelColumn, ...]

    @classmethod
    def of(cls, store: LabelStore, refs: Ints) -> LabelTable:
        """The label sets of live ``refs``, in their order."""
        if len(refs) <= _FEW:
            return cls.from_labels([store.labels(ref) for ref in refs.tolist()])
        columns = []
        for name in sorted(store.columns_of(refs)):
            used, codes = _renumbered(store.codes(name, refs))
            values = store.decode(name, used.tolist())
            lacking = 0 if values[0] == "" else 1
            blobs = tuple(value.encode("utf-8", "surrogatepass") for value in values[1 - lacking :])
            columns.append(LabelColumn(name, blobs, codes + np.int32(lacking)))
        return cls(len(refs), tuple(columns))

    @classmethod
    def from_labels(cls, label_sets: Sequence[Labels]) -> LabelTable:
        """``label_sets``, in their order; quicker than arrays for a few."""
        found: dict[str, tuple[dict[str, int], list[int]]] = {}
        for row, labels in enumerate(label_sets):
            for name, value in labels:
                numbers, codes = found.setdefault(name, ({}, [0] * len(label_sets)))
                codes[row] = numbers.setdefault(value, len(numbers) + 1)
        columns = [
            LabelColumn(
                name,
                tuple(value.encode("utf-8", "surrogatepass") for value in numbers),
                np.array(codes, np.int32),
            )
            for name, (numbers, codes) in sorted(found.items())
        ]
        return cls(len(label_sets), tuple(columns))

    def encode(self) -> bytes:
        out = [_HEAD.pack(self.size, len(self.columns))]
        for column in self.columns:
            name = column.name.encode("utf-8", "surrogatepass")
            blob = b"\xff".join(column.values)
            width = 1 if len(column.values) < 1 << 8 else 2 if len(column.values) < 1 << 16 else 4
            out += [_COLUMN.pack(len(name), len(blob), width), name, blob]
            out.append(column.codes.astype(_WIDTHS[width]).tobytes())
        return compress(b"".join(out))

    @classmethod
    def decode(cls, data: bytes | memoryview) -> LabelTable:
        raw = decompress(data, _MAX_TABLE)
        try:
            size, count = _HEAD.unpack_from(raw)
            at = _HEAD.size
            columns = []
            for _ in range(count):
                name_length, blob_length, width = _COLUMN.unpack_from(raw, at)
                at += _COLUMN.size
                name = raw[at : at + name_length].decode("utf-8", "surrogatepass")
                at += name_length
                values = tuple(raw[at : at + blob_length].split(b"\xff"))
                at += blob_length
                codes = np.frombuffer(raw, _WIDTHS[width], size, at).astype(np.int32)
                at += width * size
                if size and int(codes.max()) > len(values):
                    raise CorruptError("a table of labels refers to a value that it does not hold")
                columns.append(LabelColumn(name, values, codes))
        except (struct.error, ValueError, KeyError) as error:
            raise CorruptError(f"a table of labels cannot be read: {error}") from error
        return cls(size, tuple(columns))

    def match(self, matchers: Sequence[Matcher]) -> Mask:
        """Per label set: do all ``matchers`` accept it?"""
        mask = np.ones(self.size, np.bool_)
        by_name = {column.name: column for column in self.columns}
        for matcher in matchers:
            accepts = predicate(matcher)
            column = by_name.get(matcher.name)
            if column is None:
                if not accepts(""):
                    return np.zeros(self.size, np.bool_)
                continue
            if matcher.op is MatchOp.EQUAL and matcher.value:
                wanted = matcher.value.encode("utf-8", "surrogatepass")
                code = column.values.index(wanted) + 1 if wanted in column.values else -1
                mask &= column.codes == code
                continue
            accepted = [accepts(""), *(accepts(column.decode(i + 1)) for i in range(len(column.values)))]
            mask &= np.array(accepted, np.bool_)[column.codes]
        return mask

    def labels(self, rows: Ints) -> list[Labels]:
        """The label sets at ``rows``."""
        per_name = []
        for column in self.columns:
            used, codes = _renumbered(column.codes[rows])
            values = [column.decode(code) for code in used.tolist()]
            per_name.append([values[i] for i in codes.tolist()])
        names = [column.name for column in self.columns]
        if not per_name:
            return [() for _ in range(len(rows))]
        return [
            tuple((name, value) for name, value in zip(names, row, strict=True) if value)
            for row in zip(*per_name, strict=True)
        ]

    def names(self) -> list[str]:
        """The metric names that occur."""
        for column in self.columns:
            if column.name == METRIC_NAME:
                used = np.unique(column.codes)
                return [column.decode(code) for code in used.tolist()]
        return [""] if self.size else []

    def take(self, rows: Ints) -> LabelTable:
        """The table of the label sets at ``rows`` alone, without values that none of them has."""
        columns = []
        for column in self.columns:
            used, codes = _renumbered(column.codes[rows])
            if len(used) and used[0]:
                codes = codes + np.int32(1)
            values = tuple(column.values[code - 1] for code in used.tolist() if code)
            if values:
                columns.append(LabelColumn(column.name, values, codes))
        return LabelTable(len(rows), tuple(columns))


def union(tables: Sequence[LabelTable]) -> tuple[LabelTable, list[Ints]]:
    """One table with every label set of ``tables`` once, sorted by metric name first; and for each
    table, where its label sets are in it.
    """
    names = sorted({column.name for table in tables for column in table.columns})
    names.sort(key=lambda name: name != METRIC_NAME)
    total = sum(table.size for table in tables)
    stacked = np.zeros((total, len(names)), np.int32)
    all_values: list[tuple[bytes, ...]] = []
    for position, name in enumerate(names):
        parts = [
            (start, column)
            for start, table in zip(_starts(tables), tables, strict=True)
            for column in table.columns
            if column.name == name
        ]
        values = sorted({value for _, column in parts for value in column.values})
        number = {value: i + 1 for i, value in enumerate(values)}
        for start, column in parts:
            codes = np.array([0, *(number[value] for value in column.values)], np.int32)
            stacked[start : start + len(column.codes), position] = codes[column.codes]
        all_values.append(tuple(values))
    if names:
        merged, where = np.unique(stacked, axis=0, return_inverse=True)
        where = where.reshape(-1)
    else:
        merged, where = stacked[: min(total, 1)], np.zeros(total, np.int64)
    columns = [
        LabelColumn(name, values, np.ascontiguousarray(merged[:, i]))
        for i, (name, values) in enumerate(zip(names, all_values, strict=True))
    ]
    columns.sort(key=lambda column: column.name)
    table = LabelTable(len(merged), tuple(columns))
    return table, [
        where[start : start + part.size].astype(np.int64)
        for start, part in zip(_starts(tables), tables, strict=True)
    ]


def concatenated(tables: Sequence[LabelTable]) -> LabelTable:
    """The label sets of ``tables`` one after the other."""
    if len(tables) == 1:
        return tables[0]
    merged, where = union(tables)
    rows = np.concatenate(where) if where else np.zeros(0, np.int64)
    return replace(merged.take(rows), size=len(rows))


def _starts(tables: Sequence[LabelTable]) -> list[int]:
    return [0, *np.cumsum([table.size for table in tables]).tolist()][: len(tables)]


def _renumbered(codes: Codes) -> tuple[Codes, Codes]:
    """The distinct codes, ascending, and for each of ``codes`` its place among them (``np.unique`` sorts)."""
    present = np.zeros(int(codes.max(initial=-1)) + 1, np.bool_)
    present[codes] = True
    used = np.flatnonzero(present).astype(np.int32)
    places = np.cumsum(present, dtype=np.int32) - np.int32(1)
    return used, places[codes]
