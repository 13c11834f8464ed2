"""Bytes and back: rows, tiles, times and label tables come back as they were."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.monitoring.samples.plain import equal, matching, named
from watchkeeper.monitoring.labels import Ints, Labels, LabelStore, label_set
from watchkeeper.monitoring.promql.ast import Matcher, MatchOp
from watchkeeper.monitoring.samples.codec import (
    Bits,
    compress,
    decompress,
    pack,
    pack_tile,
    pack_times,
    unpack,
    unpack_tile,
    unpack_times,
)
from watchkeeper.monitoring.samples.errors import CorruptError
from watchkeeper.monitoring.samples.tables import LabelTable, concatenated, union

BITS = arrays.arrays(np.uint64, arrays.array_shapes(min_dims=2, max_dims=2, max_side=20))
NAMES = st.sampled_from(["__name__", "a", "b", "ä", "\x00"])
TEXT = st.text(st.characters(exclude_categories=()), min_size=1, max_size=4)
LABELS = st.dictionaries(NAMES, TEXT).map(lambda labels: label_set(labels.items()))


@given(BITS)
def test_a_row_comes_back_bit_for_bit(bits: Bits) -> None:
    row = bits.reshape(-1)
    assert unpack(pack(row), len(row)).tolist() == row.tolist()


@given(BITS)
def test_a_tile_comes_back_bit_for_bit(bits: Bits) -> None:
    tile = unpack_tile(pack_tile(bits.view(np.float64)), *bits.shape)
    assert np.ascontiguousarray(tile).view(np.uint64).tolist() == bits.tolist()


@given(st.lists(st.integers(-(1 << 60), 1 << 60), max_size=20).map(sorted))
def test_times_come_back(times: list[int]) -> None:
    array: Ints = np.array(times, np.int64)
    assert unpack_times(pack_times(array), len(times)).tolist() == times


def test_counters_take_one_to_two_bytes_per_sample() -> None:
    chance = np.random.default_rng(1)
    rows = np.cumsum(np.floor(chance.exponential(20, (40, 64))), axis=0) + 1e5
    assert len(pack_tile(rows)) / rows.size < 2


@pytest.mark.parametrize("data", [b"", b"\0", compress(b"x" * 100)[:-1], compress(b"x" * 10_000)])
def test_what_is_not_a_block_of_the_right_size_is_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptError):
        decompress(data, 1000)
    with pytest.raises(CorruptError):
        unpack(data, 100)


@given(st.lists(LABELS, max_size=8))
def test_a_label_table_comes_back(label_sets: list[Labels]) -> None:
    table = LabelTable.from_labels(label_sets)
    assert LabelTable.decode(table.encode()).labels(np.arange(len(label_sets))) == label_sets


@given(st.lists(LABELS, max_size=8, unique=True))
def test_a_table_of_refs_and_a_table_of_labels_are_the_same(label_sets: list[Labels]) -> None:
    store = LabelStore()
    store.intern(named("other", c="x"))
    refs = np.array([store.intern(labels) for labels in label_sets], np.int64)
    many = np.tile(refs, 1 + 65 // max(1, len(refs)))  # enough for the way of large tables
    assert LabelTable.of(store, refs).labels(np.arange(len(refs))) == label_sets
    back = LabelTable.of(store, many).labels(np.arange(len(many)))
    assert [store.intern(labels) for labels in back] == many.tolist()


@example([named("m", a="\ud800")], [Matcher("a", MatchOp.REGEX, ".+")])
@given(
    st.lists(LABELS, max_size=8),
    st.lists(
        st.builds(Matcher, NAMES, st.sampled_from(MatchOp), st.sampled_from(["", "a", "a|b|", ".+", ".*"]))
    ),
)
def test_a_table_matches_as_the_label_store_does(label_sets: list[Labels], matchers: list[Matcher]) -> None:
    store = LabelStore()
    refs = np.array([store.intern(labels) for labels in label_sets], np.int64)
    expected = store.match(matchers, refs).tolist()
    assert LabelTable.from_labels(label_sets).match(matchers).tolist() == expected


@given(st.lists(st.lists(LABELS, max_size=6), max_size=4))
def test_a_union_has_each_label_set_once_in_one_order(lists: list[list[Labels]]) -> None:
    tables = [LabelTable.from_labels(label_sets) for label_sets in lists]
    table, where = union(tables)
    merged = table.labels(np.arange(table.size))
    assert len(set(merged)) == len(merged)
    assert set(merged) == {labels for label_sets in lists for labels in label_sets}
    for label_sets, places in zip(lists, where, strict=True):
        assert [merged[place] for place in places.tolist()] == label_sets
    if tables:
        all_of_them = [labels for label_sets in lists for labels in label_sets]
        assert concatenated(tables).labels(np.arange(len(all_of_them))) == all_of_them
    again, _ = union([table.take(np.arange(1, table.size, 2))])
    assert again.labels(np.arange(again.size)) == merged[1::2], "a part of it keeps its order"


def test_a_table_knows_its_metric_names() -> None:
    table = LabelTable.from_labels([named("b"), named("a", i="1"), named("b", i="2"), ()])
    assert sorted(table.names()) == ["", "a", "b"]
    assert table.match([equal("__name__", "b"), matching("i", ".+")]).tolist() == [False, False, True, False]


@given(st.binary(max_size=60))
def test_rubbish_is_a_corrupt_table(data: bytes) -> None:
    with pytest.raises(CorruptError):
        LabelTable.decode(compress(b"\xff\xff\xff\x00\x02\x00" + data))
