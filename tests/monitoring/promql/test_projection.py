"""Projections against what a dictionary of label sets would say."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.monitoring.labels import Labels, LabelStore, label_set
from watchkeeper.monitoring.promql.projection import Joining, Projection, Rewriting

LABELS = st.dictionaries(
    st.sampled_from(["__name__", "a", "b", "c"]), st.sampled_from(["", "x", "y", "z"])
).map(lambda pairs: label_set(pairs.items()))
NAMES = st.sets(st.sampled_from(["__name__", "a", "b", "nowhere"]))


def _reduced(labels: Labels, names: set[str], *, keep: bool) -> Labels:
    return tuple(pair for pair in labels if (pair[0] in names) is keep)


@settings(max_examples=80, deadline=None)
@given(
    left=st.lists(LABELS, min_size=1, max_size=12, unique=True),
    right=st.lists(LABELS, min_size=1, max_size=12, unique=True),
    names=NAMES,
    keep=st.booleans(),
)
def test_numbers_are_equal_exactly_where_the_reduced_label_sets_are(
    left: list[Labels], right: list[Labels], names: set[str], keep: bool
) -> None:
    derived, stored = LabelStore(), LabelStore()
    projection = Projection(derived, names, keep=keep)
    left_refs = np.array([stored.intern(labels) for labels in left])
    right_refs = np.array([derived.intern(labels) for labels in right])
    numbers = [
        *projection.numbers(stored, left_refs).tolist(),
        *projection.numbers(derived, right_refs).tolist(),
    ]
    reduced = [_reduced(labels, names, keep=keep) for labels in (*left, *right)]
    for one, first in zip(numbers, reduced, strict=True):
        assert derived.labels(int(projection.refs[one])) == first
        for other, second in zip(numbers, reduced, strict=True):
            assert (one == other) == (first == second)
    assert sorted(set(numbers)) == list(range(len(projection)))


@settings(max_examples=60, deadline=None)
@given(rounds=st.lists(st.lists(LABELS, min_size=1, max_size=6, unique=True), min_size=1, max_size=6))
def test_a_projection_follows_series_that_come_and_go(rounds: list[list[Labels]]) -> None:
    stored = LabelStore()
    projection = Projection(LabelStore(), ["a"], keep=False)
    for alive in rounds:
        refs = np.array([stored.intern(labels) for labels in alive])
        found = [projection.derived.labels(ref) for ref in projection.apply(stored, refs).tolist()]
        assert found == [_reduced(labels, {"a"}, keep=False) for labels in alive]
        stored.release(refs.tolist())


def test_only_series_not_seen_before_are_worked_on() -> None:
    stored, worked_on = LabelStore(), []

    def function(labels: Labels) -> tuple[Labels, bool]:
        worked_on.append(labels)
        return labels, False

    rewriting = Rewriting(LabelStore(), function)
    refs = [stored.intern((("n", str(n)),)) for n in range(10)]
    rewriting.apply(stored, np.array(refs))
    refs[3] = stored.intern((("n", "new"),))
    rewriting.apply(stored, np.array(refs))
    assert worked_on == [*((("n", str(n)),) for n in range(10)), (("n", "new"),)]


def test_joining_follows_the_one_side_as_it_changes() -> None:
    derived, many, one = LabelStore(), LabelStore(), LabelStore()
    joining = Joining(derived, Projection(derived, ["__name__"], keep=False), ["team"])
    many_refs = np.array(
        [many.intern((("__name__", "m"), ("n", str(n)), ("team", "old"))) for n in range(40)]
    )

    def joined(teams: list[str]) -> list[Labels]:
        one_refs = np.array([one.intern(label_set([("team", team)])) for team in teams])
        return [derived.labels(ref) for ref in joining.apply(many, many_refs, one, one_refs).tolist()]

    for teams in (["red"] * 40, ["blue", *["red"] * 39], [""] * 40, ["red"] * 40):
        assert joined(teams) == [label_set([("n", str(n)), ("team", team)]) for n, team in enumerate(teams)]
