"""What the default playbooks promise: nothing happens after a no, and all that is said is done."""

from __future__ import annotations

import pytest

from tests.runbook.documents import read
from watchkeeper.runbook.loading import default_text
from watchkeeper.runbook.verbs import VERBS

PLAYBOOKS = read(default_text()).runbook.playbooks


@pytest.mark.parametrize(
    ("playbook", "action", "question"),
    [
        ("api-errors", "rollback", "decide"),
        ("api-errors", "scale", "saturated"),
        ("database-pressure", "partitions", "approve"),
        ("infrastructure-health", "drain", "choose"),
        ("infrastructure-health", "uncordon", "drain"),
    ],
)
def test_an_action_that_was_asked_about_needs_the_answer(playbook: str, action: str, question: str) -> None:
    step = PLAYBOOKS[playbook].step(action)
    assert step is not None
    assert step.needs == (question,)


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_the_outline_covers_every_step_once_and_in_order(name: str) -> None:
    playbook = PLAYBOOKS[name]
    if playbook.outline:
        assert [step for line in playbook.outline for step in line.steps] == [
            step.id for step in playbook.steps
        ]


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_every_action_that_changes_something_has_an_end(name: str) -> None:
    for step in PLAYBOOKS[name].steps:
        assert step.verb is None or step.verb in VERBS
        if step.kind in ("probe", "wait"):
            assert step.timeout is not None, step.id
        if step.kind == "manual":
            assert step.deadline is not None, step.id


def test_dropping_partitions_needs_two_people() -> None:
    playbook = PLAYBOOKS["database-pressure"]
    drop, approve = playbook.step("partitions"), playbook.step("approve")
    assert drop is not None
    assert approve is not None
    assert drop.needs == ("approve",)
    assert approve.four_eyes
