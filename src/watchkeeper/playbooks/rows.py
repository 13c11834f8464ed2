"""The table ``runs``: reading it, claiming what is due, and writing it under the fence.

Always true here: a run is written only by who holds its newest epoch (:func:`save` raises
:class:`LeaseLost` otherwise and the transaction is undone), or by a person's answer, which touches nothing
that the runner writes (tests/playbooks/test_rows.py).

A lease is judged without comparing clocks: it is over when the process that holds it is known to be gone, or
when whoever watches it saw nobody renew it for ``LEASE`` of the watcher's own monotonic time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from watchkeeper.playbooks.decide import CLOCK_STEP
from watchkeeper.playbooks.models import (
    Answer,
    Run,
    RunState,
    answer_from_json,
    answer_json,
    progress_from_json,
    progress_json,
)
from watchkeeper.runbook.models.playbooks import Playbook
from watchkeeper.store.models import runs

LEASE = timedelta(seconds=20)
_LIVE = ("active", "waiting")
_PLAYBOOKS_KEPT = 200
_known: OrderedDict[str, Playbook] = OrderedDict()


class LeaseLost(Exception):  # noqa: N818 - what happened, as the field says it
    """The run is another process' by now; nothing was written."""


@dataclass(frozen=True, slots=True)
class Row:
    """A run as it stands in the store; ``answers`` are those that the runner has not read yet."""

    run: Run
    answers: tuple[Answer, ...]
    wakes: int
    owner: str | None
    epoch: int
    due_at: datetime | None
    lease_expires_at: datetime | None
    definition_hash: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run that is due, and who holds it, if anybody."""

    id: str
    owner: str | None
    epoch: int
    lease_expires_at: datetime | None


def load(conn: Connection, run_id: str, *, lock: bool = False) -> Row | None:
    """The run of that id; with ``lock`` nobody else changes it before the transaction ends."""
    query = select(runs).where(runs.c.id == run_id)
    if lock and conn.dialect.name == "postgresql":
        query = query.with_for_update()
    row = conn.execute(query).first()
    return None if row is None else row_of(row)


def row_of(row: Any) -> Row:
    """A row of the table as a :class:`Row`."""
    run = Run(
        id=row.id,
        name=row.playbook,
        playbook=_playbook(row.definition_hash, row.definition),
        inputs=row.inputs,
        subject=row.subject,
        started_by=row.started_by,
        started_at=row.started_at,
        state=RunState(row.state),
        progress=progress_from_json(row.progress),
        problem=row.problem,
        ended_at=row.ended_at,
    )
    answers = tuple(answer_from_json(one) for one in row.answers)
    return Row(
        run, answers, row.wakes, row.owner, row.epoch, row.due_at, row.lease_expires_at, row.definition_hash
    )


def create(conn: Connection, now: datetime, run: Run, definition: Any, definition_hash: str) -> bool:
    """A new run, due at once. False: there is one of that id, or another process makes it right now."""
    insert = postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert
    made = conn.execute(
        insert(runs)
        .values(
            id=run.id,
            playbook=run.name,
            title=run.playbook.title,
            subject=run.subject,
            definition=definition,
            definition_hash=definition_hash,
            inputs=dict(run.inputs),
            state=run.state.value,
            progress=progress_json(run.progress),
            answers=[],
            wakes=0,
            due_at=now,
            scheduled_at=now,
            epoch=0,
            started_at=now,
            started_by=run.started_by,
        )
        .on_conflict_do_nothing()
        .returning(runs.c.id)
    )
    return made.first() is not None


def candidates(conn: Connection, now: datetime, limit: int = 100) -> list[Candidate]:
    """Runs that are due, longest first; also those that somebody holds. Changes nothing."""
    due = and_(runs.c.due_at.is_not(None), or_(runs.c.due_at <= now, runs.c.scheduled_at > now + CLOCK_STEP))
    query = (
        select(runs.c.id, runs.c.owner, runs.c.epoch, runs.c.lease_expires_at)
        .where(runs.c.state.in_(_LIVE), due)
        .order_by(runs.c.due_at, runs.c.id)
        .limit(limit)
    )
    return [Candidate(*row) for row in conn.execute(query)]


def claim(conn: Connection, now: datetime, wanted: Candidate, owner: str) -> int | None:
    """Take ``wanted`` for ``owner`` if it still is as it was seen; the new epoch, None where it is not."""
    same = and_(
        runs.c.id == wanted.id,
        runs.c.epoch == wanted.epoch,
        runs.c.owner.is_not_distinct_from(wanted.owner),
        runs.c.lease_expires_at.is_not_distinct_from(wanted.lease_expires_at),
        runs.c.state.in_(_LIVE),
    )
    if conn.dialect.name == "postgresql":
        query = select(runs.c.id).where(same).with_for_update(skip_locked=True)
        if conn.execute(query).first() is None:
            return None
    values = {"owner": owner, "epoch": wanted.epoch + 1, "lease_expires_at": now + LEASE}
    taken = conn.execute(update(runs).where(same).values(**values)).rowcount == 1
    return wanted.epoch + 1 if taken else None


def renew(conn: Connection, now: datetime, run_id: str, owner: str, epoch: int) -> bool:
    """Prolong a lease. False: it is another's."""
    mine = and_(runs.c.id == run_id, runs.c.owner == owner, runs.c.epoch == epoch)
    return conn.execute(update(runs).where(mine).values(lease_expires_at=now + LEASE)).rowcount == 1


def save(
    conn: Connection,
    now: datetime,
    run: Run,
    owner: str,
    epoch: int,
    *,
    due_at: datetime | None,
    release: bool,
) -> None:
    """Write what the runner made of ``run``, its answers read. Raises :class:`LeaseLost`."""
    values: dict[str, Any] = {
        "state": run.state.value,
        "progress": progress_json(run.progress),
        "answers": [],
        "problem": run.problem,
        "ended_at": run.ended_at,
        "due_at": due_at,
        "scheduled_at": now,
        "owner": None if release else owner,
        "lease_expires_at": None if release else now + LEASE,
    }
    mine = and_(runs.c.id == run.id, runs.c.owner == owner, runs.c.epoch == epoch)
    if conn.execute(update(runs).where(mine).values(**values)).rowcount != 1:
        raise LeaseLost(run.id)


def add_answer(conn: Connection, now: datetime, row: Row, answer: Answer) -> None:
    """Leave ``answer`` for the runner, and wake it."""
    values = {
        "answers": [answer_json(one) for one in (*row.answers, answer)],
        "wakes": row.wakes + 1,
        "due_at": now,
        "scheduled_at": now,
    }
    conn.execute(update(runs).where(runs.c.id == row.run.id).values(**values))


def aborting(conn: Connection, run_ids: list[str]) -> set[str]:
    """Those of ``run_ids`` whose abort was asked for and not read yet."""
    query = select(runs.c.id, runs.c.answers).where(runs.c.id.in_(run_ids), runs.c.wakes > 0)
    return {row.id for row in conn.execute(query) if any(one["step"] is None for one in row.answers)}


def counts(conn: Connection) -> Mapping[str, int]:
    """How many runs are ``active`` and ``waiting``."""
    query = select(runs.c.state, func.count()).where(runs.c.state.in_(_LIVE)).group_by(runs.c.state)
    return dict.fromkeys(_LIVE, 0) | {row[0]: int(row[1]) for row in conn.execute(query)}


def _playbook(digest: str, definition: Any) -> Playbook:
    """The definition as a model; the same one is read once."""
    found = _known.get(digest)
    if found is None:
        found = _known[digest] = Playbook.model_validate(definition)
        while len(_known) > _PLAYBOOKS_KEPT:
            _known.popitem(last=False)
    return found
