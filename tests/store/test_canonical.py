"""Canonical JSON: one text per value, nothing guessed at."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.store.canonical import canonical_json, storable

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_reading_back_and_writing_again_gives_the_same_text(value: Any) -> None:
    text = canonical_json(value)
    text.encode("utf-8")
    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(st.text(alphabet="abcde", min_size=1), st.integers(), min_size=2))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    backwards = dict(reversed(value.items()))
    assert canonical_json(value) == canonical_json(backwards)


def test_numbers_that_json_cannot_say_become_the_words_of_prometheus() -> None:
    assert canonical_json([math.nan, math.inf, -math.inf]) == '["NaN","+Inf","-Inf"]'


def test_times_become_utc_text_whatever_their_zone() -> None:
    there = datetime(2026, 1, 5, 4, 0, tzinfo=timezone(timedelta(hours=1)))
    assert canonical_json({"at": there}) == '{"at":"2026-01-05T03:00:00Z"}'
    assert canonical_json(datetime(2026, 1, 5, 3, 0, 0, 5, UTC)) == '"2026-01-05T03:00:00.000005Z"'


@pytest.mark.parametrize(
    ("value", "path"),
    [({"a": [1, {2}]}, "$.a[1]"), ({"a": b"x"}, "$.a"), ({1: 2}, "$"), (datetime(2026, 1, 5), "zone")],
)
def test_what_json_cannot_say_is_refused_by_its_path(value: Any, path: str) -> None:
    with pytest.raises(TypeError) as caught:
        canonical_json(value)
    assert path in str(caught.value)


@given(st.text(alphabet=st.characters()))
def test_storable_text_is_utf8_without_nul_and_otherwise_unchanged(text: str) -> None:
    kept = storable(text)
    assert "\0" not in kept
    kept.encode("utf-8")
    if "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text):
        assert kept == text


def test_a_lone_surrogate_becomes_the_replacement_character() -> None:
    assert storable("a\ud800b\0") == "a\ufffdb\ufffd"
