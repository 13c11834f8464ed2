"""What people say to a run that asks.

Always true: an answer that was taken is never lost, whatever the runner does meanwhile, because it is written
beside what the runner writes and read in the transaction that goes on (tests/playbooks/test_answers.py); the
same answer of the same person counts once.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from watchkeeper.playbooks import questions, rows, wording
from watchkeeper.playbooks.models import Answer, Target, Verdict
from watchkeeper.playbooks.progress import asked_target
from watchkeeper.playbooks.starting import UnknownRunError
from watchkeeper.store import journal


def answer(
    conn: Connection,
    now: datetime,
    run_id: str,
    step: str,
    verdict: Verdict,
    by: str,
    note: str = "",
    role: str = "responder",
) -> str:
    """Answer what ``step`` asks, as part of the caller's transaction; a sentence on what that means.

    ``by`` is the journal's actor (``person:ada``), ``role`` what that person is here. Raises
    :class:`~watchkeeper.playbooks.starting.UnknownRunError`,
    :class:`~watchkeeper.playbooks.questions.AnswerError` (its message says what is asked instead), and its
    :class:`~watchkeeper.playbooks.questions.ForbiddenAnswerError` for somebody who may not.
    """
    row = rows.load(conn, run_id, lock=True)
    if row is None:
        raise UnknownRunError(f"there is no run {run_id!r}")
    run = questions.folded(row.run, row.answers)
    given = Answer(step, verdict, by, note.strip(), now)
    if questions.check(run, given, role):
        rows.add_answer(conn, now, row, given)
        journal.append_all(conn, now, [wording.answered(run, given)])
        run = questions.folded(run, [given])
        said = "taken"
    else:
        said = "taken already"
    target = Target(step) if verdict == "abort" else asked_target(run, step)
    if run.record(target).open_question:
        return f"{verdict} for step {step} is {said}; a second person must confirm it too"
    return f"{verdict} for step {step} is {said}"
