from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.runbook.errors import Problem, RunbookError
from watchkeeper.runbook.tree import MAX_BYTES, read_tree


def data(text: str) -> Any:
    node, found = read_tree("r.yaml", text.encode())
    assert not found
    return node.plain()


def refusal(raw: bytes) -> Problem:
    with pytest.raises(RunbookError) as caught:
        read_tree("r.yaml", raw)
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("y", "y"),
        ("5:30", "5:30"),
        ("2026-03-31", "2026-03-31"),
        ("010", 10),
        ("0x10", "0x10"),
        ("0o10", "0o10"),
        ("1_000", "1_000"),
        ("12", 12),
        ("-3", -3),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.2.3", "1.2.3"),
        (".nan", ".nan"),
        (".inf", ".inf"),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("'12'", "12"),
        ('"true"', "true"),
        ("3%", "3%"),
        ("99999999999999999999999", 1e23),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = data(f"key: {text}\n")["key"]
    assert found == value
    assert type(found) is type(value)


def test_a_key_without_a_value_is_nothing() -> None:
    assert data("key:\n") == {"key": None}


def test_keys_that_yaml_1_1_would_turn_into_booleans_stay_words() -> None:
    assert data("on: 1\nno: 2\n") == {"on": 1, "no": 2}


def test_anchors_and_aliases_work() -> None:
    assert data("a: &x [1, 2]\nb: *x\n") == {"a": [1, 2], "b": [1, 2]}


def test_a_byte_order_mark_and_windows_line_ends_are_read() -> None:
    node, found = read_tree("r.yaml", b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert not found
    assert node.plain() == {"a": 1, "b": 2}
    assert node.key_place("b").line == 2


def test_a_duplicate_key_names_both_lines() -> None:
    _, found = read_tree("r.yaml", b"a: 1\nb: 2\na: 3\n")
    assert [str(problem.place) for problem in found] == ["r.yaml:3:1"]
    assert "first is on line 1" in found[0].message


def test_merge_keys_and_tags_are_problems_and_not_obeyed() -> None:
    node, found = read_tree("r.yaml", b"a: &x {b: 1}\nc:\n  <<: *x\nd: !!python/name:os.system x\n")
    assert len(found) == 2
    assert node.plain()["c"] == {}
    assert node.plain()["d"] == "x"


@pytest.mark.parametrize(
    ("raw", "place", "words"),
    [
        (b"", "r.yaml:1:1", "empty"),
        (b"# only a comment\n", "r.yaml:1:1", "empty"),
        (b"a: 1\n\tb: 2\n", "r.yaml:2:1", "tab"),
        (b"a: 1\nb: \xff\n", "r.yaml:2:4", "0xff is not UTF-8"),
        (b"\x7fELF\0\0", "r.yaml:1:1", "U+007F"),
        (b"a: x\0y\n", "r.yaml:1:5", "U+0000"),
        (b"a: 1\n---\nb: 2\n", "r.yaml:2:1", "second document"),
        (b"a: b: c\n", "r.yaml:1:5", "not valid YAML"),
        (b"a: [1, 2\n", "r.yaml:1:9", "not valid YAML"),
        (b"a: *nowhere\n", "r.yaml:1:4", "undefined alias"),
        (b'a: "open\n', "r.yaml:1:9", "not valid YAML"),
        (b"a: &x [*x]\n", "r.yaml:1:4", "refers to what it stands in"),
    ],
)
def test_what_is_no_yaml_says_where_and_why(raw: bytes, place: str, words: str) -> None:
    problem = refusal(raw)
    assert words in problem.message
    assert str(problem.place).rsplit(":", 1)[0] == place.rsplit(":", 1)[0]
    assert str(problem.place) == place


def test_deep_nesting_is_refused_and_does_not_exhaust_the_stack() -> None:
    assert "nested deeper" in refusal(b"[" * 200 + b"]" * 200).message
    assert "nested deeper" in refusal(b"[" * 20_000 + b"]" * 20_000).message


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join(['*' + before] * 10)}]")
    assert "aliases expand" in refusal("\n".join(lines).encode()).message


def test_a_huge_file_is_refused_before_it_is_parsed() -> None:
    assert "bytes" in refusal(b"a" * (MAX_BYTES + 1)).message


_LIKE_YAML = st.text("ab:-[]{}&*!|>'\"#%@, \n\t0?\\~<", max_size=60).map(str.encode)


@given(st.one_of(st.binary(max_size=60), _LIKE_YAML))
def test_any_bytes_are_a_tree_or_a_refusal_with_a_place(raw: bytes) -> None:
    try:
        node, found = read_tree("r.yaml", raw)
    except RunbookError as error:
        found = list(error.problems)
        assert found
    else:
        node.plain()
    for problem in found:
        assert problem.place.line >= 1
        assert problem.place.column >= 1
        assert problem.render()
