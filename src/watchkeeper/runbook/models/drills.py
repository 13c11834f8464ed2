"""The drills section: which disaster is practised when, what is measured, and what must follow."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from watchkeeper.runbook.models.base import Id, Part, Sentence, Several, Text
from watchkeeper.runbook.models.quantities import Duration, Period
from watchkeeper.runbook.models.references import PlaybookRef, ScenarioRef


class Scenario(Part):
    """One disaster. The drill runs the very playbook that a real one would run."""

    id: Id
    title: Text
    simulate: Sentence | None = None
    simulate_playbook: PlaybookRef | None = None
    playbook: PlaybookRef
    rto: Duration | None = None
    rpo: Duration | None = None


class Preparation(Part):
    """What happens before."""

    announce: Duration
    freeze: bool = True
    freeze_for: Duration = Duration("1d")
    """Risky deploys are frozen from so long before the drill until it ends."""
    accessible: Several[Text] = ("runbooks", "credentials")


class Timing(Part):
    """Something whose length a drill measures."""

    id: Id
    title: Text


class Check(Part):
    """Something that a drill must show before it counts as passed."""

    id: Id
    title: Text
    playbook: PlaybookRef | None = None


class DrillStep(Part):
    """One step of the procedure; ``parts`` are listed below it."""

    id: Id
    title: Text
    says: Sentence | None = None
    parts: Several[Sentence] = ()


class Drills(Part):
    """The drills section."""

    cadence: Period
    rotation: Annotated[Several[ScenarioRef], Field(min_length=1)]
    scenarios: Several[Scenario] = Field(min_length=1)
    preparation: Preparation
    timings: Several[Timing] = ()
    validation: Several[Check] = ()
    retrospective: Duration
    backlog: Text = "DR backlog"
    steps: Several[DrillStep] = ()
