"""Which receivers are told of changes: the launches section knows nothing of the runbook's receivers."""

from __future__ import annotations

from watchkeeper.runbook.models.notifications import PagerDuty
from watchkeeper.runbook.models.runbook import Runbook


def change_receivers(runbook: Runbook) -> tuple[str, ...]:
    """The ids of the PagerDuty receivers that get change events."""
    return tuple(
        line.id
        for line in runbook.notifications.receivers
        if isinstance(line.settings, PagerDuty) and line.settings.change_events
    )
