"""Incidents as they are shown."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert

from tests.incidents.desk import ADA, NOW, Desk
from watchkeeper.incidents import reading, service
from watchkeeper.incidents.models import NoSuchIncidentError, State
from watchkeeper.store.models import alerts, escalations, incident_alerts


def test_lists_are_newest_first_and_page_on(desk: Desk) -> None:
    for number in range(5):
        desk.open(f"Number {number + 1}")
    desk.do(service.resolve, 2, ADA)
    desk.do(service.set_severity, 3, ADA, "SEV-2")
    desk.do(service.set_severity, 4, ADA, "SEV-1")
    with desk.read() as conn:
        assert [one.id for one in reading.listed(conn, limit=2)] == [5, 4]
        assert [one.id for one in reading.listed(conn, before=4, limit=2)] == [3, 2]
        assert [one.id for one in reading.listed(conn, states=[State.RESOLVED])] == [2]
        assert [one.id for one in reading.live(conn)] == [1, 5, 4, 3]
        with pytest.raises(NoSuchIncidentError, match="no incident 9"):
            reading.one(conn, 9)


def test_the_clock_of_the_acknowledgement_is_the_escalations(desk: Desk) -> None:
    desk.open(severity="SEV-1")
    with desk.store.write() as conn:
        conn.execute(
            insert(alerts).values(
                fingerprint="one",
                rule="R",
                alertname="R",
                severity="page",
                labels={},
                annotations={},
                state="firing",
                group_key="key",
                episode="e1",
            )
        )
        conn.execute(
            insert(incident_alerts).values(
                incident_id=1,
                fingerprint="one",
                episode="e1",
                alertname="R",
                severity="page",
                summary="it burns",
                labels={},
                joined_at=NOW,
                because="",
                ended="",
                at_baseline=0,
            )
        )
        conn.execute(
            insert(escalations).values(
                dedup_key="key",
                state="open",
                paged_at=NOW,
                started_at=NOW,
                step=1,
                round=0,
                scheduled_at=NOW,
                told=[],
                about={},
            )
        )
    story = desk.story()
    assert story.clock is not None
    assert (story.clock.clause, story.clock.due_at) == ("incidents.acknowledge", NOW + timedelta(minutes=5))
    assert story.clock.deadline_id is None
    assert story.next is not None
    assert story.next.due_at == NOW + timedelta(minutes=5)
    with desk.read() as conn:
        assert reading.of_alert(conn, "one") == 1
        assert reading.of_alert(conn, "two") is None
