"""The pages that people read, one module for each; every one reads without a script."""

from watchkeeper.console.pages import (
    access,
    alert,
    alerts,
    document,
    explore,
    home,
    journal,
    oncall,
    receivers,
    settings,
    signals,
    silences,
)

PAGES = (
    home,
    alerts,
    alert,
    signals,
    explore,
    document,
    oncall,
    silences,
    journal,
    settings,
    receivers,
    access,
)
"""Each has ``router(console)``, whose routes declare the scope that they need."""
