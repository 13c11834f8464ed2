"""The auditor's package: every clause, how it stood at the end of a period, and all that was proved in it.

Always true: the same store, runbook and period give the same package, whenever it is made; a clause without
evidence is in it as *unknown*; what the journal proves of a clause that the runbook no longer has is in it
too; a journal whose chain does not hold is said to be broken on the first page
(tests/app/test_evidence_package.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from watchkeeper.runbook.clauses import Clause, clauses
from watchkeeper.runbook.loading import LoadedRunbook
from watchkeeper.runbook.models.waivers import Waiver
from watchkeeper.runbook.status import VERDICTS, ClauseStatus, clause_status
from watchkeeper.store import journal
from watchkeeper.store.canonical import rfc3339
from watchkeeper.store.evidence import Evidence, Piece, between, verdicts_at
from watchkeeper.store.models import journal as table

FORMER = "no longer in the runbook"
"""The section of clauses that the journal cites and the runbook does not have."""


@dataclass(frozen=True, slots=True)
class Proved:
    """One clause; ``verdict`` and ``last`` as they stood at the end, ``evidence`` that of the period."""

    id: str
    section: str
    title: str
    sentence: str
    proof: str
    verdict: str
    last: Evidence | None
    waiver: Waiver | None
    evidence: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """The journal up to the end of the period. ``broken``: the first entry that is not as it was written."""

    entries: int
    head: str
    broken: int | None
    problem: str | None

    @property
    def words(self) -> str:
        """What was found, for people."""
        if self.broken is not None:
            return f"BROKEN at entry {self.broken}: {self.problem}. Nothing after it is proved."
        return f"intact: the hashes of entries 1 to {self.entries} were recomputed and fit together"


@dataclass(frozen=True, slots=True)
class Package:
    """Everything that is handed to an auditor."""

    platform: str
    runbook: str
    """SHA-256 of the runbook by which the clauses are named."""
    since: datetime
    until: datetime
    chain: Chain
    clauses: tuple[Proved, ...]
    waivers: tuple[Waiver, ...] = field(default=())

    @property
    def sections(self) -> list[str]:
        """The sections, in the order of the runbook."""
        return list(dict.fromkeys(one.section for one in self.clauses))

    def of(self, section: str) -> list[Proved]:
        """The clauses of one section."""
        return [one for one in self.clauses if one.section == section]

    @property
    def counts(self) -> dict[str, int]:
        """How many clauses have each verdict at the end."""
        return {verdict: sum(one.verdict == verdict for one in self.clauses) for verdict in VERDICTS}


def gather(
    conn: Connection, loaded: LoadedRunbook, since: datetime, until: datetime, section: str | None = None
) -> Package:
    """The package of the period from ``since`` to before ``until``; of one section, or of all."""
    runbook = loaded.runbook
    known = clauses(runbook)
    latest = verdicts_at(conn, until)
    found: dict[str, list[Piece]] = {}
    for piece in between(conn, since, until):
        found.setdefault(piece.clause, []).append(piece)
    rows = [_proved(clause_status(one, latest.get(one.id), until), found, latest) for one in known]
    named = {one.id for one in known}
    rows += [_former(name, found[name], latest) for name in sorted(found.keys() - named)]
    wanted = [row for row in rows if section in (None, row.section)]
    ids = {row.id for row in wanted}
    return Package(
        platform=runbook.platform,
        runbook=loaded.digest,
        since=since,
        until=until,
        chain=_chain(conn, until),
        clauses=tuple(wanted),
        waivers=tuple(waiver for waiver in runbook.waivers if waiver.clause in ids),
    )


def sections(known: Sequence[Clause]) -> list[str]:
    """What may be asked for with ``--section``."""
    return [*dict.fromkeys(clause.section for clause in known), FORMER]


def _proved(status: ClauseStatus, found: dict[str, list[Piece]], latest: dict[str, Evidence]) -> Proved:
    clause = status.clause
    return Proved(
        clause.id,
        clause.section,
        clause.title,
        clause.sentence,
        clause.proof.value,
        status.verdict,
        latest.get(clause.id),
        clause.waiver,
        tuple(found.get(clause.id, ())),
    )


def _former(name: str, evidence: list[Piece], latest: dict[str, Evidence]) -> Proved:
    said = "The journal cites this clause; the runbook that this package was made with has no such line."
    return Proved(name, FORMER, name, said, "", "unknown", latest.get(name), None, tuple(evidence))


def _chain(conn: Connection, until: datetime) -> Chain:
    """The journal up to ``until``. Damage that begins after it is told as well."""
    report = journal.verify(conn)
    newest = select(table.c.seq, table.c.hash).where(table.c.at < until).order_by(table.c.seq.desc())
    row = conn.execute(newest.limit(1)).first()
    entries, head = (row.seq, row.hash) if row else (0, journal.GENESIS)
    return Chain(entries, head, report.broken, report.problem)


def document(package: Package) -> dict[str, Any]:
    """The package as plain JSON."""
    chain = package.chain
    return {
        "platform": package.platform,
        "runbook_sha256": package.runbook,
        "period": {"since": rfc3339(package.since), "until": rfc3339(package.until)},
        "journal": {
            "entries": chain.entries,
            "head": chain.head,
            "intact": chain.broken is None,
            "broken": chain.broken,
            "problem": chain.problem,
        },
        "counts": package.counts,
        "clauses": [_clause_document(one) for one in package.clauses],
        "waivers": [
            {
                "clause": waiver.clause,
                "owner": waiver.owner,
                "reason": waiver.reason,
                "until": waiver.until.isoformat(),
                "in_force_at_the_end": waiver.active(package.until.date()),
            }
            for waiver in package.waivers
        ],
    }


def _clause_document(one: Proved) -> dict[str, Any]:
    last = one.last
    return {
        "id": one.id,
        "section": one.section,
        "title": one.title,
        "sentence": one.sentence,
        "proof": one.proof,
        "verdict": one.verdict,
        "last_evidence": None
        if last is None
        else {"seq": last.seq, "at": rfc3339(last.at), "verdict": last.verdict, "summary": last.summary},
        "evidence": [
            {
                "seq": piece.seq,
                "at": rfc3339(piece.at),
                "verdict": piece.verdict,
                "summary": piece.summary,
                "kind": piece.kind,
                "actor": piece.actor,
                "subject": piece.subject,
                "hash": piece.hash,
            }
            for piece in one.evidence
        ],
    }
