"""A data directory at night: a page and a warning fire, one more warning is pending."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert

from watchkeeper.store.database import open_store
from watchkeeper.store.models import alerts

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    with open_store(tmp_path) as store, store.write() as conn:
        for fingerprint, name, state in (
            ("f1", "ApiErrorRatePage", "firing"),
            ("f2", "JobsQueueDepthWarn", "firing"),
            ("f3", "DatabaseStorageWarn", "pending"),
        ):
            conn.execute(
                insert(alerts).values(
                    fingerprint=fingerprint,
                    rule=name,
                    alertname=name,
                    severity="page" if name.endswith("Page") else "warn",
                    labels={"alertname": name, "service": "api\x1b[2J"},
                    annotations={"summary": f"{name} is over its line"},
                    state=state,
                    active_at=NOW,
                    fired_at=NOW if state == "firing" else None,
                    episode="e1",
                )
            )
    return tmp_path
