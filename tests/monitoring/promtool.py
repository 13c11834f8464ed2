"""Debian's promtool, where there is one."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

PROMTOOL = shutil.which("promtool") or "promtool"


def needs_promtool(test: Any) -> Any:
    """Marks a test that runs promtool; it is skipped, with a line that says so, where there is none."""
    absent = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
    return pytest.mark.needs_prometheus(absent(test))
