"""A finding: what stands there, why it will not do what is expected, and what to write instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

from watchkeeper.runbook.errors import Place
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.sentences import Loc

ResultLabels = Callable[[str], frozenset[str] | None]
"""The labels that a PromQL expression's results can have; None where only the data can tell."""


@dataclass(frozen=True, slots=True)
class Hit:
    """Where a rule applies. ``subject`` is a clause id or the dotted name of a part."""

    loc: Loc
    subject: str
    reason: str
    instead: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What a rule looks at."""

    runbook: Runbook
    result_labels: ResultLabels | None = None
    today: date | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A named rule. ``trap`` is what it protects from, in one line, for the documentation."""

    id: str
    trap: str
    check: Callable[[Subject], Iterator[Hit]]


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule applied to a line of the file."""

    rule: str
    place: Place
    subject: str
    reason: str
    instead: str

    def render(self) -> str:
        """A few lines for a terminal."""
        shown = self.place.text.strip()
        lines = [f"{self.place}: {self.subject}: {self.reason} [{self.rule}]"]
        if shown:
            lines.append(f"{self.place.line:>5} | {shown[:150]}")
        lines.append(f"        instead: {self.instead}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """For machines: the same facts under stable names."""
        return {
            "rule": self.rule,
            "file": self.place.file,
            "line": self.place.line,
            "column": self.place.column,
            "subject": self.subject,
            "reason": self.reason,
            "instead": self.instead,
        }
