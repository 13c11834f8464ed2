"""Runs as the console reads them."""

from __future__ import annotations

from datetime import timedelta

from tests.playbooks.support import ADA, BOB, START, Bench, act, ask, fails
from watchkeeper.playbooks import reading
from watchkeeper.playbooks.models import RunState, StepState


def test_a_run_shows_its_steps_its_question_and_who_may_answer(bench: Bench) -> None:
    run = bench.go(
        act("a", title="First", undo="smoke.run"),
        ask("q", deadline="10m", role="admin", four_eyes=True),
        act("b", needs="q"),
    )
    assert (run.id, run.playbook, run.subject, run.started_by) == ("r1", "book", "incident:1", ADA)
    first, question, last = run.steps
    assert (first.words, first.state, first.has_undo, first.verdicts) == ("First", StepState.DONE, True, ())
    assert run.current == run.asking == question
    assert (question.role, question.four_eyes, question.due_at) == (
        "admin",
        True,
        START + timedelta(minutes=10),
    )
    assert question.verdicts == ("confirm", "skip", "abort")
    assert (last.state, last.current) == (StepState.PENDING, False)


def test_an_answer_counts_before_the_runner_has_read_it(bench: Bench) -> None:
    bench.go(ask("q", four_eyes=True))
    bench.answer("q", "confirm")
    question = bench.view().steps[0]
    assert (question.confirmed_by, question.state) == ((ADA,), StepState.WAITING)
    bench.answer("q", "confirm", by=BOB)
    assert bench.view().steps[0].state is StepState.DONE


def test_an_abort_shows_what_is_taken_back_in_its_order(bench: Bench) -> None:
    bench.go(act("a", undo="smoke.run"), act("b", undo="smoke.run"), ask("q"))
    bench.provider.does["b"] = fails("no way back")
    bench.abort("wrong one")
    run = bench.look()
    assert run.abort is not None
    assert (run.abort.reason, run.abort.by) == ("wrong one", ADA)
    assert [(step.id, step.state.value) for step in run.undos] == [("b", "waiting"), ("a", "pending")]
    assert run.current == run.undos[0]
    assert run.state is RunState.WAITING


def test_runs_are_listed_newest_first_by_what_they_are_for(bench: Bench) -> None:
    for number in range(3):
        bench.start(ask("q"), run_id=f"r{number}")
        bench.clock.advance(60)
    with bench.store.read() as conn:
        assert [one.id for one in reading.runs(conn)] == ["r2", "r1", "r0"]
        assert [one.id for one in reading.runs(conn, subject="incident:1", limit=1)] == ["r2"]
        assert reading.runs(conn, subject="incident:2") == []
        assert reading.runs(conn, playbook="other") == []
        assert len(reading.runs(conn, live=True)) == 3
        assert reading.run(conn, "nope") is None
