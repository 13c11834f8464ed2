from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.runbook.scalars import place_in_scalar
from watchkeeper.runbook.tree import Node, read_tree


def scalar(text: str) -> Node:
    node, found = read_tree("r.yaml", text.encode())
    assert not found
    assert node.fields is not None
    return node.fields["key"]


STYLES = {
    "plain": "key: one ? three\n",
    "plain over lines": "key: one\n  ? three\n",
    "single quoted": "key: 'one ? three'\n",
    "single quoted, with a quote": "key: 'it''s one ? three'\n",
    "double quoted": 'key: "one ? three"\n',
    "double quoted, with escapes": 'key: "\\u00e9 \\"one\\"\\t\\x41 ? three"\n',
    "double quoted over lines": 'key: "one \\\n  ? three"\n',
    "literal": "key: |\n  one\n    ? three\n",
    "literal, stripped": "key: |-\n   one\n   ? three",
    "literal, with indentation given": "key: |2\n    one\n   ? three\n",
    "literal after a comment": "key: |   # what follows\n  one\n\n  ? three\n",
    "folded": "key: >\n  one\n  two\n\n  ? three\n",
    "folded, kept": "key: >+\n  one\n  ? three\n\n",
    "in a flow": "key: [1]\n",
}


@pytest.mark.parametrize("style", [name for name in STYLES if name != "in a flow"])
def test_a_character_of_the_value_is_found_in_the_file(style: str) -> None:
    text = STYLES[style]
    node = scalar(text)
    place = place_in_scalar(node, node.text.index("?"))
    assert text.split("\n")[place.line - 1][place.column - 1] == "?"


@pytest.mark.parametrize("style", [name for name in STYLES if name != "in a flow"])
def test_the_end_of_the_value_is_just_behind_its_last_visible_character(style: str) -> None:
    text = STYLES[style]
    node = scalar(text)
    place = place_in_scalar(node, len(node.text))
    assert text.split("\n")[place.line - 1][place.column - 2] == "e"


def test_an_offset_outside_of_the_value_is_its_nearest_end() -> None:
    node = scalar("key: abc\n")
    assert place_in_scalar(node, 99).column == 9
    assert place_in_scalar(node, -5).column == 6


def test_an_empty_value_is_where_it_would_be() -> None:
    assert place_in_scalar(scalar("key: ''\n"), 0).column == 6


_VISIBLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=6)


@given(st.lists(_VISIBLE, min_size=1, max_size=8), st.data())
def test_every_visible_character_of_a_literal_block_is_found(words: list[str], pick: st.DataObject) -> None:
    text = "key: |\n" + "".join(f"    {word}\n" for word in words)
    node = scalar(text)
    offset = pick.draw(st.integers(0, len(node.text) - 1).filter(lambda n: not node.text[n].isspace()))
    place = place_in_scalar(node, offset)
    assert text.split("\n")[place.line - 1][place.column - 1] == node.text[offset]


@given(st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=20), st.data())
def test_a_double_quoted_value_never_fails_and_stays_in_its_line(value: str, pick: st.DataObject) -> None:
    text = f"key: {json.dumps(value)}\n"
    node = scalar(text)
    place = place_in_scalar(node, pick.draw(st.integers(0, max(0, len(node.text)))))
    assert place.line == 1
    assert 6 <= place.column <= len(text)
