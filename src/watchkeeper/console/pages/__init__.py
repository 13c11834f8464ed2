"""The pages that people read, one module for each; every one reads without a script."""

from watchkeeper.console.pages import (
    access,
    alert,
    alerts,
    document,
    home,
    journal,
    oncall,
    receivers,
    settings,
    silences,
)

PAGES = (home, alerts, alert, document, oncall, silences, journal, settings, receivers, access)
"""Each has ``router(console)``, whose routes declare the scope that they need."""
