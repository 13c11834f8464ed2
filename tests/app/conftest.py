"""What the tests of the composition share: a deployment on disk, without processes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.app.serving import METRICS, RUNBOOK
from watchkeeper.app.settings import Settings, read_settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A small runbook with an overlay, and an empty data directory."""
    for name in ("RUNBOOK", "OVERLAY", "DATA", "LISTEN", "URL"):
        monkeypatch.delenv(f"WATCHKEEPER_{name}", raising=False)
    runbook, overlay, data = tmp_path / "runbook.yaml", tmp_path / "overlay.yaml", tmp_path / "data"
    runbook.write_text(RUNBOOK)
    overlay.write_text(METRICS.replace("TARGET", "127.0.0.1:1"))
    data.mkdir(mode=0o700)
    return read_settings(runbook, overlay, data)


def replaced(settings: Settings, **changes: object) -> Settings:
    """``settings`` with some of them changed."""
    return dataclasses.replace(settings, **changes)  # type: ignore[arg-type]
