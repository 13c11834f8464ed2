"""One clause as pages and the API read it: how it stands, why, what proves it, where its signal is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from watchkeeper.console.policy import Policy
from watchkeeper.runbook.clauses import PROOF_WORDS, Proof
from watchkeeper.runbook.status import WATCHED_WITHIN, ClauseStatus
from watchkeeper.store.evidence import Evidence

HISTORY = 50
_WITHOUT = {
    Proof.RULE: "No rule has been evaluated for it yet; the role watch does that while it has data.",
    Proof.SAMPLES: "No sample of its signal has arrived yet.",
    Proof.JOB: "No job has proved it yet.",
    Proof.DEADLINE: "Nothing has started its deadline yet.",
    Proof.RUN: "No run has proved it yet.",
    Proof.REVIEW: "No review has answered it yet.",
    Proof.CHECK: "Nothing has checked it yet.",
}


@dataclass(frozen=True, slots=True)
class Told:
    """A clause with its verdict in words and its evidence, newest first."""

    status: ClauseStatus
    why: str
    proof_words: str
    signal: tuple[str, str] | None
    """Layer and signal, for a clause of a signal."""
    history: tuple[Evidence, ...]


def signals(policy: Policy) -> dict[str, tuple[str, str]]:
    """Layer and signal of every clause that is a signal's."""
    return {
        clause: (signal.layer, signal.signal)
        for signal in policy.compiled.signals
        for clause in signal.clauses
    }


def why(status: ClauseStatus, said: str | None, now: datetime) -> str:
    """Why a clause has its verdict at ``now``; ``said`` is the verdict of its newest evidence."""
    clause = status.clause
    if status.verdict == "waived" and clause.waiver is not None:
        return f"{clause.waiver.owner} waives it until {clause.waiver.until}: {clause.waiver.reason}"
    if status.at is None:
        return _WITHOUT[clause.proof]
    if status.verdict == "unknown" and said == "met":
        hours = WATCHED_WITHIN.total_seconds() / 3600
        return f"Its last proof is older than {hours:g} h, so nobody watches it. It said: {status.summary}"
    if status.verdict == "unknown" and said == "waived":
        return "The waiver that its last evidence spoke of is over."
    if status.verdict == "missed" and said == "met":
        return f"Its last proof is older than its cadence allows. It said: {status.summary}"
    return status.summary


def told(status: ClauseStatus, history: list[Evidence], policy: Policy, now: datetime) -> Told:
    """``status`` with everything that belongs to it."""
    said = history[0].verdict if history else None
    clause = status.clause
    return Told(
        status,
        why(status, said, now),
        PROOF_WORDS[clause.proof],
        signals(policy).get(clause.id),
        tuple(history),
    )
