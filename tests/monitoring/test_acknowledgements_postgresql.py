"""Taking an alert on PostgreSQL, where two may do so at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, select

from tests.postgresql import Server
from watchkeeper.monitoring.acknowledgements import Acknowledged, acknowledge
from watchkeeper.store import journal
from watchkeeper.store.database import Store, open_store
from watchkeeper.store.models import alerts

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)


@pytest.fixture
def store(postgresql: Server) -> Iterator[Store]:
    with postgresql.store() as url, open_store(url) as opened:
        yield opened


def test_of_two_at_once_one_has_it_and_the_other_is_told_who(store: Store) -> None:
    with store.write() as conn:
        values = {"fingerprint": "one", "rule": "R", "alertname": "Down", "severity": "page", "episode": "e1"}
        conn.execute(insert(alerts).values(**values, labels={}, annotations={}, state="firing"))
    found: list[Acknowledged] = []

    def take() -> None:
        with store.write() as conn:
            found.append(acknowledge(conn, NOW, ["one"], "ben"))

    second = threading.Thread(target=take)
    with store.write() as conn:
        first = acknowledge(conn, NOW, ["one"], "ada")
        second.start()
        second.join(1)
    second.join(60)
    assert first.alertnames == ("Down",)
    assert found == [Acknowledged((), (), ("ada",))]
    with store.read() as conn:
        assert conn.execute(select(alerts.c.acked_by)).scalar() == "ada"
        assert len(journal.entries(conn, journal.Filter(kind="alert.acknowledged"))) == 1
