"""The JSON API: everything that pages can do, for programs and for the command line with ``--server``."""

from watchkeeper.console.api import (
    access,
    alerts,
    changes,
    clauses,
    incident_changes,
    incident_runs,
    incidents,
    journal,
    oncall,
    runbook,
    silences,
    watching,
)

API = (
    alerts,
    incidents,
    incident_changes,
    incident_runs,
    changes,
    silences,
    oncall,
    journal,
    clauses,
    watching,
    runbook,
    access,
)
"""Each has ``router(console)``, whose routes declare the scope that they need."""
