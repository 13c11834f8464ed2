"""Playbooks of a simulated deployment: steps that take time, whose process dies, and what must hold of them.

Always true: a step that has its end is never carried out again, none is left out, and an effect whose check
says whether it happened happens once; a run ends once (tests/simulation/test_runs.py).

What is left out of the real runner: its threads (one run at a time, its steps in the runner's own) and with
them the time-out of a provider that hangs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.simulation.deployment import Site
from tests.simulation.faults import Faults, Point
from tests.simulation.invariants import Auditor
from watchkeeper.playbooks.models import PlaybookError
from watchkeeper.playbooks.ports import Context, Happened, Outcome

STEPS = ("look", "drain", "scale", "check", "done")
EXACT = "scale"
"""The step whose check is asked after a crash."""


class Outside:
    """Where steps have their effects: outside of every process, so that none of them is forgotten."""

    def __init__(self) -> None:
        self.effects: Counter[str] = Counter()


class SimulatedVerb:
    """Carries a step out for one process, which may die before the effect and after it."""

    def __init__(self, site: Site, outside: Outside, seconds: Callable[[], float], process: str) -> None:
        self._site = site
        self._outside = outside
        self._seconds = seconds
        self._process = process
        self.alive: Callable[[], None] = lambda: None

    def run(self, context: Context) -> Outcome:
        """Do it, which takes some seconds."""
        faults: Faults = self._site.faults
        faults.reach(self._process, Point.BEFORE_SEND)
        self._outside.effects[context.key] += 1
        self._site.timeline.run_until(self._site.timeline.now + self._seconds())
        self.alive()
        faults.reach(self._process, Point.AFTER_SEND)
        return Outcome({"ok": True}, "done")

    def check(self, context: Context) -> tuple[Happened, str]:
        """Whether it happened."""
        happened = self._outside.effects[context.key] > 0
        return ("happened" if happened else "did not happen"), "the outside knows"


def in_this_thread(call: Callable[[], Any], _context: Context, _around: Any) -> Any:
    """In place of the thread that a provider is given."""
    try:
        return call()
    except PlaybookError as error:
        return error


class RunAuditor:
    """Further invariants, read from the journal as it grows."""

    def __init__(self, auditor: Auditor, outside: Outside) -> None:
        self._auditor = auditor
        self._outside = outside
        self._done: dict[str, list[str]] = {}
        self._ended: dict[str, str] = {}
        auditor.listeners.append(self.entry)

    def entry(self, kind: str, subject: str, facts: dict[str, Any], _evidence: object) -> None:
        """One entry of the journal."""
        if not kind.startswith("run."):
            return
        run, step = subject.removeprefix("run:"), facts.get("step")
        done = self._done.setdefault(run, [])
        if run in self._ended:
            self._auditor.violated(f"run {run} goes on ({kind}) after it ended")
        if kind == "run.step_begun" and step in done:
            self._auditor.violated(f"step {step} of run {run} is begun again, and was done")
        if kind == "run.step_ended" and facts["state"] == "done":
            if step in done:
                self._auditor.violated(f"step {step} of run {run} is done twice")
            done.append(str(step))
        if kind == "run.ended":
            self._ended[run] = facts["state"]
            if facts["state"] == "done":
                self._judge(run, done)

    def _judge(self, run: str, done: list[str]) -> None:
        if done != list(STEPS):
            self._auditor.violated(f"run {run} is done, with the steps {done}")
        for step in STEPS:
            count = self._outside.effects[f"{run}/{step}"]
            if step != "check" and (count < 1 or (step == EXACT and count > 1)):
                self._auditor.violated(f"step {step} of run {run} had its effect {count} times")

    def finish(self) -> None:
        """Nobody died for hours: every run has ended, or waits for somebody."""
        for run, done in self._done.items():
            if run not in self._ended and done != list(STEPS[:3]):
                self._auditor.violated(f"run {run} stands still after {done}")
