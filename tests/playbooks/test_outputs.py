"""Outputs are kept within bounds, and say so."""

from __future__ import annotations

from datetime import UTC, datetime

from watchkeeper.playbooks.outputs import bounded, parsed
from watchkeeper.store.canonical import canonical_json


def test_small_outputs_stay_as_they_are() -> None:
    assert bounded({"a": 1, "b": ["x"], "c": float("nan")}) == {"a": 1, "b": ["x"], "c": "NaN"}
    assert bounded({"at": datetime(2026, 1, 1, tzinfo=UTC)}) == {"at": "2026-01-01T00:00:00Z"}


def test_long_texts_keep_their_ends() -> None:
    found = bounded({"stdout": "head " + "x" * 500_000 + " tail", "exit_code": 0})
    assert len(canonical_json(found)) <= 64 << 10
    assert found["exit_code"] == 0
    assert found["stdout"].startswith("head ")
    assert found["stdout"].endswith(" tail")
    assert "characters left out" in found["stdout"]


def test_what_is_too_much_or_no_json_is_left_out_and_says_so() -> None:
    assert "bytes; at most" in bounded({"list": list(range(100_000))})["left_out"]
    assert "cannot be kept" in bounded({"x": object()})["left_out"]


def test_json_in_a_text_is_found() -> None:
    assert parsed(' {"a": 1}\n') == {"a": 1}
    assert parsed("[1]") == {"json": [1]}
    assert parsed("3") == parsed("{not json") == parsed("") == parsed("[" * 100_000) == {}
