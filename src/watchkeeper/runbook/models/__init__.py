"""The runbook's types, one module per section. ``Runbook`` is the whole; everything is frozen and strict."""

from __future__ import annotations

from watchkeeper.runbook.models.monitoring import Layer, Monitoring, Signal, Threshold
from watchkeeper.runbook.models.runbook import Runbook

__all__ = ["Layer", "Monitoring", "Runbook", "Signal", "Threshold"]
