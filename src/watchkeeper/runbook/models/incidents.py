"""The incidents section: what happens from the first alert to the closed document, and by when."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from watchkeeper.runbook.models.base import Id, Part, Sentence, Several, Text
from watchkeeper.runbook.models.quantities import Duration
from watchkeeper.runbook.models.references import (
    ContactRef,
    ReceiverRef,
    RotaRef,
    SeverityRef,
    StakeholderRef,
)

SeverityId = Annotated[str, StringConstraints(pattern=r"^SEV-[1-9]$")]


class SeverityLevel(Part):
    """How bad an incident is; SEV-1 is the worst."""

    id: SeverityId
    definition: Text
    pages: bool = True


class UpdateDeadline(Part):
    """How often an open incident is reported on, and where."""

    every: Duration
    severities: Several[SeverityRef] = Field(min_length=1)
    channel: Text


class Deadlines(Part):
    """The clocks of an incident. Each is a clause."""

    acknowledge: Duration
    triage: Duration | None = None
    update: UpdateDeadline
    communicate: Duration | None = None
    """From triage until the stakeholders are told; without it, as long as between two updates."""
    document: Duration


class Stakeholder(Part):
    """Somebody who must know. ``told`` says what they care about."""

    id: Id
    title: Text
    contacts: Several[ContactRef] = ()
    receivers: Several[ReceiverRef] = ()
    severities: Several[SeverityRef] = ()
    """Empty means every severity."""
    told: Several[Text] = ()


class Audience(Part):
    """A way to speak about an incident, for readers who need different words."""

    id: Id
    title: Text
    stakeholders: Several[StakeholderRef] = ()
    template: Text


class IncidentStep(Part):
    """One step of the response."""

    id: Id
    title: Text
    says: Sentence


class Document(Part):
    """What the incident document must hold before it may be closed."""

    sections: Several[Text] = ()
    follow_ups_need: Several[Text] = ("owner", "due date")


class Incidents(Part):
    """The incidents section."""

    severities: Several[SeverityLevel] = Field(min_length=1)
    deadlines: Deadlines
    steps: Several[IncidentStep] = ()
    stakeholders: Several[Stakeholder] = ()
    audiences: Several[Audience] = ()
    document: Document = Document()
    rota: RotaRef | None = None
    join_window: Duration = Duration("1h")
    """A resolved incident whose alert fires again within this time is reopened; later, another one opens."""
