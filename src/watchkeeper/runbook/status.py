"""How each clause stands, from its last evidence and the time: pure, so that any moment can be asked about.

Unknown is not green: no evidence, or evidence older than its cadence and grace allow, never shows as met.
An active waiver shows as waived, whatever the evidence says; so does what a person let go, this one time. A
rule is proved anew once a day while somebody watches, so an old proof of it means that nobody does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from watchkeeper.runbook.clauses import Clause, Proof

Verdict = Literal["met", "missed", "waived", "unknown"]
VERDICTS: tuple[Verdict, ...] = ("met", "missed", "waived", "unknown")


WATCHED_WITHIN = timedelta(hours=25)
"""Older proof of what is watched all the time says nothing: the watching itself has stopped."""
_WATCHED = (Proof.RULE, Proof.SAMPLES)


class EvidenceLike(Protocol):
    """What is needed of a piece of evidence."""

    @property
    def seq(self) -> int: ...
    @property
    def at(self) -> datetime: ...
    @property
    def verdict(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def actor(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ClauseStatus:
    """A clause, its verdict at a moment, the evidence behind it, and when the next is due."""

    clause: Clause
    verdict: Verdict
    seq: int | None = None
    at: datetime | None = None
    summary: str = ""
    due: datetime | None = None

    def as_json(self) -> dict[str, object]:
        """For machines; times are ISO 8601 in UTC."""
        return {
            "id": self.clause.id,
            "section": self.clause.section,
            "sentence": self.clause.sentence,
            "verdict": self.verdict,
            "evidence": None
            if self.at is None
            else {"seq": self.seq, "at": self.at.isoformat(), "summary": self.summary},
            "next_due": None if self.due is None else self.due.isoformat(),
        }


def clause_status(clause: Clause, evidence: EvidenceLike | None, now: datetime) -> ClauseStatus:
    """How ``clause`` stands at ``now``."""
    waived = clause.waiver is not None and clause.waiver.active(now.date())
    if evidence is None:
        return ClauseStatus(clause, "waived" if waived else "unknown")
    due = evidence.at + clause.cadence if clause.cadence is not None else None
    verdict: Verdict = next((known for known in VERDICTS if known == evidence.verdict), "unknown")
    if verdict == "waived" and not waived and not evidence.actor.startswith("person:"):
        verdict = "unknown"  # the waiver of the runbook that the evidence spoke of is over
    if waived:
        verdict = "waived"
    elif verdict == "met" and clause.proof in _WATCHED and now - evidence.at > WATCHED_WITHIN:
        verdict = "unknown"
    elif verdict == "met" and due is not None and now > due + clause.grace:
        verdict = "missed"
    return ClauseStatus(clause, verdict, evidence.seq, evidence.at, evidence.summary, due)


def clause_statuses(
    clauses: Iterable[Clause], evidence: Mapping[str, EvidenceLike], now: datetime
) -> list[ClauseStatus]:
    """How all of them stand, in their order."""
    return [clause_status(clause, evidence.get(clause.id), now) for clause in clauses]


def counts(rows: Sequence[ClauseStatus]) -> dict[str, int]:
    """How many clauses have each verdict; every verdict is there."""
    return {verdict: sum(1 for row in rows if row.verdict == verdict) for verdict in VERDICTS}
