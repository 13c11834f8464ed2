"""Answers: who may say what, once, and that none is lost."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.playbooks.support import ADA, BOB, START, Bench, Gate, act, ask, fails
from watchkeeper.playbooks import answers, runner, turn
from watchkeeper.playbooks.models import RunState
from watchkeeper.playbooks.questions import AnswerError, ForbiddenAnswerError
from watchkeeper.playbooks.starting import UnknownRunError


def test_the_same_answer_of_the_same_person_counts_once(bench: Bench) -> None:
    bench.go(ask("q"), act("a", needs="q"))
    assert bench.answer("q", "confirm") == "confirm for step q is taken"
    assert bench.answer("q", "confirm") == "confirm for step q is taken already"
    bench.look()
    assert bench.answer("q", "confirm") == "confirm for step q is taken already"
    assert bench.told().count("answered q") == 1
    assert bench.view().state is RunState.DONE


def test_another_answer_afterwards_is_told_what_was_said(bench: Bench) -> None:
    bench.go(ask("q"), ask("p"))
    bench.answer("q", "confirm")
    with pytest.raises(AnswerError, match=r"step q asks nothing: it is done, person:ada said confirm"):
        bench.answer("q", "skip", by=BOB)


@pytest.mark.parametrize(
    ("step", "verdict", "message"),
    [
        ("z", "confirm", "run r1 has no step 'z'; its steps are a, q, b"),
        ("a", "confirm", "step a asks nothing: it is done; the run asks about step q"),
        ("b", "confirm", "step b asks nothing: it is pending; the run asks about step q"),
        ("q", "retry", "step q takes confirm, skip, abort; retry does not fit"),
    ],
)
def test_an_answer_to_what_is_not_asked_is_told_what_is(
    bench: Bench, step: str, verdict: Any, message: str
) -> None:
    bench.go(act("a"), ask("q"), act("b"))
    before = bench.told()
    with pytest.raises(AnswerError, match=message):
        bench.answer(step, verdict)
    assert bench.told() == before


def test_a_run_that_is_not_there_or_over_takes_no_answer(bench: Bench) -> None:
    with bench.store.write() as conn, pytest.raises(UnknownRunError, match="there is no run 'nope'"):
        answers.answer(conn, START, "nope", "a", "confirm", ADA)
    bench.go(act("a"))
    with pytest.raises(AnswerError, match=r"run r1 is over \(done\)"):
        bench.answer("a", "confirm")


@pytest.mark.parametrize(
    ("needed", "role", "may"),
    [
        (None, "viewer", False),
        (None, "responder", True),
        ("viewer", "viewer", True),
        ("admin", "responder", False),
        ("admin", "admin", True),
        ("database team", "responder", False),
        ("database team", "admin", True),
        (None, "", False),
        (None, "stranger", False),
    ],
)
def test_an_answer_needs_the_role_of_its_step(bench: Bench, needed: str | None, role: str, may: bool) -> None:
    bench.go(ask("q", **({"role": needed} if needed else {})))
    if may:
        bench.answer("q", "confirm", role=role)
    else:
        with pytest.raises(ForbiddenAnswerError, match="needs the role"):
            bench.answer("q", "confirm", role=role)


def test_a_machine_is_not_one_of_two_people(bench: Bench) -> None:
    bench.go(ask("q", four_eyes=True))
    with pytest.raises(ForbiddenAnswerError, match="asks two people, and token:ci is none"):
        bench.answer("q", "confirm", by="token:ci")


def test_one_person_is_enough_to_say_no_after_another_said_yes(bench: Bench) -> None:
    bench.go(ask("q", four_eyes=True), act("a", needs="q"))
    bench.answer("q", "confirm")
    bench.answer("q", "skip", by=BOB)
    assert bench.look().state is RunState.DONE
    assert bench.states() == {"q": "skipped", "a": "skipped"}


def test_a_deadline_that_passed_lets_nobody_confirm_alone(bench: Bench) -> None:
    bench.go(ask("q", four_eyes=True, deadline="1m", on_failure="ask"), act("a", needs="q"))
    bench.later(61)
    with pytest.raises(AnswerError, match="step q takes skip, retry, abort; confirm does not fit"):
        bench.answer("q", "confirm")
    bench.answer("q", "retry")
    bench.look()
    bench.answer("q", "confirm")
    assert bench.look().state is RunState.WAITING
    bench.answer("q", "confirm", by=BOB)
    assert bench.look().state is RunState.DONE


def test_a_note_that_a_later_step_works_with_must_be_given(bench: Bench) -> None:
    bench.go(ask("q"), act("a", **{"with": {"node": "{{ steps.q.note }}"}}))
    with pytest.raises(AnswerError, match="step q needs a note: step a works with what it says"):
        bench.answer("q", "confirm")
    bench.answer("q", "confirm", note=" node-7 ")
    bench.look()
    assert bench.provider.calls[0].with_ == {"node": "node-7"}


def test_an_abort_answered_to_a_step_takes_the_run_back(bench: Bench) -> None:
    bench.go(act("a", undo="smoke.run"), ask("q"))
    assert bench.answer("q", "abort", note="no") == "abort for step q is taken"
    run = bench.look()
    assert (run.state, run.problem) == (RunState.ABORTED, "no")
    assert bench.answer("q", "abort") == "abort for step q is taken already"


def test_a_second_failure_may_be_answered_like_the_first(bench: Bench) -> None:
    bench.provider.does["a"] = fails(times=2)
    bench.go(act("a", on_failure="ask"))
    for _ in range(2):
        assert bench.answer("a", "retry") == "retry for step a is taken"
        assert bench.answer("a", "retry") == "retry for step a is taken already"
        bench.look()
    assert bench.view().state is RunState.DONE


def test_an_answer_that_comes_while_the_run_parks_is_not_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is given between the turn that asked and its thread's letting go of the run."""
    answered = threading.Event()
    take_turn = turn.take_turn

    def say() -> None:
        bench.answer("q", "confirm")
        answered.set()

    def slow(conn: Any, *given: Any, **more: Any) -> Any:
        task = take_turn(conn, *given, **more)
        if not answered.is_set():
            threading.Thread(target=say).start()
            answered.wait(0.3)  # it waits for our transaction
        return task

    monkeypatch.setattr(runner, "take_turn", slow)
    bench.start(ask("q"), act("a", needs="q"))
    bench.runner.look()
    assert answered.wait(10)
    assert bench.look().state is RunState.DONE


def test_an_answer_of_another_step_s_time_is_read_after_the_step_that_runs(bench: Bench) -> None:
    gate = Gate()
    bench.provider.does["b"] = gate
    bench.go(ask("q"), act("b", undo="smoke.run"), act("c"))
    bench.answer("q", "confirm")
    thread = threading.Thread(target=bench.runner.look)
    thread.start()
    assert gate.inside.wait(10)
    with pytest.raises(AnswerError, match="step b asks nothing: it is begun; the run asks nothing now"):
        bench.answer("b", "confirm")
    gate.opened.set()
    thread.join(10)
    assert bench.view().state is RunState.DONE


def test_an_answer_in_time_counts_although_it_is_read_after_the_deadline(bench: Bench) -> None:
    bench.go(ask("q", deadline="1m"))
    bench.clock.advance(59)
    bench.answer("q", "confirm")
    assert bench.later(10).state is RunState.DONE
