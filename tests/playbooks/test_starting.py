"""Starting and aborting runs."""

from __future__ import annotations

import pytest

from tests.playbooks.support import ADA, START, Bench, act, ask, playbook, runbook
from watchkeeper.playbooks import starting
from watchkeeper.playbooks.models import RunState
from watchkeeper.playbooks.questions import AnswerError
from watchkeeper.playbooks.starting import StartError, UnknownRunError

BOOK = runbook(
    book=playbook([act("a")], inputs={"who": {"title": "Who"}}),
    other=playbook([act("a")]),
    broken=playbook([act("a", **{"with": {"x": "{{ inputs.nope }}"}})]),
)


def _start(bench: Bench, name: str = "other", run_id: str | None = None, **inputs: object) -> str:
    with bench.store.write() as conn:
        return starting.start(conn, START, BOOK, name, inputs, ADA, None, run_id)


def test_a_run_is_named_for_its_playbook_and_moment_and_never_twice(bench: Bench) -> None:
    assert [_start(bench) for _ in range(3)] == [
        "other-20260302T030000Z",
        "other-20260302T030000Z-2",
        "other-20260302T030000Z-3",
    ]


def test_a_run_with_an_id_starts_once(bench: Bench) -> None:
    assert _start(bench, run_id="r1") == _start(bench, run_id="r1") == "r1"
    assert bench.told() == ["started"]
    with pytest.raises(StartError, match="run r1 exists and is of playbook other, not of book"):
        _start(bench, "book", "r1", who="x")
    bench.look()
    _start(bench, run_id="r1")
    assert bench.look().state is RunState.DONE
    assert len(bench.provider.calls) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nope", "there is no playbook 'nope'; there is book, broken, other"),
        ("book", "needs who"),
        ("broken", "step a: the run's inputs have no nope"),
    ],
)
def test_what_cannot_run_is_refused_and_nothing_is_written(bench: Bench, name: str, message: str) -> None:
    with pytest.raises(StartError, match=message):
        _start(bench, name, "r1")
    assert bench.journal() == []


@pytest.mark.parametrize("run_id", ["", "a b", "a\nb", "ä", "x" * 201])
def test_an_id_that_no_header_could_carry_is_refused(bench: Bench, run_id: str) -> None:
    with pytest.raises(StartError, match="printable ASCII"):
        _start(bench, run_id=run_id)


def test_a_run_keeps_the_playbook_as_it_was_when_it_began(bench: Bench) -> None:
    bench.go(ask("q"), act("a"))
    bench.runner = bench.another()
    bench.answer("q", "confirm")
    assert bench.look().state is RunState.DONE
    assert len(bench.view().definition_hash) == 64


def test_an_abort_needs_a_reason_and_a_run_that_is_not_over(bench: Bench) -> None:
    bench.go(ask("q"))
    with pytest.raises(AnswerError, match="needs a reason"):
        bench.abort("  ")
    assert bench.abort()
    assert not bench.abort()
    assert bench.look().state is RunState.ABORTED
    assert not bench.abort()
    bench.start(act("a"), run_id="r2")
    bench.look()
    with bench.store.write() as conn:
        with pytest.raises(AnswerError, match="run r2 is over"):
            starting.abort(conn, START, "r2", ADA, "late")
        with pytest.raises(UnknownRunError):
            starting.abort(conn, START, "nope", ADA, "late")
