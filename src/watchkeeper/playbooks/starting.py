"""Starting and aborting runs: what the console, the command line, jobs and incidents call.

Always true: a run with a given id starts once, whoever asks however often; what cannot run (an unknown
playbook, a missing input, a template that leads nowhere) is refused before anything is written
(tests/playbooks/test_starting.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from watchkeeper.playbooks import plan, rows, wording
from watchkeeper.playbooks.models import Answer, PlaybookError, Run
from watchkeeper.playbooks.questions import AnswerError
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import journal
from watchkeeper.store.canonical import canonical_json

LONGEST_ID = 200


class StartError(PlaybookError):
    """A run that cannot be started; nothing was changed."""


class UnknownRunError(PlaybookError):
    """There is no run of that id."""


def start(
    conn: Connection,
    now: datetime,
    runbook: Runbook,
    name: str,
    inputs: Mapping[str, Any],
    by: str,
    subject: str | None,
    run_id: str | None = None,
) -> str:
    """Start playbook ``name``, as part of the caller's transaction; the run's id.

    ``by`` is the journal's actor (``person:ada``, ``component:jobs``), ``subject`` what it is for
    (``incident:12``, ``alert:<fingerprint>``). With a ``run_id`` that exists already nothing happens, and it
    is returned. Raises :class:`StartError`.
    """
    if run_id is not None:
        _check_id(run_id)
        known = rows.load(conn, run_id, lock=True)
        if known is not None:
            if known.run.name != name:
                raise StartError(f"run {run_id} exists and is of playbook {known.run.name}, not of {name}")
            return run_id
    playbook = runbook.playbooks.get(name)
    if playbook is None:
        there = ", ".join(sorted(runbook.playbooks)) or "none"
        raise StartError(f"there is no playbook {name!r}; there is {there}")
    try:
        given = plan.inputs_of(name, playbook, inputs)
        chosen = run_id or _free_id(conn, now, name)
        plan.plan(name, playbook, given, chosen, subject, ())
    except StartError:
        raise
    except PlaybookError as error:
        raise StartError(str(error)) from None
    definition = playbook.model_dump(mode="json", by_alias=True, exclude_none=True)
    digest = hashlib.sha256(canonical_json(definition).encode()).hexdigest()
    while True:
        run = Run(chosen, name, playbook, given, subject, by, now)
        if rows.create(conn, now, run, definition, digest):
            break
        if run_id is not None:
            return run_id  # another process has just started it
        chosen = _free_id(conn, now, name)
    journal.append_all(conn, now, [wording.started(run, digest)])
    return chosen


def abort(conn: Connection, now: datetime, run_id: str, by: str, reason: str) -> bool:
    """Ask for the run to be stopped and taken back; False: it was asked for already.

    A step that is under way is stopped; then the undo of each step that happened runs, last first. Raises
    :class:`UnknownRunError`, and :class:`AnswerError` for a run that is over or without a reason.
    """
    if not reason.strip():
        raise AnswerError("an abort needs a reason: whoever reads the incident wants to know why")
    row = rows.load(conn, run_id, lock=True)
    if row is None:
        raise UnknownRunError(f"there is no run {run_id!r}")
    if row.run.progress.abort or any(one.step is None for one in row.answers):
        return False
    if row.run.state.over:
        raise AnswerError(f"run {run_id} is over ({row.run.state.value}); there is nothing to abort")
    answer = Answer(None, "abort", by, reason.strip(), now)
    rows.add_answer(conn, now, row, answer)
    journal.append_all(conn, now, [wording.answered(row.run, answer)])
    return True


def _check_id(run_id: str) -> None:
    if not (0 < len(run_id) <= LONGEST_ID and run_id.isascii() and run_id.isprintable()) or " " in run_id:
        raise StartError(
            f"a run's id is a word of at most {LONGEST_ID} printable ASCII characters; it is part of the key "
            "that receivers see"
        )


def _free_id(conn: Connection, now: datetime, name: str) -> str:
    plain = f"{name}-{now:%Y%m%dT%H%M%SZ}"
    chosen, number = plain, 1
    while rows.load(conn, chosen) is not None:
        number += 1
        chosen = f"{plain}-{number}"
    return chosen
