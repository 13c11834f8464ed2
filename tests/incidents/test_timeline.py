"""The timeline: what belongs to it, in which order, and whose doing it was."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from sqlalchemy import insert

from tests.app.responses import Watch
from tests.incidents.desk import ADA, BEN
from watchkeeper.app.responding import acknowledge_alerts
from watchkeeper.incidents import reading, service
from watchkeeper.store import journal
from watchkeeper.store.models import runs


def test_it_has_the_incident_its_alerts_its_runs_and_its_follow_ups_and_nothing_else(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.fire()  # an episode before, of another incident
    watch.look()
    watch.end()
    watch.look()
    watch.do(service.resolve, 1, ADA)
    watch.later(120)
    watch.fire()
    watch.fire("db", service="db", alertname="DbDown")
    watch.look()
    watch.do(service.acknowledge, 2, BEN, acknowledge_alerts)
    work = watch.do(
        service.add_follow_up, 2, ADA, "Test it", owner="ben", due_on=watch.now + timedelta(days=1)
    )
    watch.look(20 * 60)
    with watch.store.write() as conn:
        blank = {
            "definition": {},
            "definition_hash": "",
            "inputs": {},
            "progress": {},
            "answers": [],
            "wakes": 0,
        }
        times = {"scheduled_at": watch.now, "started_at": watch.now, "started_by": "ben", "epoch": 0}
        conn.execute(
            insert(runs).values(
                id="fix-1", playbook="fix", title="Fix", subject="incident:2", state="done", **blank, **times
            )
        )
        journal.append(
            conn, watch.now, "run.step", "component:playbooks", "run:fix-1", {"summary": "restarted"}
        )
    watch.end()
    with watch.read() as conn:
        found = reading.timeline_of(conn, 2)
    assert [one.seq for one in found] == sorted({one.seq for one in found})
    kinds = [one.kind for one in found]
    assert kinds.count("alert.firing") == 1
    assert kinds.count("alert.resolved") == 1
    assert {"run.step", "deadline.warned", "follow_up.reminded", "alert.acknowledged"} <= set(kinds)
    assert {one.subject for one in found} == {"incident:2", "alert:one", "run:fix-1", f"follow-up:{work.id}"}
    people = {one.who for one in found if one.by_person}
    assert people == {"ada", "ben"}
    assert {one.who for one in found if not one.by_person} == {
        "monitoring",
        "incidents",
        "playbooks",
        "deadlines",
    }
    watch.store.close()
