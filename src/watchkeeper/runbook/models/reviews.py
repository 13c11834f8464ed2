"""The reviews section: the weekly checklist, each line with the figure it is judged by."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from watchkeeper.runbook.models.base import Id, Part, Sentence, Several
from watchkeeper.runbook.models.calendar import Cadence
from watchkeeper.runbook.models.quantities import Duration, Ratio

CheckSource = Literal[
    "alerts", "slo", "backups", "drift", "certificates", "vulnerabilities", "staffing", "manual"
]


class ReviewCheck(Part):
    """One line of the checklist."""

    id: Id
    says: Sentence
    source: CheckSource = "manual"
    """What is asked for the facts; ``manual`` is a person's word."""
    below: Ratio | None = None
    within: Duration | None = None
    fraction_of_lifetime: Ratio | None = None
    """For certificates that live under 100 days: due when this share of their life is left."""
    looks_back: Duration | None = None


class Reviews(Part):
    """The reviews section."""

    cadence: Cadence
    checks: Several[ReviewCheck] = Field(min_length=1)
