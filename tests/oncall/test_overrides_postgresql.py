"""The same overrides on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.oncall.rotas import utc
from tests.postgresql import Server
from watchkeeper.oncall.overrides import OnCallError, Wanted, cancel, create, standing, upcoming
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import journal
from watchkeeper.store.database import Store, open_store

NOW = utc("2026-03-03 12:00")


@pytest.fixture
def store(postgresql: Server) -> Iterator[Store]:
    with postgresql.store() as url, open_store(url) as opened:
        yield opened


def test_an_override_is_made_and_cancelled_once(store: Store, runbook: Runbook) -> None:
    wanted = Wanted("platform", "cleo", utc("2026-03-04"), utc("2026-03-06"), "dentist")
    with store.write() as conn:
        made = create(conn, NOW, runbook, wanted, "person:ada")
        assert upcoming(conn, NOW) == [made]
        assert standing(conn, runbook, "platform", NOW) == [made.override]
    with store.write() as conn:
        cancel(conn, NOW + timedelta(hours=1), made.id, "person:ada")
    with pytest.raises(OnCallError, match="cancelled before"), store.write() as conn:
        cancel(conn, NOW + timedelta(hours=2), made.id, "person:ada")
    with store.read() as conn:
        assert standing(conn, runbook, "platform", NOW) == []
        assert [entry.kind for entry in journal.entries(conn)] == [
            "oncall.override_created",
            "oncall.override_cancelled",
        ]
        assert journal.verify(conn).intact
