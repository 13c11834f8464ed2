"""The whole runbook: one model per top-level key of runbook.yaml, in the order people read it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from watchkeeper.runbook.models.backups import Backups
from watchkeeper.runbook.models.base import Id, Part, Sentence, Several, Text
from watchkeeper.runbook.models.drills import Drills
from watchkeeper.runbook.models.incidents import Incidents
from watchkeeper.runbook.models.launches import Launches
from watchkeeper.runbook.models.metrics import Metrics
from watchkeeper.runbook.models.monitoring import Monitoring
from watchkeeper.runbook.models.notifications import Notifications
from watchkeeper.runbook.models.people import Contact, OnCall
from watchkeeper.runbook.models.playbooks import Playbook
from watchkeeper.runbook.models.reviews import Reviews
from watchkeeper.runbook.models.waivers import Waiver


class Runbook(Part):
    """The policy. Frozen; a reload builds a new one."""

    runbook: Literal[1]
    """The version of the format."""
    platform: Text
    about: Sentence | None = None
    metrics: Metrics = Field(default_factory=Metrics)
    notifications: Notifications = Field(default_factory=Notifications)
    contacts: Several[Contact] = ()
    oncall: OnCall = Field(default_factory=OnCall)
    monitoring: Monitoring = Field(default_factory=Monitoring)
    backups: Backups = Field(default_factory=Backups)
    incidents: Incidents | None = None
    drills: Drills | None = None
    reviews: Reviews | None = None
    launches: Launches | None = None
    playbooks: dict[Id, Playbook] = Field(default_factory=dict)
    waivers: Several[Waiver] = ()

    def contact(self, contact_id: str) -> Contact | None:
        """The contact of that id, if there is one."""
        return next((contact for contact in self.contacts if contact.id == contact_id), None)
