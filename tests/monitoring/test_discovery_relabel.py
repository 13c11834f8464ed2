"""Relabelling: every action as Prometheus has it."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from watchkeeper.monitoring.relabel import RelabelError, Rule, relabel, rules_of

LABELS = {"a": "foo", "b": "bar", "c": "baz"}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        # From Prometheus' own tests of relabelling, and its documentation.
        (
            {
                "source_labels": ["a"],
                "regex": "f(.*)",
                "target_label": "d",
                "separator": ";",
                "replacement": "ch${1}-ch${1}",
            },
            {**LABELS, "d": "choo-choo"},
        ),
        (
            {
                "source_labels": ["a", "b"],
                "regex": "f(.*);(.*)r",
                "target_label": "a",
                "replacement": "b${1}${2}m",
            },
            {**LABELS, "a": "boobam"},
        ),
        ({"source_labels": ["a"], "regex": "f", "target_label": "b", "replacement": "bar"}, LABELS),
        ({"source_labels": ["a"], "regex": "no-match", "target_label": "b", "replacement": "x"}, LABELS),
        (
            {"source_labels": ["a"], "regex": "foo", "target_label": "b", "replacement": ""},
            {"a": "foo", "c": "baz"},
        ),
        ({"target_label": "d", "replacement": "fixed"}, {**LABELS, "d": "fixed"}),
        ({"source_labels": ["absent"], "target_label": "b"}, {"a": "foo", "c": "baz"}),
        (
            {"source_labels": ["a"], "regex": "(f).*", "target_label": "${1}_x", "replacement": "v"},
            {**LABELS, "f_x": "v"},
        ),
        (
            {"source_labels": ["a"], "regex": "(?P<all>.*)", "target_label": "d", "replacement": "$all$$"},
            {**LABELS, "d": "foo$"},
        ),
        ({"source_labels": ["a"], "target_label": "d", "replacement": "$1x"}, LABELS),  # ${1x}: no such group
        ({"source_labels": ["a"], "regex": "foo", "action": "keep"}, LABELS),
        ({"source_labels": ["a"], "regex": "fo", "action": "keep"}, None),
        ({"source_labels": ["a"], "regex": ".*o.*", "action": "drop"}, None),
        ({"source_labels": ["a"], "regex": "o", "action": "drop"}, LABELS),
        ({"source_labels": ["a"], "regex": "foo", "action": "DROP"}, None),
        ({"source_labels": ["a"], "target_label": "a", "action": "keepequal"}, LABELS),
        ({"source_labels": ["a"], "target_label": "b", "action": "keepequal"}, None),
        ({"source_labels": ["a"], "target_label": "b", "action": "dropequal"}, LABELS),
        ({"source_labels": ["x"], "target_label": "y", "action": "dropequal"}, None),
        (
            {"regex": "(b|c)", "replacement": "new_$1", "action": "labelmap"},
            {**LABELS, "new_b": "bar", "new_c": "baz"},
        ),
        ({"regex": "(b|c)", "action": "labeldrop"}, {"a": "foo"}),
        ({"regex": "(b|c)", "action": "labelkeep"}, {"b": "bar", "c": "baz"}),
        (
            {"source_labels": ["a", "b"], "target_label": "d", "action": "uppercase"},
            {**LABELS, "d": "FOO;BAR"},
        ),
        ({"source_labels": ["a"], "target_label": "a", "action": "lowercase"}, LABELS),
        (
            {"source_labels": ["c"], "target_label": "d", "action": "hashmod", "modulus": 1000},
            {**LABELS, "d": "976"},
        ),
    ],
)
def test_rule_does_what_prometheus_does(config: dict[str, Any], expected: dict[str, str] | None) -> None:
    got = relabel(LABELS, [Rule.of(config)])
    assert (None if got is None else dict(got)) == expected


def test_hashmod_is_md5_modulo() -> None:
    labels = relabel(
        {"a": "x"},
        [Rule.of({"source_labels": ["a"], "target_label": "h", "modulus": 7, "action": "hashmod"})],
    )
    assert labels is not None
    assert dict(labels)["h"] == str(int.from_bytes(hashlib.md5(b"x").digest()[8:], "big") % 7)


def test_rules_apply_in_order_and_stop_at_a_drop() -> None:
    rules = rules_of(
        [
            {"source_labels": ["a"], "target_label": "b"},
            {"source_labels": ["b"], "regex": "foo", "action": "keep"},
            {"regex": "a", "action": "labeldrop"},
        ]
    )
    assert relabel(LABELS, rules) == (("b", "foo"), ("c", "baz"))
    assert relabel({**LABELS, "a": "x"}, rules) is None


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"action": "explode"}, "action 'explode' is not one of replace, keep"),
        ({"source_labels": ["a"]}, "replace needs target_label"),
        ({"source_labels": ["a"], "target_label": "b", "action": "hashmod"}, "needs a modulus"),
        ({"regex": "(", "target_label": "b"}, "not a valid regular expression"),
        (
            {"source_labels": ["a"], "regex": "x", "action": "labeldrop"},
            "uses only regex; leave out source_labels",
        ),
        (
            {"source_labels": ["a"], "target_label": "b", "regex": "x", "action": "keepequal"},
            "leave out regex",
        ),
        (
            {"source_labels": ["a"], "target_label": "b", "replacement": "x", "action": "lowercase"},
            "does not use replacement",
        ),
        ({"target_label": "b", "replacment": "x"}, "unknown key 'replacment'"),
    ],
)
def test_rule_that_makes_no_sense_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(RelabelError) as caught:
        rules_of([{"target_label": "fine"}, config])
    assert "rule 2: " in str(caught.value)
    assert message in str(caught.value)
