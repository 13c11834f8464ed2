"""The runner, step by step, under a clock that stands still."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import update

from tests.playbooks.support import ADA, BOB, Bench, Gate, act, ask, fails
from watchkeeper.playbooks import rows
from watchkeeper.playbooks.models import RunState
from watchkeeper.playbooks.ports import Context, Outcome
from watchkeeper.playbooks.runner import Runner
from watchkeeper.store.models import runs


def test_steps_run_in_order_and_each_is_journaled_at_its_begin_and_its_end(bench: Bench) -> None:
    run = bench.go(act("a"), act("b"))
    assert run.state is RunState.DONE
    assert bench.provider.steps == ["a", "b"]
    assert bench.told() == [
        "started",
        "step_begun a",
        "step_ended a",
        "step_begun b",
        "step_ended b",
        "ended",
    ]
    assert [entry.facts["for"] for entry in bench.journal()] == ["incident:1"] * 6
    assert run.ended_at == bench.clock.now()


def test_a_step_is_given_its_inputs_the_outputs_before_it_and_a_key_of_its_own(bench: Bench) -> None:
    bench.provider.does["a"] = lambda _: Outcome({"count": 3, "name": "x"}, "")
    bench.go(
        act("a"),
        act(
            "b", **{"with": {"n": "{{ steps.a.output.count }}", "s": "{{ inputs.who }}: {{ steps.a.name }}"}}
        ),
        act("c", idempotency="order-{{ inputs.who }}"),
        inputs={"who": {"title": "Who"}},
        given={"who": "ada"},
    )
    second, third = bench.provider.calls[1:]
    assert second.with_ == {"n": 3, "s": "ada: x"}
    assert (second.key, third.key) == ("r1/b", "order-ada")


def test_a_probe_that_is_not_as_expected_fails_and_says_what_was_measured(bench: Bench) -> None:
    bench.provider.does["p"] = lambda _: Outcome({"errors": 3}, "")
    run = bench.go({"id": "p", "probe": "smoke.run", "expect": {"errors": 0}}, act("b"))
    assert run.state is RunState.FAILED
    assert run.problem == "step p failed: errors is 3, expected 0"
    assert run.steps[0].outputs == {"errors": 3}
    assert bench.states() == {"p": "failed", "b": "pending"}


def test_a_failed_step_stops_the_run_or_not_as_it_says(bench: Bench) -> None:
    bench.provider.does["a"] = fails()
    run = bench.go(act("a", on_failure="continue"), act("b", needs="a"), act("c"))
    assert run.state is RunState.DONE
    assert bench.states() == {"a": "failed", "b": "skipped", "c": "done"}
    assert run.problem == "step a failed: it broke"
    assert run.steps[1].summary == "it needs step a, which failed"


def test_an_abort_takes_back_what_happened_last_first_with_the_input_of_the_step(bench: Bench) -> None:
    bench.provider.does["c"] = fails()
    undo = {"undo": "smoke.run"}
    run = bench.go(
        act("a", **undo, **{"with": {"n": 1}}),
        act("b", undo={"action": "smoke.run", "with": {"n": 2}}),
        act("c", on_failure="abort", **undo),
        act("d", **undo),
    )
    assert run.state is RunState.ABORTED
    assert bench.provider.steps == ["a", "b", "c", "b", "a"]
    assert [call.with_ for call in bench.provider.calls[3:]] == [{"n": 2}, {"n": 1}]
    assert [call.key for call in bench.provider.calls[3:]] == ["r1/b/undo", "r1/a/undo"]
    assert bench.states() == {"a": "undone", "b": "undone", "c": "failed", "d": "pending"}


def test_what_timed_out_may_have_happened_and_is_taken_back_too(bench: Bench) -> None:
    bench.provider.does["a"] = fails("too slow", 1, unsure=True)
    run = bench.go(act("a", undo="smoke.run", on_failure="abort"))
    assert run.state is RunState.ABORTED
    assert bench.provider.steps == ["a", "a"]


def test_an_action_that_is_not_as_expected_has_happened_and_is_taken_back(bench: Bench) -> None:
    bench.provider.does["a"] = lambda _: Outcome({"replicas": 1}, "")
    run = bench.go(act("a", undo="smoke.run", expect={"replicas": 3}, on_failure="abort"))
    assert run.problem == "step a failed: replicas is 1, expected 3"
    assert bench.provider.steps == ["a", "a"]


def test_a_failed_undo_asks_and_goes_on_as_it_is_told(bench: Bench) -> None:
    bench.provider.does["a"] = lambda context: (
        fails("no way back")(context) if len(bench.provider.calls) == 3 else Outcome({}, "")
    )
    bench.provider.does["b"] = fails()
    run = bench.go(act("a", undo="smoke.run"), act("b", on_failure="abort"))
    assert run.state is RunState.WAITING
    assert run.asking is not None
    assert (run.asking.id, run.asking.undo, run.asking.verdicts) == ("a", True, ("confirm", "skip", "retry"))
    bench.answer("a", "retry")
    assert bench.look().state is RunState.ABORTED
    assert bench.states()["a"] == "undone"


def test_a_manual_step_parks_the_run_without_holding_it_until_somebody_answers(bench: Bench) -> None:
    run = bench.go(ask("q", deadline="10m"), act("a", needs="q"))
    assert (run.state, run.held, run.due_at) == (RunState.WAITING, False, bench.view().steps[0].due_at)
    assert run.problem == "Is q well?"
    assert bench.later(599).state is RunState.WAITING
    bench.answer("q", "confirm", note="looks fine")
    run = bench.look()
    assert run.state is RunState.DONE
    assert run.steps[0].note == "looks fine"
    assert bench.told()[1:4] == ["step_asked q", "answered q", "step_ended q"]


def test_a_no_skips_what_needs_it_and_the_run_goes_on(bench: Bench) -> None:
    bench.go(ask("q"), act("a", needs="q"), act("b"))
    bench.answer("q", "skip")
    assert bench.look().state is RunState.DONE
    assert bench.states() == {"q": "skipped", "a": "skipped", "b": "done"}


def test_a_deadline_that_passes_is_a_failure(bench: Bench) -> None:
    bench.go(ask("q", deadline="10m", on_failure="continue"), act("a", needs="q"), act("b"))
    run = bench.later(600)
    assert run.state is RunState.DONE
    assert run.steps[0].error == "nobody answered within 10 minutes"
    assert bench.provider.steps == ["b"]


def test_after_a_failure_that_asks_a_person_says_what_becomes_of_it(bench: Bench) -> None:
    bench.provider.does["a"] = fails(times=2)
    run = bench.go(act("a", on_failure="ask"), act("b", needs="a"))
    assert run.asking is not None
    assert (run.asking.about, run.asking.error) == ("failure", "it broke")
    bench.answer("a", "retry")
    assert bench.look().state is RunState.WAITING
    bench.answer("a", "retry", by=BOB)
    assert bench.look().state is RunState.DONE
    assert [call.attempt for call in bench.provider.calls] == [1, 2, 3, 1]
    assert len({call.key for call in bench.provider.calls[:3]}) == 1


@pytest.mark.parametrize("kind", ["action", "probe", "wait"])
def test_a_verb_that_nothing_carries_out_becomes_a_question_and_never_a_pretence(
    bench: Bench, kind: str
) -> None:
    more = {"expect": {"ready": True}} if kind == "probe" else {"timeout": "5m"} if kind == "wait" else {}
    run = bench.go({"id": "s", kind: "kubernetes.scale", "with": {"by": 2}, **more}, act("b", needs="s"))
    assert run.state is RunState.WAITING
    assert run.asking is not None
    assert run.asking.question.startswith("nothing carries out kubernetes.scale here yet: ")
    assert '{"by": 2}' in run.asking.question
    bench.answer("s", "confirm")
    assert bench.look().state is RunState.DONE
    assert bench.view().steps[0].summary == "confirmed by ada"


def test_a_wait_looks_every_few_seconds_without_holding_the_run(bench: Bench) -> None:
    bench.provider.does["w"] = fails("p95 is 2 s", times=3)
    run = bench.go({"id": "w", "wait": "smoke.run", "timeout": "1m"}, act("b"))
    assert (run.state, run.held) == (RunState.WAITING, False)
    assert bench.later(4).state is RunState.WAITING
    assert len(bench.provider.calls) == 1
    for _ in range(3):
        run = bench.later(5)
    assert run.state is RunState.DONE
    assert bench.provider.steps == ["w"] * 4 + ["b"]
    assert bench.told().count("step_begun w") == 1


def test_a_wait_that_ends_in_vain_tells_what_was_seen_at_last(bench: Bench) -> None:
    bench.provider.does["w"] = fails("p95 is 2 s")
    bench.go({"id": "w", "wait": "smoke.run", "timeout": "1m"})
    run = bench.later(300)  # nobody looked meanwhile: it is looked at once more
    assert len(bench.provider.calls) == 2
    assert run.state is RunState.FAILED
    assert run.steps[0].error == "it was not so within 1 minute; at last: p95 is 2 s"


def test_sleep_is_a_timer_that_survives_the_runner(bench: Bench) -> None:
    run = bench.go({"id": "z", "action": "time.sleep", "with": {"for": "10m"}}, act("b"))
    assert (run.state, run.held) == (RunState.WAITING, False)
    bench.runner = bench.another()
    assert bench.later(599).state is RunState.WAITING
    assert bench.later(1).state is RunState.DONE


def test_a_clock_that_was_set_back_makes_nobody_wait_until_it_has_caught_up(bench: Bench) -> None:
    bench.go({"id": "z", "action": "time.sleep", "with": {"for": "10m"}})
    bench.clock.jump(-7200)
    assert bench.look().state is RunState.WAITING
    assert bench.later(600).state is RunState.DONE


def test_a_run_that_is_due_is_found_after_the_clock_was_set_back(bench: Bench) -> None:
    bench.start(act("a"))
    bench.clock.jump(-7200)
    assert bench.look().state is RunState.DONE


def test_an_abort_stops_the_step_that_is_under_way_and_takes_it_back(bench: Bench) -> None:
    gate = Gate()

    def hold(context: Context) -> Outcome:
        if not context.key.endswith("/undo"):
            return gate(context)
        bench.runner.beat()
        assert not context.cancelled  # what takes it back is not stopped by the abort
        return Outcome()

    bench.provider.does["a"] = hold
    bench.start(act("a", undo="smoke.run"), act("b"))
    thread = threading.Thread(target=bench.runner.look)
    thread.start()
    assert gate.inside.wait(10)
    assert bench.abort()
    assert not bench.abort()
    bench.runner.beat()
    thread.join(10)
    run = bench.view()
    assert run.state is RunState.ABORTED
    assert bench.states() == {"a": "undone", "b": "pending"}
    assert run.problem == "wrong one"


def test_of_two_runners_one_carries_a_run_out(bench: Bench) -> None:
    for number in range(10):
        bench.start(act("a"), act("b"), run_id=f"r{number}")
    others = [bench.another() for _ in range(4)]
    threads = [threading.Thread(target=other.look) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    keys = [call.key for call in bench.provider.calls]
    assert sorted(keys) == sorted(f"r{n}/{step}" for n in range(10) for step in "ab")
    assert len(bench.told()) == 6


def test_a_lease_that_was_lost_stops_the_step_and_nothing_of_it_is_recorded(bench: Bench) -> None:
    gate = Gate()
    bench.provider.does["a"] = gate
    bench.start(act("a", on_doubt="ask"))
    thread = threading.Thread(target=bench.runner.look)
    thread.start()
    assert gate.inside.wait(10)
    with bench.store.write() as conn:
        conn.execute(update(runs).values(epoch=runs.c.epoch + 1, owner="another"))
    bench.clock.advance(6)
    bench.runner.beat()
    thread.join(10)
    assert not thread.is_alive()
    assert bench.told() == ["started", "step_begun a"]


def test_a_living_lease_is_not_taken_however_the_clocks_jump(bench: Bench) -> None:
    gate = Gate()
    bench.provider.does["a"] = gate
    bench.start(act("a"))
    thread = threading.Thread(target=bench.runner.look)
    thread.start()
    assert gate.inside.wait(10)
    other = bench.another()
    for jump in (86400.0, -86400.0, -3600.0, 7200.0):
        bench.clock.jump(jump)
        for _ in range(5):
            bench.clock.advance(6)
            bench.runner.beat()
            assert other.look() == 0
    gate.opened.set()
    thread.join(10)
    assert bench.provider.steps == ["a"]
    assert bench.view().state is RunState.DONE


def test_a_lease_that_nobody_renews_is_taken_over_within_thirty_seconds(bench: Bench) -> None:
    bench.start(act("a", on_doubt="retry"))
    with bench.store.write() as conn:
        (candidate,) = rows.candidates(conn, bench.clock.now())
        assert rows.claim(conn, bench.clock.now(), candidate, "elsewhere/boot/1/2/3") == 1
    waited = 0
    while bench.view().state is not RunState.DONE:
        assert bench.runner.look() in (0, 1)
        bench.clock.advance(1)
        waited += 1
    assert 20 <= waited <= 30


def test_a_run_that_cannot_be_recorded_any_more_is_not_carried_on(bench: Bench) -> None:
    def lose(_: Context) -> Outcome:
        bench.clock.advance(25)  # the process slept longer than its lease
        return Outcome({}, "")

    bench.provider.does["a"] = lose
    bench.start(act("a"), act("b"))
    bench.runner._take_one()
    bench.runner._held.clear()
    other = bench.another()
    bench.clock.advance(1)
    other.look()
    bench.clock.advance(20)
    assert other.look() == 1
    assert bench.provider.steps == ["a"]
    assert bench.told() == ["started", "step_begun a"]


def test_runs_are_carried_out_in_threads_no_more_at_once_than_allowed(bench: Bench) -> None:
    gate, inside = threading.Event(), []

    def hold(context: Context) -> Outcome:
        inside.append(context.run)
        gate.wait(10)
        return Outcome({}, "")

    bench.provider.does["a"] = hold
    for number in range(5):
        bench.start(act("a"), run_id=f"r{number}")
    runner = Runner(bench.store, bench.clock, bench.providers, at_once=2)
    stop = threading.Event()
    thread = threading.Thread(target=runner.run, args=(stop,))
    thread.start()
    try:
        for _ in range(200):
            if len(inside) == 2:
                break
            gate.wait(0.02)
        gate.wait(0.3)
        assert len(inside) == 2
        gate.set()
        for _ in range(200):
            if all(bench.view(f"r{n}").state is RunState.DONE for n in range(5)):
                break
            threading.Event().wait(0.05)
    finally:
        stop.set()
        runner.wake()
        thread.join(20)
    assert sorted(inside) == [f"r{n}" for n in range(5)]
    assert not thread.is_alive()


def test_a_defect_of_a_provider_is_the_failure_of_its_step_alone(bench: Bench) -> None:
    def broken(_: Context) -> Outcome:
        raise ZeroDivisionError("by zero")

    bench.provider.does["a"] = broken
    run = bench.go(act("a"))
    assert run.state is RunState.FAILED
    assert run.steps[0].error == "a defect of what carries it out (ZeroDivisionError: by zero)"


def test_what_a_provider_asks_to_be_written_is_written_with_the_end_of_its_step(bench: Bench) -> None:
    def write(context: Context) -> Outcome:
        def effect(conn: object, now: object) -> None:
            raise RuntimeError("the disk is on fire")

        return Outcome({}, "", effect)

    bench.provider.does["a"] = write
    bench.start(act("a"))
    bench.runner.look()
    assert bench.told() == ["started", "step_begun a"]  # neither was written


def test_four_eyes_are_two_people_who_see(bench: Bench) -> None:
    bench.go(ask("q", four_eyes=True), act("a", needs="q"))
    assert bench.answer("q", "confirm", note="p1, p2").endswith("a second person must confirm it too")
    assert bench.look().state is RunState.WAITING
    bench.answer("q", "confirm", by="person:Ada")
    assert bench.look().state is RunState.WAITING
    bench.answer("q", "confirm", by=BOB)
    run = bench.look()
    assert run.state is RunState.DONE
    assert run.steps[0].summary == "confirmed by ada and bob"
    assert [entry.actor for entry in bench.journal("run.answered")] == [ADA, BOB]
