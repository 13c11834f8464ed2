"""Runs in the simulation: a step whose process dies is done once, and what is broken is noticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.simulation.faults import Crash
from tests.simulation.runs import EXACT, STEPS, SimulatedVerb
from tests.simulation.world import World
from watchkeeper.playbooks.ports import Context, Happened, Outcome

SEED, DAYS = 4, 0.3


class _Dying(SimulatedVerb):
    """Its process dies right after the effect, once."""

    died = False

    def run(self, context: Context) -> Outcome:
        if context.step == EXACT and not self.died:
            self.died = True
            self._outside.effects[context.key] += 1
            raise Crash("work")
        return super().run(context)


class _Ignorant(_Dying):
    """Its check does not find what happened."""

    def check(self, context: Context) -> tuple[Happened, str]:
        return "did not happen", "nobody knows"


def _world(directory: Path, verb: type[SimulatedVerb]) -> World:
    world = World(SEED, directory, faulty=False)
    world.work.verb.__class__ = verb
    return world


def test_a_step_whose_process_dies_after_its_effect_has_it_once(tmp_path: Path) -> None:
    report = _world(tmp_path, _Dying).run(DAYS)
    assert report.violations == []
    assert report.runs >= 1
    assert report.kinds["run.step_doubted"] >= 1
    assert report.kinds["run.ended"] >= 1


def test_an_effect_that_is_repeated_is_noticed(tmp_path: Path) -> None:
    said = "\n".join(_world(tmp_path, _Ignorant).run(DAYS).violations)
    assert "had its effect 2 times" in said


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([("step_ended", "look"), ("step_begun", "look")], "is begun again, and was done"),
        ([("step_ended", "look"), ("step_ended", "look")], "is done twice"),
        ([("step_ended", "look"), ("ended", None)], "is done, with the steps ['look']"),
        ([*[("step_ended", step) for step in STEPS], ("ended", None), ("started", None)], "after it ended"),
        ([("step_ended", "look")], "stands still"),
    ],
)
def test_what_the_journal_may_not_say_of_a_run(
    tmp_path: Path, entries: list[tuple[str, str | None]], said: str
) -> None:
    world = World(SEED, tmp_path, faulty=False)
    for what, step in entries:
        facts: dict[str, Any] = {"step": step, "state": "done"}
        world.runs.entry(f"run.{what}", "run:one", facts, None)
    world.runs.finish()
    assert said in "\n".join(world.auditor.violations)
    for process in world.site.processes:
        process.stop()
    world.reader.close()
