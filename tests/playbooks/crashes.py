"""A worker process that is killed at a chosen point, and what must be true afterwards."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import or_, select

from tests.playbooks.support import ADA, playbook, runbook
from watchkeeper.playbooks import reading, runner, starting, turn
from watchkeeper.playbooks.models import RunState
from watchkeeper.playbooks.ports import Context, Happened, Outcome
from watchkeeper.playbooks.reading import RunView
from watchkeeper.store import journal
from watchkeeper.store.clock import SystemClock
from watchkeeper.store.database import Store, open_store
from watchkeeper.store.journal import Filter
from watchkeeper.store.models import runs

POINTS = ("before the turn", "in the turn", "after the turn", "before the effect", "after the effect")
_fresh = multiprocessing.get_context("forkserver")
_fresh.set_forkserver_preload([__name__])


class Worker:
    """A process of its own, that begins without what this one has opened."""

    def __init__(self, where: str, effects: Path, point: str, number: int) -> None:
        self._process = _fresh.Process(target=_work, args=(where, str(effects), point, number))
        self._process.start()

    def wait(self, seconds: float) -> int:
        """Its exit code; negative for a signal."""
        self._process.join(seconds)
        assert self._process.exitcode is not None, "it still runs"
        return self._process.exitcode

    def kill(self) -> None:
        """``kill -9``."""
        self._process.kill()


def worker(where: str, effects: Path, point: str = "never", number: int = 0) -> Worker:
    """Carry out what is due, and be killed at the ``number``-th time at ``point``."""
    return Worker(where, effects, point, number)


def _work(where: str, effects: str, point: str, number: int) -> None:
    seen: Counter[str] = Counter()

    def die_at(here: str) -> None:
        seen[here] += 1
        if here == point and seen[here] == number:
            os.kill(os.getpid(), signal.SIGKILL)

    take_turn = turn.take_turn

    def fragile_turn(*given: Any, **more: Any) -> Any:
        die_at("before the turn")
        task = take_turn(*given, **more)
        die_at("in the turn")
        return task

    setattr(runner, "take_turn", fragile_turn)  # noqa: B010 - it is the runner's name for it

    class Effect:
        def run(self, context: Context) -> Outcome:
            die_at("before the effect")
            with open(effects, "a") as file:  # a receiver that notes every key
                file.write(context.key + "\n")
            die_at("after the effect")
            return Outcome({"key": context.key}, "done")

        def check(self, context: Context) -> tuple[Happened, str]:
            there = context.key in Path(effects).read_text().split()
            return ("happened" if there else "did not happen"), "the receiver says so"

    class Fragile(runner.Runner):
        def _carry_out(self, *given: Any) -> Any:
            die_at("after the turn")
            return super()._carry_out(*given)

    with open_store(where) as store:
        busy = select(runs.c.id).where(or_(runs.c.state == "active", runs.c.owner.is_not(None)))
        fragile = Fragile(store, SystemClock(), {"smoke.run": Effect()})
        while True:
            fragile.look()
            with store.read() as conn:
                if conn.execute(busy).first() is None:
                    return
            SystemClock().sleep(0.05)


def start(store: Store, steps: Sequence[Mapping[str, Any]], run_id: str = "r1") -> None:
    """Start a run of ``steps``."""
    with store.write() as conn:
        starting.start(conn, datetime.now(UTC), runbook(book=playbook(steps)), "book", {}, ADA, None, run_id)


def view(store: Store, run_id: str = "r1") -> RunView:
    """The run as it stands."""
    with store.read() as conn:
        found = reading.run(conn, run_id)
    assert found is not None
    return found


def check(store: Store, effects: Path, run_ids: Sequence[str], steps: Sequence[str]) -> None:
    """Every run is done, every step once in its order, and the journal proves it."""
    keys = effects.read_text().split()
    for run_id in run_ids:
        run = view(store, run_id)
        assert run.state is RunState.DONE, run
        assert [step.state.value for step in run.steps] == ["done"] * len(steps)
        assert [step.outputs["key"] for step in run.steps] == [f"{run_id}/{step}" for step in steps]
        with store.read() as conn:
            entries = journal.entries(conn, Filter(subject=f"run:{run_id}"), limit=1000)
        ended = [entry.facts["step"] for entry in entries if entry.kind == "run.step_ended"]
        assert ended == list(steps)  # each once: none repeated, none skipped
        assert Counter(entry.kind for entry in entries)["run.ended"] == 1
        order: list[str] = []
        for entry in entries:  # nothing is begun before everything before it has ended
            if entry.kind == "run.step_begun":
                assert entry.facts["step"] == steps[len(order)]
            if entry.kind == "run.step_ended":
                order.append(entry.facts["step"])
        for step in steps:
            assert keys.count(f"{run_id}/{step}") >= 1
    with store.read() as conn:
        assert journal.verify(conn).intact
