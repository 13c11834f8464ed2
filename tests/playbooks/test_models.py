"""Records of runs, through JSON and back."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tests.playbooks.support import ADA, START, act, playbook
from watchkeeper.playbooks.models import (
    Abort,
    Answer,
    PlaybookError,
    Progress,
    Record,
    Run,
    StepState,
    Target,
    answer_from_json,
    answer_json,
    progress_from_json,
    progress_json,
)
from watchkeeper.runbook.models.playbooks import Playbook
from watchkeeper.store.canonical import canonical_json


def test_everything_that_is_recorded_survives_json() -> None:
    answer = Answer("a", "confirm", ADA, "well", START)
    full = Record(
        state=StepState.WAITING,
        attempts=3,
        begun_at=START,
        ended_at=START + timedelta(microseconds=1),
        outputs={"n": [1, None]},
        summary="s",
        error="e",
        note="n",
        unsure=True,
        awaits="person",
        about="doubt",
        question="q",
        since=START,
        due_at=START,
        looked_at=START,
        answers=(answer,),
    )
    assert all(getattr(full, name) != getattr(Record(), name) for name in Record.__slots__)
    progress = Progress({"a": full, "b": Record()}, {"a": full}, Abort(ADA, "r", START))
    document = json.loads(canonical_json(progress_json(progress)))
    assert progress_from_json(document) == progress
    assert answer_from_json(json.loads(canonical_json(answer_json(answer)))) == answer


def test_a_playbook_survives_the_store() -> None:
    whole = playbook(
        [
            act("a", timeout="1h30m", undo={"action": "smoke.run", "with": {"x": 1}}, needs=[]),
            act("c", **{"with": {"x": None, "nested": {"y": None}}}, expect={"z": None}),
            {"id": "b", "manual": "Well?", "four_eyes": True, "deadline": "10m"},
        ],
        inputs={"who": {"title": "Who", "default": 3}},
    )
    document = json.loads(canonical_json(whole.model_dump(mode="json", by_alias=True, exclude_none=True)))
    assert Playbook.model_validate(document) == whole


def test_an_undo_is_a_step_with_the_input_of_its_step_unless_it_has_its_own() -> None:
    book = playbook(
        [
            act("a", **{"with": {"x": 1}}, undo="process.run", timeout="1h"),
            act("b", undo={"action": "smoke.run", "with": {"y": 2}}),
        ]
    )
    run = Run("r1", "book", book, {}, None, ADA, START)
    first, second = (run.spec(Target(name, undo=True)) for name in "ab")
    assert (first.verb, first.with_, first.on_failure) == ("process.run", {"x": 1}, "ask")
    assert first.timeout == book.steps[0].timeout
    assert second.with_ == {"y": 2}
    with pytest.raises(PlaybookError, match="no step 'z'"):
        run.spec(Target("z"))
