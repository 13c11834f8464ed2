"""The launches section: the fields of a logbook entry, which are also its completeness check."""

from __future__ import annotations

from pydantic import Field

from watchkeeper.runbook.models.base import Id, Part, Sentence, Several, Text


class LaunchField(Part):
    """One line of the template."""

    id: Id
    title: Text
    required: bool = True
    before: bool = True
    """Whether it must be filled before the launch (else after it)."""


class Launches(Part):
    """The launches section."""

    says: Sentence | None = None
    heading: Text = "Launch Logbook Entry"
    fields: Several[LaunchField] = Field(min_length=1)
