"""Failures, crashes, answers, aborts, jumps of the clock: whatever happens, the laws of steps hold."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.playbooks.support import ADA, BOB, START, playbook
from watchkeeper.playbooks import progress, questions
from watchkeeper.playbooks.decide import Able, Begin, Check, End, Look, Park, decide
from watchkeeper.playbooks.models import (
    VERDICTS,
    Answer,
    Run,
    StepState,
    Target,
    progress_from_json,
    progress_json,
)
from watchkeeper.store.canonical import canonical_json

ABLE = {"smoke.run": Able(), "smoke.check": Able(checks=True), "notify.send": Able(atomic=True)}
SETTLED = (StepState.DONE, StepState.SKIPPED, StepState.FAILED, StepState.UNDONE)


@st.composite
def _steps(draw: Any) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["action", "action", "probe", "manual", "wait", "timer", "by hand"]))
        verb = draw(st.sampled_from(sorted(ABLE)))
        step: dict[str, Any] = {"id": f"s{number}"}
        match kind:
            case "action":
                step["action"] = verb
            case "by hand":
                step["action"] = "kubernetes.scale"
            case "timer":
                step |= {"action": "time.sleep", "with": {"for": "30s"}}
            case "probe":
                step |= {"probe": verb, "expect": {"x": 1}}
            case "wait":
                step |= {"wait": verb, "timeout": "20s"}
            case "manual":
                step |= {"manual": "Well?", "four_eyes": draw(st.booleans())}
                if draw(st.booleans()):
                    step["deadline"] = "1m"
        if steps and draw(st.booleans()):
            step["needs"] = draw(st.sampled_from(steps))["id"]
        step["on_failure"] = draw(st.sampled_from(["stop", "continue", "abort", "ask"]))
        if kind in ("action", "by hand"):
            step["on_doubt"] = draw(st.sampled_from(["retry", "probe", "ask"]))
            if draw(st.booleans()):
                step["undo"] = "smoke.run"
        steps.append(step)
    return steps


class Life:
    """One run, driven by choices, with what must hold checked at every move."""

    def __init__(self, run: Run, draw: Any) -> None:
        self.run, self.draw = run, draw
        self.now: datetime = START
        self.moves = 0

    def live(self) -> None:
        while not self.run.state.over and self.moves < 150:
            self.moves += 1
            # what is recorded survives the store
            document = json.loads(canonical_json(progress_json(self.run.progress)))
            assert progress_from_json(document) == self.run.progress
            move = decide(self.run, self.now, ABLE)
            assert decide(self.run, self.now, ABLE) == move
            if isinstance(move, Park):
                self._parked(move)
                continue
            if not isinstance(move, End) and hasattr(move, "target"):
                self._in_order(move.target)
                assert self.run.record(move.target).state not in (StepState.DONE, StepState.UNDONE)
            before = self.run
            self.run = progress.applied(before, move, self.now)
            self._settled_stay(before)
            if isinstance(move, (Begin, Look, Check)):
                self._carried_out(move)

    def _in_order(self, target: Target) -> None:
        """Everything before it is settled; while the run is taken back, only undo moves."""
        assert target.undo == (self.run.progress.abort is not None)
        if not target.undo:
            for step in self.run.playbook.steps:
                if step.id == target.step:
                    break
                assert self.run.record(Target(step.id)).state in SETTLED
            if self.run.playbook.step(target.step).needs:  # type: ignore[union-attr]
                needed = self.run.playbook.step(target.step).needs  # type: ignore[union-attr]
                if self.run.record(target).state is StepState.BEGUN:
                    assert all(self.run.record(Target(one)).state is StepState.DONE for one in needed)
        else:
            for other in self.run.undoable:
                if other == target:
                    break
                assert self.run.record(other).state in SETTLED

    def _settled_stay(self, before: Run) -> None:
        for step in before.playbook.steps:
            record, new = before.record(Target(step.id)), self.run.record(Target(step.id)).state
            if record.state in (StepState.DONE, StepState.SKIPPED, StepState.UNDONE):
                happened = record.state is StepState.DONE or record.unsure  # what may have is taken back too
                assert new is record.state or (happened and new is StepState.UNDONE)

    def _carried_out(self, move: Begin | Look | Check) -> None:
        happens = self.draw(st.sampled_from(["success", "success", "failure", "unsure", "crash", "abort"]))
        if happens == "crash":
            return  # the next decision is made by another process
        if happens == "abort":
            if self.run.progress.abort is None:
                answer = Answer(None, "abort", ADA, "enough", self.now)
                self.run = progress.answered(self.run, answer, self.now)
            return
        result: Any
        if isinstance(move, Check):
            found = {"success": "happened", "failure": "did not happen"}.get(happens, "unknown")
            result = progress.Checked(move.target, found)  # type: ignore[arg-type]
        elif happens == "success":
            result = progress.Succeeded(move.target, {"x": 1}, "fine")
        elif isinstance(move, Look):
            result = progress.NotYet(move.target, "not yet")
        else:
            result = progress.Failed(move.target, "broke", unsure=happens == "unsure")
        before = self.run
        self.run = progress.ended(self.run, result, self.now)
        self._settled_stay(before)

    def _parked(self, move: Park) -> None:
        """Somebody answers, time passes, or the clock jumps."""
        current = self.run.current
        assert current is not None
        assert self.run.record(current).state is StepState.WAITING
        assert move.until is not None or self.run.record(current).open_question
        if self.run.record(current).open_question and self.draw(st.booleans()):
            verdict = self.draw(st.sampled_from(VERDICTS))
            answer = Answer(current.step, verdict, self.draw(st.sampled_from([ADA, BOB])), "n", self.now)
            try:
                new = questions.check(self.run, answer, "admin")
            except questions.AnswerError:
                assert verdict not in questions.verdicts(self.run, current)
                return
            if new:
                before = self.run
                self.run = questions.folded(self.run, [answer])
                assert self.run != before
            return
        jump = self.draw(st.sampled_from([3, 20, 90, -7200]))
        self.now += timedelta(seconds=jump)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_laws_of_steps_hold_whatever_happens(data: st.DataObject) -> None:
    steps = data.draw(_steps())
    run = Run("r1", "book", playbook(steps), {}, None, ADA, START)
    life = Life(run, data.draw)
    life.live()
    if life.run.state.value == "done":
        for step in life.run.playbook.steps:
            record = life.run.record(Target(step.id))
            assert record.state in (StepState.DONE, StepState.SKIPPED, StepState.FAILED)
            if record.state is StepState.FAILED:
                assert step.on_failure == "continue"
            if record.state is StepState.SKIPPED:
                assert record.summary
    if life.run.state.value == "aborted":
        for target in life.run.undoable:
            assert life.run.record(target).state in (StepState.DONE, StepState.SKIPPED)
