"""A provider that never ends, and a store that fails while a step runs."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.playbooks.support import ADA, START, Bench, act, playbook
from watchkeeper.playbooks import carrying_out, runner, turn
from watchkeeper.playbooks.carrying_out import Surroundings, carry_out
from watchkeeper.playbooks.decide import Begin, Work
from watchkeeper.playbooks.models import Run, RunState, Target
from watchkeeper.playbooks.ports import Context, Outcome
from watchkeeper.playbooks.progress import Failed
from watchkeeper.playbooks.turn import Task
from watchkeeper.store.clock import SystemClock
from watchkeeper.store.errors import StoreFullError


def test_a_provider_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrying_out, "GRACE_SECONDS", 0.3)
    for_ever = threading.Event()

    class Deaf:
        def run(self, context: Context) -> Outcome:
            for_ever.wait(30)
            return Outcome()

    run = Run("r1", "book", playbook([act("a")]), {}, None, ADA, START)
    task = Task(run, Begin(Target("a"), Work({}, None, "k", timedelta(seconds=0.2))))
    around = Surroundings({}, Path("/"), SystemClock(), lambda: False, lambda: 10.0)
    result, effect = carry_out(task, Deaf(), around)
    for_ever.set()
    assert isinstance(result, Failed)
    assert result.unsure
    assert effect is None
    assert "did not end within 0.2 s, nor 0.3 s after being told to" in result.error


def test_an_end_that_cannot_be_written_at_first_is_written_later_and_the_step_not_repeated(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_turn: Any = turn.take_turn
    calls = [0]

    def full(*given: object, **more: object) -> object:
        calls[0] += 1
        if calls[0] in (2, 3):
            raise StoreFullError("no space left")
        return take_turn(*given, **more)

    monkeypatch.setattr(runner, "take_turn", full)
    assert bench.go(act("a")).state is RunState.DONE
    assert bench.provider.steps == ["a"]


def test_a_store_that_stays_full_leaves_the_step_in_doubt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_turn: Any = turn.take_turn
    broken = [False]

    def full(*given: object, **more: object) -> object:
        if broken[0]:
            bench.clock.advance(7)
            raise StoreFullError("no space left")
        return take_turn(*given, **more)

    def fill(_: Context) -> Outcome:
        broken[0] = True
        return Outcome()

    bench.provider.does["a"] = fill
    monkeypatch.setattr(runner, "take_turn", full)
    bench.start(act("a"))
    bench.runner.look()
    broken[0] = False
    bench.clock.advance(1)
    bench.runner.look()
    bench.clock.advance(20)
    run = bench.look()
    assert run.asking is not None
    assert run.asking.about == "doubt"
    assert bench.provider.steps == ["a"]


def test_when_the_role_ends_short_steps_are_waited_for_and_long_ones_are_left_in_doubt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "STOP_SECONDS", 0.5)
    bench.runner._clock = SystemClock()
    inside, long = threading.Barrier(3), threading.Event()

    def short(_: Context) -> Outcome:
        inside.wait(10)
        long.wait(0.2)
        return Outcome()

    def slow(context: Context) -> Outcome:
        inside.wait(10)
        while not context.cancelled:
            long.wait(0.05)
        return Outcome()

    bench.provider.does |= {"a": short, "s": slow}
    bench.start(act("a"), act("b"), run_id="r1")
    bench.start(act("s"), run_id="r2")
    stop = threading.Event()
    thread = threading.Thread(target=bench.runner.run, args=(stop,))
    thread.start()
    inside.wait(10)
    stop.set()
    bench.runner.wake()
    thread.join(20)
    assert not thread.is_alive()
    first, second = bench.view("r1"), bench.view("r2")
    assert [step.state.value for step in first.steps] == ["done", "pending"]
    assert not first.held
    assert second.steps[0].state.value == "begun"
