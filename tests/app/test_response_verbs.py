"""The step verbs of those who respond, carried out by a runner beside an incident."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.incidents.desk import ADA, Desk
from tests.playbooks.support import Bench
from watchkeeper.app.response_verbs import response_verbs
from watchkeeper.incidents import service
from watchkeeper.launches import changes
from watchkeeper.playbooks.models import RunState
from watchkeeper.store import outbox

UPDATE = {"id": "tell", "action": "incident.update", "with": {"audience": "internal"}}
RECENT = {"id": "see", "action": "changes.recent", "with": {"hours": 24, "service": "upload"}}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(tmp_path)
    with opened.store:
        yield opened


@pytest.fixture
def bench(desk: Desk) -> Bench:
    made = Bench(desk.store)
    made.providers.update(response_verbs(desk.store, desk.runbook))
    made.runner = made.another()
    return made


def test_an_update_goes_to_the_audience_in_the_words_of_the_incident(desk: Desk, bench: Bench) -> None:
    number = desk.open().id
    desk.do(service.describe, number, ADA, impact="Uploads fail for a third of all people")
    with desk.read() as conn:
        before = outbox.backlog(conn).get("mail", (0, None))[0]
    done = bench.go(UPDATE)
    assert done.state is RunState.DONE
    with desk.read() as conn:
        assert outbox.backlog(conn)["mail"][0] > before
    (update,) = desk.story(number).updates
    assert update.by == "playbook book"
    assert "Uploads fail for a third" in update.said["internal"]


@pytest.mark.parametrize(
    ("with_", "said"),
    [
        ({}, "nobody has said what customers feel"),
        (
            {"impact": "x", "audience": "martians"},
            "there is no audience 'martians'; the runbook has internal",
        ),
        ({"impact": "x", "status": "fine"}, "there is no status 'fine'; use investigating"),
        ({"impact": "x", "loud": True}, "unknown key 'loud'"),
    ],
)
def test_an_update_that_says_nothing_or_to_nobody_fails_with_a_sentence(
    desk: Desk, bench: Bench, with_: dict[str, object], said: str
) -> None:
    number = desk.open().id
    run = bench.go({"id": "tell", "action": "incident.update", "with": with_})
    assert run.state is RunState.FAILED
    assert said in (run.problem or "")
    assert desk.story(number).updates == ()


def test_without_an_incident_nothing_is_said(bench: Bench) -> None:
    assert "there is no incident 1" in (bench.go(UPDATE).problem or "")


def test_what_changed_is_listed_nearest_first(desk: Desk, bench: Bench) -> None:
    for key, title in (("d1", "1.41"), ("d2", "1.42")):
        with desk.store.write() as conn:
            at = bench.clock.now()
            told = changes.Change(key=key, kind="deploy", at=at, title=title, service="upload", by="ci")
            changes.record(conn, at, told, actor="token:ci")
        bench.clock.advance(60)
    done = bench.go(RECENT)
    (step,) = done.steps
    assert step.outputs["count"] == 2
    assert [one["title"] for one in step.outputs["changes"]] == ["1.42", "1.41"]
    assert "nearest: deploy 1.42, 1 min ago" in step.summary


def test_that_nothing_changed_is_an_answer_too(bench: Bench) -> None:
    (step,) = bench.go(RECENT).steps
    assert step.summary == "nothing of upload changed in the last 24 h"


@pytest.mark.parametrize("hours", [0, -1, True, "24", 10_000])
def test_hours_are_a_number_that_makes_sense(bench: Bench, hours: object) -> None:
    run = bench.go({"id": "see", "action": "changes.recent", "with": {"hours": hours}})
    assert "hours of `with` is a number above 0" in (run.problem or "")
