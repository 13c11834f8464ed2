"""What must be true of incidents and their deadlines: further invariants of the auditor.

Always true: a deadline ends in exactly one verdict, or in none because its subject went away, and nothing
happens to it afterwards; one that has run out is judged; a page that fires has its incident; an incident that
is closed stays so until somebody reopens it (tests/simulation/test_invariants.py breaks each).
"""

from __future__ import annotations

import sqlite3
from typing import Any

from tests.simulation.deployment import Site
from tests.simulation.invariants import Auditor
from watchkeeper.store.clock import to_us

SETTLED = ("met", "missed", "waived", "void")
JUDGED_BOUND = 120.0
JOINED_BOUND = 120.0


class IncidentAuditor:
    """Reads along with the auditor."""

    def __init__(self, site: Site, reader: sqlite3.Connection, auditor: Auditor) -> None:
        self._site = site
        self._reader = reader
        self._auditor = auditor
        self._settled: dict[int, str] = {}
        self._overdue: dict[int, float] = {}
        self._alone: dict[tuple[str, str], float] = {}
        self._states: dict[str, str] = {}
        auditor.listeners.append(self.entry)

    def entry(self, kind: str, subject: str, facts: dict[str, Any], evidence: list[tuple[str, str]]) -> None:
        """One entry of the journal."""
        section, _, what = kind.partition(".")
        if section == "deadline":
            self._deadline(what, facts, evidence)
        elif section == "incident" and what in ("opened", "resolved", "closed", "reopened"):
            before = self._states.get(subject)
            if (what == "closed" and before != "resolved") or (what == "opened" and before is not None):
                self._auditor.violated(f"{subject} is {what}, and was {before}")
            self._states[subject] = what

    def _deadline(self, what: str, facts: dict[str, Any], evidence: list[tuple[str, str]]) -> None:
        number = facts["deadline"]
        if number in self._settled:
            self._auditor.violated(f"deadline {number} was {self._settled[number]}, and is {what} now")
        if what in SETTLED:
            self._settled[number] = what
            expected = [] if what == "void" else [(facts["clause"], what)]
            if evidence != expected:
                self._auditor.violated(f"deadline {number} is {what}, and its evidence is {evidence}")

    def committed(self) -> None:
        """Something was committed: nothing may be overdue for long."""
        now, wall = self._site.timeline.now, to_us(self._site.clock.now())
        calm = self._auditor.calm("work", "store", "clock")
        query = "SELECT id, due_at FROM deadlines WHERE state = 'running' AND due_at < ?"
        overdue = {
            number: self._overdue.get(number, now) for number, _ in self._reader.execute(query, (wall,))
        }
        for number, since in overdue.items():
            if now - max(since, calm) > JUDGED_BOUND:
                self._auditor.violated(
                    f"deadline {number} ran out {now - since:.0f} s ago, and is not judged"
                )
        self._overdue = overdue
        query = (
            "SELECT fingerprint, episode FROM alerts WHERE state = 'firing' AND severity = 'page' "
            "AND inhibited_by IS NULL AND NOT EXISTS (SELECT 1 FROM incident_alerts AS mine "
            "WHERE mine.fingerprint = alerts.fingerprint AND mine.episode = alerts.episode)"
        )
        alone = {
            (row[0], row[1]): self._alone.get((row[0], row[1]), now) for row in self._reader.execute(query)
        }
        for (fingerprint, _), since in alone.items():
            if now - max(since, calm) > JOINED_BOUND:
                self._auditor.violated(f"the page {fingerprint} fires, and belongs to no incident")
        self._alone = alone
