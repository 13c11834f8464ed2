"""One turn of a run: what came of the last move, what people said, and what comes next, in one transaction.

Always true: the journal's entries and the run's progress are written together or not at all, and only by who
holds the newest epoch; a step's end, and the beginning of the next one, are recorded before the next one is
carried out (tests/playbooks/test_runner.py, test_crashes.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from watchkeeper.playbooks import progress, questions, rows, wording
from watchkeeper.playbooks.decide import Able, Begin, Check, End, Look, Park, decide
from watchkeeper.playbooks.models import Run, RunState, StepState
from watchkeeper.playbooks.progress import Result
from watchkeeper.playbooks.rows import LeaseLost
from watchkeeper.store import journal
from watchkeeper.store.journal import Draft

MOST_MOVES = 10_000
Effect = Callable[[Connection, datetime], None]


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be carried out now, and the run as it stands."""

    run: Run
    move: Begin | Look | Check


def take_turn(
    conn: Connection,
    now: datetime,
    run_id: str,
    owner: str,
    epoch: int,
    able: Mapping[str, Able],
    result: Result | None = None,
    effect: Effect | None = None,
    *,
    go_on: bool = True,
) -> Task | None:
    """Record ``result`` (with its ``effect``) and decide until something is to be carried out; None: nothing.

    Without ``go_on`` nothing new is begun, and the run is left for whoever comes next. Raises
    :class:`LeaseLost`.
    """
    row = rows.load(conn, run_id, lock=True)
    if row is None or (row.owner, row.epoch) != (owner, epoch):
        raise LeaseLost(run_id)
    run, drafts = row.run, list[Draft]()
    if result is not None and _is_open(run, result):
        run = progress.ended(run, result, now)
        drafts += _some(wording.result(run, result))
        if effect is not None:
            effect(conn, now)
    for answer in row.answers:
        before = run
        run = questions.folded(run, [answer])
        drafts += _settled_by(before, run)
    task, due_at = None, None
    for _ in range(MOST_MOVES):
        move = decide(run, now, able)
        if isinstance(move, Park):
            due_at = move.until
            run = run if run.state.over else replace(run, state=RunState.WAITING)
            break
        if isinstance(move, (Begin, Look, Check)) and not go_on:
            due_at = now
            break
        run = progress.applied(run, move, now)
        drafts += _some(wording.moved(run, move, now))
        if isinstance(move, End):
            break
        if isinstance(move, (Begin, Look, Check)):
            task, due_at = Task(run, move), now
            break
    else:
        raise RuntimeError(f"run {run_id} does not come to rest")
    rows.save(conn, now, run, owner, epoch, due_at=due_at, release=task is None)
    if drafts:
        journal.append_all(conn, now, drafts)
    return task


def _is_open(run: Run, result: Result) -> bool:
    """Whether the step's end is not recorded yet. It is when the turn before was committed and its answer
    lost on the way to us."""
    record = run.record(result.target)
    if record.state in (StepState.BEGUN, StepState.IN_DOUBT):
        return True
    return record.state is StepState.WAITING and record.awaits == "condition"


def _some(draft: Draft | None) -> list[Draft]:
    return [] if draft is None else [draft]


def _settled_by(before: Run, after: Run) -> list[Draft]:
    """The end of a step that an answer settled."""
    drafts: list[Draft] = []
    if after.progress.abort is not None and before.progress.abort is None:
        drafts += _some(wording.aborting(after))
    current = before.current
    if current is not None and before.record(current) != after.record(current):
        record = after.record(current)
        if record.ended_at is not None and record.state.value in ("done", "skipped", "failed"):
            drafts.append(wording.settled(after, current, record))
    return drafts
