"""One writer at a time, on each database: what a write has read is still so when it commits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update

from tests.postgresql import Server
from watchkeeper.store import postgresql as connections
from watchkeeper.store.database import Store, open_store
from watchkeeper.store.errors import StoreBusyError
from watchkeeper.store.models import section_state

COUNTER = {"section": "test", "name": "counter"}


def at_once(number: int, do: Callable[[], object]) -> None:
    """Run ``do`` in so many threads at the same time."""
    go = threading.Barrier(number)

    def one() -> None:
        go.wait(30)
        do()

    threads = [threading.Thread(target=one) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def test_nothing_is_lost_between_what_a_write_reads_and_what_it_writes(
    store: Store, place: Path | str
) -> None:
    """As when several processes count: no statement asks for a lock, and none needs to."""
    with store.write() as conn:
        conn.execute(insert(section_state).values(**COUNTER, document=0))

    def count() -> None:
        with open_store(place) as own:
            for _ in range(10):
                with own.write() as conn:
                    (known,) = conn.execute(select(section_state.c.document)).scalars()
                    conn.execute(update(section_state).values(document=known + 1))

    at_once(4, count)
    with store.read() as conn:
        assert conn.execute(select(section_state.c.document)).scalar() == 40


def test_readers_wait_for_no_writer(store: Store, place: Path | str) -> None:
    with open_store(place) as other, store.write() as conn:
        conn.execute(insert(section_state).values(**COUNTER, document=1))
        with other.read() as reading:
            assert reading.execute(select(section_state.c.document)).all() == []


def test_a_writer_that_holds_on_too_long_makes_the_others_busy_and_loses_nothing(
    postgresql: Server, monkeypatch: pytest.MonkeyPatch, now: datetime
) -> None:
    monkeypatch.setattr(connections, "_SESSION", "SELECT set_config('lock_timeout', '200ms', false)")
    with postgresql.store() as url, open_store(url) as store, open_store(url) as other:
        with store.write() as conn:
            conn.execute(insert(section_state).values(**COUNTER, document=1))
            with pytest.raises(StoreBusyError, match="held by another writer"), other.write():
                pass
        with other.write() as conn:
            assert conn.execute(select(section_state.c.document)).scalar() == 1
