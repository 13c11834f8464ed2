"""Label stores against plain dictionaries, through churn, recycling and sweeps."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from watchkeeper.monitoring import labels as labels_module
from watchkeeper.monitoring.labels import (
    Ints,
    Labels,
    LabelStore,
    RefMap,
    label_set,
    predicate,
)
from watchkeeper.monitoring.promql.ast import Matcher, MatchOp

NAMES = ["__name__", "env", "job", "pod"]
VALUES = ["", "a", "b", "ab", "a\nb", "ü"]
LABELS = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES), max_size=4).map(
    lambda pairs: label_set(pairs.items())
)
MATCHERS = st.builds(
    Matcher,
    name=st.sampled_from([*NAMES, "nowhere"]),
    op=st.sampled_from(list(MatchOp)),
    value=st.sampled_from(["", "a", "b", "a.*", ".+", ".*", "a|b", "(?i)A", "a.b"]),
)


def _accepts(matcher: Matcher, value: str) -> bool:
    if matcher.op is MatchOp.EQUAL:
        return value == matcher.value
    if matcher.op is MatchOp.NOT_EQUAL:
        return value != matcher.value
    found = re.fullmatch(matcher.value, value, re.DOTALL) is not None
    return found is (matcher.op is MatchOp.REGEX)


class Churn(RuleBasedStateMachine):
    """Sets come and go, and are asked about; a dictionary knows the answers."""

    def __init__(self) -> None:
        super().__init__()
        self.store = LabelStore()
        self.alive: dict[Labels, int] = {}
        self.filled: list[int] = []
        self.map = RefMap(self.store, self._fill)

    def _fill(self, refs: Ints) -> Ints:
        self.filled.extend(refs.tolist())
        return np.array([len(self.store.labels(ref)) for ref in refs.tolist()], np.int64)

    def _refs(self) -> Ints:
        return np.array(list(self.alive.values()), np.int64)

    @rule(labels=LABELS)
    def intern(self, labels: Labels) -> None:
        ref = self.store.intern(labels)
        assert self.alive.setdefault(labels, ref) == ref

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        gone = data.draw(st.sets(st.sampled_from(sorted(self.alive))))
        self.store.release([self.alive.pop(labels) for labels in gone])

    @rule()
    def sweep(self) -> None:
        self.store._sweep()

    @rule(labels=LABELS)
    def find(self, labels: Labels) -> None:
        assert self.store.find(labels) == self.alive.get(labels)

    @rule(matchers=st.lists(MATCHERS, max_size=3))
    def match(self, matchers: list[Matcher]) -> None:
        found = self.store.match(matchers, self._refs()).tolist()
        for labels, matched in zip(self.alive, found, strict=True):
            values = dict(labels)
            assert matched == all(_accepts(matcher, values.get(matcher.name, "")) for matcher in matchers)

    @rule()
    def map_refs(self) -> None:
        assert self.map.get(self._refs()).tolist() == [len(labels) for labels in self.alive]
        known = len(self.filled)
        assert self.map.get(self._refs()).tolist() == [len(labels) for labels in self.alive]
        assert len(self.filled) == known, "what is known is not asked for again"

    @invariant()
    def refs_are_those_of_the_living(self) -> None:
        assert len(self.store) == len(self.alive)
        assert sorted(self.alive.values()) == self.store.live().tolist()
        assert len(set(self.alive.values())) == len(self.alive)
        assert all(ref < self.store.capacity for ref in self.alive.values())
        for labels, ref in self.alive.items():
            assert self.store.labels(ref) == labels
            values = dict(labels)
            for name in NAMES:
                assert self.store.value(ref, name) == values.get(name, "")

    @invariant()
    def columns_are_those_that_some_set_has(self) -> None:
        names = {name for labels in self.alive for name, _ in labels}
        assert set(self.store.columns_of(self._refs())) == names

    @invariant()
    def codes_decode_to_the_values(self) -> None:
        refs = self._refs()
        for name in [*NAMES, "nowhere"]:
            values = [dict(labels).get(name, "") for labels in self.alive]
            codes = self.store.codes(name, refs)
            assert self.store.decode(name, codes.tolist()) == values
            assert [code == 0 for code in codes.tolist()] == [value == "" for value in values]


Churn.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestChurn = Churn.TestCase


def test_a_label_set_is_sorted_and_has_no_empty_values() -> None:
    assert label_set([("b", "2"), ("a", "1"), ("c", "")]) == (("a", "1"), ("b", "2"))


def test_a_dead_ref_has_no_labels() -> None:
    store = LabelStore()
    ref = store.intern((("a", "1"),))
    store.release([ref, ref])
    with pytest.raises(KeyError, match="is not alive"):
        store.labels(ref)
    assert store.find((("a", "1"),)) is None
    assert len(store) == 0


def test_refs_of_the_dead_are_used_again() -> None:
    store = LabelStore()
    for generation in range(50):
        refs = [store.intern((("pod", f"{generation}-{n}"),)) for n in range(10)]
        store.release(refs)
    assert store.capacity == 10


def test_long_churn_neither_grows_nor_forgets() -> None:
    """Many more sets than pages hold come and go; the values of the dead are swept away."""
    store = LabelStore()
    kept = {n: store.intern((("job", "kept"), ("n", str(n)))) for n in range(100)}
    lengths = RefMap(
        store, lambda refs: np.array([len(store.labels(ref)) for ref in refs.tolist()], np.int64)
    )
    for generation in range(30):
        refs = [store.intern((("pod", f"{generation}-{n}"),)) for n in range(1000)]
        assert set(lengths.get(np.array(refs)).tolist()) == {1}
        store.release(refs)
    assert store.capacity <= 1100
    assert len(store._columns["pod"].values) <= 10_000
    assert lengths.get(np.array(list(kept.values()))).tolist() == [2] * 100
    matched = store.match([Matcher("n", MatchOp.EQUAL, "42")], np.array(list(kept.values())))
    assert np.flatnonzero(matched).tolist() == [42]


def test_a_map_that_missed_too_much_starts_afresh() -> None:
    store = LabelStore()
    lengths = RefMap(
        store, lambda refs: np.array([len(store.labels(ref)) for ref in refs.tolist()], np.int64)
    )
    ref = store.intern((("a", "1"),))
    assert lengths.get(np.array([ref])).tolist() == [1]
    position, recycled = store.recycled_since(0)
    assert recycled == []
    store.release([ref])
    for n in range(6000):  # the log of released refs is cut on the way
        store.release([store.intern((("n", str(n)),))])
    assert store.recycled_since(position)[1] is None
    again = store.intern((("a", "1"), ("b", "2")))
    assert again == ref
    assert lengths.get(np.array([again])).tolist() == [2]


def test_a_matcher_asks_each_value_once() -> None:
    store = LabelStore()
    refs = np.array([store.intern((("n", str(n % 7)), ("i", str(n)))) for n in range(500)])
    asked: list[str] = []
    matcher = Matcher("n", MatchOp.REGEX, "[1-3]")
    plain = labels_module.predicate

    def watched(matcher: Matcher) -> object:
        accepts = plain(matcher)

        def ask(value: str) -> bool:
            asked.append(value)
            return accepts(value)

        return ask

    labels_module.predicate = watched  # type: ignore[assignment]
    try:
        first = store.match([matcher], refs)
        second = store.match([matcher], refs)
    finally:
        labels_module.predicate = plain
    assert sorted(asked) == ["", *"0123456"]
    assert (first == second).all()
    assert first.sum() == sum(n % 7 in (1, 2, 3) for n in range(500))


@pytest.mark.parametrize(
    ("op", "wanted", "accepted"),
    [
        (MatchOp.EQUAL, "a", ["a"]),
        (MatchOp.NOT_EQUAL, "a", ["", "ab", "a\nb"]),
        (MatchOp.REGEX, "a.*", ["a", "ab", "a\nb"]),
        (MatchOp.REGEX, "b", []),
        (MatchOp.NOT_REGEX, "a.*", [""]),
        (MatchOp.REGEX, "", [""]),
    ],
)
def test_a_predicate_matches_whole_values(op: MatchOp, wanted: str, accepted: list[str]) -> None:
    accepts = predicate(Matcher("x", op, wanted))
    assert [value for value in ("", "a", "ab", "a\nb") if accepts(value)] == accepted
