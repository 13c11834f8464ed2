"""What the journal proves about each clause: the last verdict, and the ones before it.

A clause that was never cited is not in the answer; whoever shows it shows ``unknown``, never green.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, literal_column, select

from watchkeeper.store.database import Store
from watchkeeper.store.models import journal, journal_clauses


@dataclass(frozen=True, slots=True)
class Evidence:
    """A journal entry that cites a clause. ``summary``: its fact of that name, else its kind and subject."""

    seq: int
    at: datetime
    clause: str
    verdict: str
    summary: str
    actor: str = ""


_COLUMNS = (
    journal.c.seq,
    journal.c.at,
    journal.c.kind,
    journal.c.actor,
    journal.c.subject,
    journal.c.facts,
    journal_clauses.c.clause,
    journal_clauses.c.verdict,
)


def latest_verdicts(where: Connection | Store) -> dict[str, Evidence]:
    """The newest evidence of every clause that was ever cited; one index step per clause, at any length."""
    cited = journal_clauses
    # A loose index scan: from each clause to the next greater one, instead of reading every citation.
    walk = select(func.min(cited.c.clause).label("clause")).cte("walk", recursive=True)
    following = select(func.min(cited.c.clause)).where(cited.c.clause > walk.c.clause).scalar_subquery()
    walk = walk.union_all(select(following).where(walk.c.clause.is_not(None)))
    newest = select(func.max(cited.c.seq)).where(cited.c.clause == walk.c.clause).scalar_subquery()
    latest = select(walk.c.clause, newest.label("seq")).where(walk.c.clause.is_not(None)).cte("latest")
    query = (
        select(*_COLUMNS)
        .select_from(latest)
        .join(cited, (cited.c.seq == latest.c.seq) & (cited.c.clause == latest.c.clause))
        .join(journal, journal.c.seq == literal_column("latest.seq"))
    )
    with _connection(where) as conn:
        return {row.clause: _evidence(row) for row in conn.execute(query)}


def clause_history(where: Connection | Store, clause: str, limit: int = 100) -> list[Evidence]:
    """The newest ``limit`` pieces of evidence of one clause, newest first."""
    query = (
        select(*_COLUMNS)
        .select_from(journal_clauses.join(journal, journal.c.seq == journal_clauses.c.seq))
        .where(journal_clauses.c.clause == clause)
        .order_by(journal_clauses.c.seq.desc())
        .limit(limit)
    )
    with _connection(where) as conn:
        return [_evidence(row) for row in conn.execute(query)]


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of evidence with all that an auditor asks of it; ``hash`` is its journal entry's."""

    seq: int
    at: datetime
    clause: str
    verdict: str
    summary: str
    kind: str
    actor: str
    subject: str
    hash: str


def between(conn: Connection, since: datetime, until: datetime, clause: str | None = None) -> Iterator[Piece]:
    """All evidence from ``since`` to before ``until``, in the journal's order; of one clause, or of all."""
    query = (
        select(*_COLUMNS, journal.c.actor, journal.c.hash)
        .select_from(journal_clauses.join(journal, journal.c.seq == journal_clauses.c.seq))
        .where(journal.c.at >= since, journal.c.at < until)
        .order_by(journal_clauses.c.seq, journal_clauses.c.clause)
    )
    if clause is not None:
        query = query.where(journal_clauses.c.clause == clause)
    for row in conn.execution_options(yield_per=1000).execute(query):
        one = _evidence(row)
        yield Piece(
            one.seq, one.at, one.clause, one.verdict, one.summary, row.kind, row.actor, row.subject, row.hash
        )


def verdicts_at(conn: Connection, until: datetime) -> dict[str, Evidence]:
    """The newest evidence before ``until`` of every clause that has any: as things stood then."""
    newest = (
        select(journal_clauses.c.clause, func.max(journal_clauses.c.seq).label("seq"))
        .select_from(journal_clauses.join(journal, journal.c.seq == journal_clauses.c.seq))
        .where(journal.c.at < until)
        .group_by(journal_clauses.c.clause)
        .subquery()
    )
    query = (
        select(*_COLUMNS)
        .select_from(newest)
        .join(
            journal_clauses,
            (journal_clauses.c.seq == newest.c.seq) & (journal_clauses.c.clause == newest.c.clause),
        )
        .join(journal, journal.c.seq == newest.c.seq)
    )
    return {row.clause: _evidence(row) for row in conn.execute(query)}


def _evidence(row: Any) -> Evidence:
    told = row.facts.get("summary") if isinstance(row.facts, dict) else None
    said = str(told or f"{row.kind}: {row.subject}")
    return Evidence(row.seq, row.at, row.clause, row.verdict, said, row.actor)


@contextmanager
def _connection(where: Connection | Store) -> Iterator[Connection]:
    if isinstance(where, Connection):
        yield where
        return
    with where.read() as conn:
        yield conn
