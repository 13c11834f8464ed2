"""Lint: what a runbook says that is valid, and yet will not do what its author expects."""

from __future__ import annotations

from watchkeeper.runbook.lint.findings import Finding
from watchkeeper.runbook.lint.rules import RULES, lint

__all__ = ["RULES", "Finding", "lint"]
