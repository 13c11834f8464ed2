"""The pages that people read, one module for each; every one reads without a script."""

from watchkeeper.console.pages import (
    access,
    alert,
    alerts,
    clauses,
    document,
    explore,
    home,
    incident,
    incident_figures,
    incidents,
    journal,
    oncall,
    receivers,
    rules,
    settings,
    signals,
    silences,
    targets,
)

PAGES = (
    home,
    alerts,
    alert,
    incidents,
    incident_figures,
    incident,
    signals,
    explore,
    document,
    oncall,
    silences,
    journal,
    clauses,
    targets,
    rules,
    settings,
    receivers,
    access,
)
"""Each has ``router(console)``, whose routes declare the scope that they need."""
