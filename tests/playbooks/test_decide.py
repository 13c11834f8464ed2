"""What comes next, told move by move. Pure: no store, no thread, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.playbooks.support import ADA, START, act, ask, playbook
from watchkeeper.playbooks import progress
from watchkeeper.playbooks.decide import (
    MOST_DOUBTS,
    Able,
    Ask,
    Begin,
    Check,
    Elapsed,
    End,
    Fail,
    Look,
    Move,
    Park,
    Rewind,
    Skip,
    Sleep,
    TakeBack,
    decide,
    spoken,
)
from watchkeeper.playbooks.models import Answer, Record, Run, RunState, StepState, Target
from watchkeeper.playbooks.progress import Checked, Failed, Succeeded

ABLE = {"smoke.run": Able(), "smoke.check": Able(checks=True)}
A, B = Target("a"), Target("b")


def run_of(*steps: Mapping[str, Any], **more: Any) -> Run:
    return Run("r1", "book", playbook(steps), more.pop("inputs", {}), None, ADA, START)


def having(run: Run, **records: Record) -> Run:
    for name, record in records.items():
        run = run.put(Target(name), record)
    return run


def seen(run: Run, now: datetime = START, able: Mapping[str, Able] = ABLE) -> Move:
    return decide(run, now, able)


BEGUN = Record(StepState.BEGUN, attempts=1, begun_at=START)


def test_the_first_unsettled_step_is_begun_with_its_key() -> None:
    move = seen(having(run_of(act("a"), act("b")), a=Record(StepState.DONE)))
    assert isinstance(move, Begin)
    assert (move.target, move.work.key, move.work.timeout) == (B, "r1/b", timedelta(minutes=10))


def test_a_step_whose_need_is_not_met_is_skipped_and_says_which() -> None:
    for state, words in ((StepState.SKIPPED, "was skipped"), (StepState.FAILED, "failed")):
        run = having(run_of(act("a", on_failure="continue"), act("b", needs="a")), a=Record(state))
        assert seen(run) == Skip(B, f"it needs step a, which {words}")


@pytest.mark.parametrize(
    ("doubt", "move"),
    [("retry", Begin), ("ask", Ask), (None, Ask), ("probe", Ask)],
)
def test_what_was_begun_and_not_ended_is_treated_as_the_step_says(doubt: str | None, move: type) -> None:
    more = {"on_doubt": doubt} if doubt else {}
    assert isinstance(seen(having(run_of(act("a", **more)), a=BEGUN)), move)


def test_a_probe_in_doubt_is_measured_again() -> None:
    step = {"id": "a", "probe": "smoke.run", "expect": {"errors": 0}}
    assert isinstance(seen(having(run_of(step), a=BEGUN)), Begin)


def test_a_doubt_is_checked_where_that_is_possible_and_settled_by_what_is_found() -> None:
    run = having(run_of({"id": "a", "action": "smoke.check", "on_doubt": "probe"}), a=BEGUN)
    move = seen(run)
    assert isinstance(move, Check)
    run = progress.applied(run, move, START)
    assert isinstance(seen(run), Check)  # killed while it checked: it checks again
    happened = progress.ended(run, Checked(A, "happened"), START)
    assert happened.record(A).state is StepState.DONE
    again = progress.ended(run, Checked(A, "did not happen"), START)
    assert isinstance(seen(again), Begin)
    unknown = progress.ended(run, Checked(A, "unknown", "no network"), START)
    assert seen(unknown) == Park(None)
    assert "no network" in unknown.record(A).question


def test_an_effect_that_is_written_with_its_record_is_never_in_doubt() -> None:
    run = having(run_of(act("a", on_doubt="ask")), a=BEGUN)
    assert isinstance(seen(run, able={"smoke.run": Able(atomic=True)}), Begin)


def test_a_step_that_keeps_killing_its_process_is_asked_about_in_the_end() -> None:
    run = run_of(act("a", on_doubt="retry"))
    assert isinstance(seen(having(run, a=replace(BEGUN, attempts=MOST_DOUBTS - 1))), Begin)
    assert isinstance(seen(having(run, a=replace(BEGUN, attempts=MOST_DOUBTS))), Ask)


def test_a_verb_that_is_gone_since_it_was_begun_is_asked_about() -> None:
    assert isinstance(seen(having(run_of(act("a", on_doubt="retry")), a=BEGUN), able={}), Ask)


@pytest.mark.parametrize(
    ("on_failure", "move"),
    [
        ("stop", End(RunState.FAILED, "step a failed: it broke")),
        ("continue", End(RunState.DONE, "step a failed: it broke")),
        ("abort", TakeBack("component:playbooks", "step a failed: it broke")),
        ("ask", Ask(A, "failure", "action: smoke.run: it broke")),
    ],
)
def test_a_failure_leads_where_the_step_says(on_failure: str, move: Move) -> None:
    failed = Record(StepState.FAILED, error="it broke")
    assert seen(having(run_of(act("a", on_failure=on_failure)), a=failed)) == move


def test_a_deadline_is_kept_from_the_moment_of_the_question() -> None:
    run = run_of(ask("a", deadline="10m"))
    move = seen(run)
    assert move == Ask(A, "manual", "Is a well?", START + timedelta(minutes=10))
    assert isinstance(move, Ask)
    run = progress.applied(run, move, START)
    assert seen(run, START + timedelta(seconds=599)) == Park(START + timedelta(minutes=10))
    assert seen(run, START + timedelta(minutes=10)) == Fail(A, "nobody answered within 10 minutes")


def test_a_clock_that_was_set_back_gives_the_whole_time_again_and_no_more() -> None:
    run = run_of(ask("a", deadline="10m"))
    move = seen(run)
    assert isinstance(move, Ask)
    run = progress.applied(run, move, START)
    back = START - timedelta(hours=5)
    assert seen(run, back) == Rewind(A)
    run = progress.applied(run, Rewind(A), back)
    assert seen(run, back) == Park(back + timedelta(minutes=10))


def test_a_timer_sleeps_and_elapses_and_a_span_that_is_none_fails() -> None:
    run = run_of(
        {"id": "a", "action": "time.sleep", "with": {"for": "{{ inputs.span }}"}}, inputs={"span": "5m"}
    )
    move = seen(run)
    assert move == Sleep(A, START + timedelta(minutes=5))
    run = progress.applied(run, move, START)
    assert seen(run, START + timedelta(minutes=5)) == Elapsed(A)
    wrong = seen(run_of({"id": "a", "action": "time.sleep", "with": {"for": 5}}))
    assert isinstance(wrong, Fail)
    assert "time.sleep needs `for`" in wrong.error


def test_a_template_that_leads_nowhere_fails_its_step() -> None:
    move = seen(run_of(act("a", **{"with": {"x": "{{ inputs.nope }}"}})))
    assert isinstance(move, Fail)
    assert "the run's inputs have no nope" in move.error


def test_while_a_run_is_taken_back_nothing_but_undo_is_begun() -> None:
    run = run_of(act("a", undo="smoke.run"), act("b", undo="smoke.run"), act("c"))
    run = having(run, a=Record(StepState.DONE), b=BEGUN)
    run = progress.aborted(run, ADA, "wrong", START)
    assert run.record(B).state is StepState.FAILED
    moves = []
    while not isinstance(move := seen(run), End):
        assert isinstance(move, Begin)
        moves.append(move.target)
        run = progress.ended(progress.applied(run, move, START), Succeeded(move.target), START)
    assert moves == [Target("b", undo=True), Target("a", undo=True)]
    assert move == End(RunState.ABORTED, "wrong")


def test_an_undo_in_doubt_is_treated_like_its_step() -> None:
    run = having(run_of(act("a", undo="smoke.run", on_doubt="retry")), a=Record(StepState.DONE))
    run = progress.aborted(run, ADA, "wrong", START)
    move = seen(run)
    assert isinstance(move, Begin)
    run = progress.applied(run, move, START)
    assert isinstance(seen(run), Begin)


def test_after_a_wait_a_look_is_due_every_five_seconds_and_once_after_the_end() -> None:
    run = run_of({"id": "a", "wait": "smoke.run", "timeout": "12s"})
    looks = []
    for second in range(40):
        now = START + timedelta(seconds=second)
        move = seen(run, now)
        if isinstance(move, Look):
            looks.append(second)
            run = progress.ended(progress.applied(run, move, now), progress.NotYet(A, "not so"), now)
        elif isinstance(move, Fail):
            break
    assert looks == [0, 5, 10, 12]
    assert second == 13


def test_what_a_person_said_in_doubt_to_skip_did_not_happen_and_is_not_taken_back() -> None:
    run = having(run_of(act("a", undo="smoke.run"), ask("b")), a=BEGUN)
    move = seen(run)
    assert isinstance(move, Ask)
    run = progress.applied(run, move, START)
    skipped = progress.answered(run, Answer("a", "skip", ADA, "", START), START)
    assert progress.aborted(skipped, ADA, "x", START).undoable == ()
    confirmed = progress.answered(run, Answer("a", "confirm", ADA, "", START), START)
    assert progress.aborted(confirmed, ADA, "x", START).undoable == (Target("a", undo=True),)
    aborted = progress.answered(run, Answer("a", "abort", ADA, "", START), START)
    assert aborted.undoable == (Target("a", undo=True),)


def test_a_failure_that_may_have_happened_stays_so_when_it_is_skipped() -> None:
    run = having(run_of(act("a", undo="smoke.run", on_failure="ask")), a=BEGUN)
    run = progress.ended(run, Failed(A, "too slow", unsure=True), START)
    move = seen(run)
    assert isinstance(move, Ask)
    run = progress.applied(run, move, START)
    run = progress.answered(run, Answer("a", "skip", ADA, "", START), START)
    assert run.undoable == (Target("a", undo=True),)


def test_spans_are_spoken() -> None:
    assert [spoken(timedelta(seconds=s)) for s in (0, 60, 5400, 90061)] == [
        "0 seconds",
        "1 minute",
        "1 hour 30 minutes",
        "1 day 1 hour 1 minute 1 second",
    ]
