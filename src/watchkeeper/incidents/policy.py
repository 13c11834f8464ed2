"""The incidents section of the runbook that is in force."""

from __future__ import annotations

from watchkeeper.incidents.models import IncidentError
from watchkeeper.runbook.models.incidents import Incidents
from watchkeeper.runbook.models.runbook import Runbook


def section(runbook: Runbook) -> Incidents:
    """What the runbook says of incidents. Raises :class:`IncidentError` where it says nothing."""
    if runbook.incidents is None:
        raise IncidentError("the runbook has no incidents section; write one, see docs/incidents.md")
    return runbook.incidents
