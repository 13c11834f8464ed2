"""What the tests of playbooks share: a runbook made of steps, verbs that record what was asked, a runner."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from watchkeeper.playbooks import answers, reading, starting
from watchkeeper.playbooks.models import Verdict
from watchkeeper.playbooks.ports import Context, Outcome, Provider, StepFailed
from watchkeeper.playbooks.reading import RunView
from watchkeeper.playbooks.runner import Runner
from watchkeeper.runbook.models.playbooks import Playbook
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store
from watchkeeper.store.journal import Entry, Filter

START = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
ADA, BOB = "person:ada", "person:bob"


def playbook(steps: Sequence[Mapping[str, Any]], **more: Any) -> Playbook:
    """A playbook of ``steps``, as in the file."""
    return Playbook.model_validate({"title": "A playbook", "steps": [dict(step) for step in steps], **more})


def runbook(**playbooks: Playbook) -> Runbook:
    """A runbook with those playbooks; ``_`` in a name stands for ``-``."""
    named = {name.replace("_", "-"): one for name, one in playbooks.items()}
    return Runbook.model_validate({"runbook": 1, "platform": "Test", "playbooks": named})


@dataclass
class Recording:
    """A provider that notes its calls and does as it is told: ``does`` by the step's id."""

    does: dict[str, Callable[[Context], Outcome]] = field(default_factory=dict)
    calls: list[Context] = field(default_factory=list)

    def run(self, context: Context) -> Outcome:
        self.calls.append(context)
        does = self.does.get(context.step)
        return Outcome({"ok": True}, "fine") if does is None else does(context)

    @property
    def steps(self) -> list[str]:
        """The steps that were carried out, in order."""
        return [call.step for call in self.calls]


def fails(
    message: str = "it broke", times: int = 10**6, *, unsure: bool = False
) -> Callable[[Context], Outcome]:
    """Fails ``times`` times, then succeeds."""
    left = [times]

    def run(_: Context) -> Outcome:
        left[0] -= 1
        if left[0] >= 0:
            raise StepFailed(message, unsure=unsure)
        return Outcome({}, "mended")

    return run


class Bench:
    """A store, a clock that stands still, and a runner whose verb ``smoke.run`` records its calls."""

    def __init__(self, store: Store, providers: Mapping[str, Provider] | None = None) -> None:
        self.store = store
        self.clock = ManualClock(START)
        self.provider = Recording()
        self.environ: dict[str, str] = {}
        self.providers = {"smoke.run": self.provider, **(providers or {})}
        self.runner = self.another()

    def another(self) -> Runner:
        """One more runner on the same store."""
        return Runner(
            self.store, self.clock, self.providers, environ=self.environ, folder=Path("/nonexistent")
        )

    def start(self, *steps: Mapping[str, Any], run_id: str = "r1", **more: Any) -> str:
        """Start a run of ``steps``."""
        inputs = more.pop("given", {})
        book = runbook(book=playbook(steps, **more))
        with self.store.write() as conn:
            return starting.start(conn, self.clock.now(), book, "book", inputs, ADA, "incident:1", run_id)

    def go(self, *steps: Mapping[str, Any], **more: Any) -> RunView:
        """Start a run and carry it as far as it gets."""
        self.start(*steps, **more)
        return self.look()

    def look(self) -> RunView:
        """Carry on what is due."""
        self.runner.look()
        return self.view()

    def later(self, seconds: float) -> RunView:
        """The same, after a while."""
        self.clock.advance(seconds)
        return self.look()

    def answer(
        self, step: str, verdict: Verdict, by: str = ADA, note: str = "", role: str = "responder"
    ) -> str:
        """Answer a step of the run; the runner has not looked yet."""
        with self.store.write() as conn:
            return answers.answer(conn, self.clock.now(), "r1", step, verdict, by, note, role)

    def abort(self, reason: str = "wrong one", by: str = ADA) -> bool:
        """Ask for the run to be aborted."""
        with self.store.write() as conn:
            return starting.abort(conn, self.clock.now(), "r1", by, reason)

    def view(self, run_id: str = "r1") -> RunView:
        """The run as the console sees it."""
        with self.store.read() as conn:
            found = reading.run(conn, run_id)
        assert found is not None
        return found

    def states(self) -> dict[str, str]:
        """Each step's state."""
        return {step.id: step.state.value for step in self.view().steps}

    def journal(self, kind: str = "run.*") -> list[Entry]:
        """The entries about the run."""
        with self.store.read() as conn:
            assert journal.verify(conn).intact
            return journal.entries(conn, Filter(subject="run:r1", kind=kind), limit=1000)

    def told(self, kind: str = "run.*") -> list[str]:
        """``kind`` of each entry without its prefix, with the step."""
        return [
            " ".join(
                [entry.kind.removeprefix("run."), *([entry.facts["step"]] if "step" in entry.facts else [])]
            )
            for entry in self.journal(kind)
        ]


def act(step_id: str, **more: Any) -> dict[str, Any]:
    """An action of the recording verb."""
    return {"id": step_id, "action": "smoke.run", **more}


def ask(step_id: str, **more: Any) -> dict[str, Any]:
    """A manual step."""
    return {"id": step_id, "manual": f"Is {step_id} well?", **more}


class Gate:
    """Holds a step until it is opened; says when the step is in it."""

    def __init__(self) -> None:
        self.inside, self.opened = threading.Event(), threading.Event()

    def __call__(self, context: Context) -> Outcome:
        self.inside.set()
        while not self.opened.wait(0.02):
            if context.cancelled:
                raise StepFailed("it was stopped", unsure=True)
        return Outcome({}, "through the gate")
