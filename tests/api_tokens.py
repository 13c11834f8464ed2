"""API tokens for tests and benches that ask a real Watchkeeper over HTTP."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from watchkeeper.access import tokens
from watchkeeper.access.models import Scope
from watchkeeper.store.clock import SystemClock
from watchkeeper.store.database import open_existing


def token_for(data: Path | str, *scopes: Scope) -> str:
    """A token of the Watchkeeper whose state is in ``data``; with every scope where none is named."""
    now = SystemClock().now()
    with open_existing(data, write=True) as store, store.write() as conn:
        return tokens.create(
            conn,
            now,
            name="test",
            scopes=list(scopes or Scope),
            expires_at=now + timedelta(days=1),
            by="component:test",
        )
