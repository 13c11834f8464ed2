"""Waivers: a clause that is knowingly not kept, by whom, why, and until when. Never shown as met."""

from __future__ import annotations

from datetime import date

from watchkeeper.runbook.models.base import Part, Text
from watchkeeper.runbook.models.calendar import Day


class Waiver(Part):
    """An exception with an end."""

    clause: Text
    reason: Text
    owner: Text
    until: Day
    """The last day on which it holds."""

    def active(self, today: date) -> bool:
        """Whether it still holds."""
        return today <= self.until
