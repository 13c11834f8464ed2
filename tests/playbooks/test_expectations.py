"""What is expected against what was measured."""

from __future__ import annotations

from typing import Any

import pytest

from watchkeeper.playbooks.expectations import unmet

OUTPUTS = {
    "errors": 0,
    "lag": 12.5,
    "text": "3",
    "ready": True,
    "name": "primary",
    "nested": {"a": {"b": 2}},
    "dotted.name": 1,
    "nan": "NaN",
    "none": None,
    "list": [1, 2],
}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("errors", 0),
        ("errors", "0"),
        ("errors", "== 0"),
        ("lag", ">= 12.5"),
        ("lag", "< 30s"),
        ("lag", "<1m"),
        ("text", 3),
        ("text", "> 2"),
        ("ready", True),
        ("ready", "== true"),
        ("name", "primary"),
        ("name", "!= replica"),
        ("nested.a.b", 2),
        ("dotted.name", 1),
        ("list", [1, 2]),
        ("none", None),
        ("lag", "< 2000%"),
    ],
)
def test_met(name: str, wanted: Any) -> None:
    if (name, wanted) == ("errors", "0"):
        assert unmet({name: wanted}, OUTPUTS)  # a text is compared as one
        return
    assert unmet({name: wanted}, OUTPUTS) == []


@pytest.mark.parametrize(
    ("name", "wanted", "sentence"),
    [
        ("errors", 1, "errors is 0, expected 1"),
        ("lag", "< 10s", "lag is 12.5, expected < 10s"),
        ("ready", 1, "ready is true, expected 1"),
        ("errors", False, "errors is 0, expected false"),
        ("name", "> 1", 'name is "primary", expected > 1'),
        ("nan", ">= 0", 'nan is "NaN", expected >= 0'),
        ("none", "< 5", "none is null, expected < 5"),
        ("name", "replica", 'name is "primary", expected "replica"'),
        ("lag", "> many", "lag is 12.5, expected > many"),
    ],
)
def test_unmet_says_what_was_measured(name: str, wanted: Any, sentence: str) -> None:
    assert unmet({name: wanted}, OUTPUTS) == [sentence]


def test_what_was_not_measured_is_not_met() -> None:
    assert unmet({"nested.a.c": "!= 1"}, {"nested": {}, "x": 1}) == [
        'nested.a.c was not measured (expected "!= 1"; measured: nested, x)'
    ]
    assert unmet({"a": 1, "b": 2}, {"a": 2, "b": 3}) == ["a is 2, expected 1", "b is 3, expected 2"]
