"""Secrets: read at the last moment, and masked wherever they come back."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.playbooks.support import Bench, act
from watchkeeper.playbooks.models import PlaybookError, RunState
from watchkeeper.playbooks.ports import Context, Outcome, StepFailed
from watchkeeper.playbooks.secrets import MASK, Revealed
from watchkeeper.playbooks.templates import SecretPlace

SECRET = 'pa"ss/wörd 1'


def _revealed(value: str, folder: Path = Path("/")) -> Revealed:
    return Revealed({"key": SecretPlace("env", "TOKEN")}, {"TOKEN": value}, folder)


def test_a_secret_is_read_from_its_place(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from a file\n")
    given = {"a": SecretPlace("env", "TOKEN"), "b": [SecretPlace("file", "key")]}
    assert Revealed(given, {"TOKEN": "x"}, tmp_path).value == {"a": "x", "b": ["from a file"]}


def test_a_secret_that_is_not_there_is_named_by_its_place() -> None:
    with pytest.raises(PlaybookError, match="environment variable TOKEN is empty or not set"):
        Revealed(SecretPlace("env", "TOKEN"), {}, Path("/"))


@given(st.text(min_size=4, max_size=30).filter(lambda text: text.strip() and len(text.strip()) >= 4))
def test_no_form_of_a_secret_is_left(secret: str) -> None:
    masked = _revealed(secret).masked
    for form in (
        f"x{secret}y",
        quote(secret, safe=""),
        base64.b64encode(secret.encode()).decode(),
        json.dumps({"k": secret}),
        repr([secret]),
    ):
        found = masked({"out": [form]})["out"][0]
        assert secret not in found or secret in MASK or secret in "x[secret]y{}'\": k"


def test_a_number_that_is_a_secret_is_masked_and_other_values_stay() -> None:
    masked = _revealed("123456").masked
    assert masked({"a": 123456, "b": 12, "c": True, "d": None}) == {"a": MASK, "b": 12, "c": True, "d": None}


def test_lines_of_a_secret_are_secret() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----"
    assert _revealed(key).masked("line: kqhkiG9w0BAQEF") == f"line: {MASK}"


@pytest.mark.parametrize("how", ["outputs", "summary", "failure", "defect", "expectation"])
def test_a_provider_is_given_the_secret_and_nothing_that_is_recorded_has_it(
    bench: Bench, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench.environ["TOKEN"] = SECRET
    seen: list[Any] = []

    def leak(context: Context) -> Outcome:
        seen.append(context.with_["key"])
        words = f"sent {context.with_['key']}"
        match how:
            case "failure":
                raise StepFailed(words, {"sent": words})
            case "defect":
                raise ValueError(words)
            case "summary":
                return Outcome({}, words)
        return Outcome({"sent": words, "list": [{"k": words}]}, "")

    bench.provider.does["a"] = leak
    more = {"expect": {"sent": "ok"}} if how == "expectation" else {}
    run = bench.go(act("a", **{"with": {"key": {"env": "TOKEN"}}}, **more))
    assert seen == [SECRET]
    recorded = json.dumps(
        [repr(run), [[entry.facts, entry.subject] for entry in bench.journal()]], ensure_ascii=False
    )
    for form in (SECRET, json.dumps(SECRET)[1:-1], json.dumps(SECRET, ensure_ascii=False)[1:-1]):
        assert form not in recorded
        assert form not in caplog.text
    assert MASK in recorded


def test_a_missing_secret_fails_the_step_before_anything_is_done(bench: Bench) -> None:
    run = bench.go(act("a", **{"with": {"key": {"env": "NOPE"}}}))
    assert run.state is RunState.FAILED
    assert run.steps[0].error == "the secret in environment variable NOPE is empty or not set"
    assert bench.provider.calls == []
