"""What carries out steps: a provider per verb. Sections bring theirs; these need none."""

from __future__ import annotations

from collections.abc import Mapping

from watchkeeper.playbooks.ports import Provider
from watchkeeper.playbooks.providers.chaostoolkit import ChaosToolkit
from watchkeeper.playbooks.providers.http import HttpRequest
from watchkeeper.playbooks.providers.process import RunProcess
from watchkeeper.playbooks.providers.python_call import PythonCall


def own_providers() -> dict[str, Provider]:
    """The verbs that belong to no section."""
    return {
        "process.run": RunProcess(),
        "http.request": HttpRequest(),
        "python.call": PythonCall(),
        "chaostoolkit.run": ChaosToolkit(),
    }


Registry = Mapping[str, Provider]
"""Providers by verb."""
