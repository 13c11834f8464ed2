"""Which alerts an incident is made of: opened by hand, merged, split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.responses import Watch
from tests.incidents.desk import ADA, BEN
from watchkeeper.incidents import service
from watchkeeper.incidents.models import ConflictError, IncidentError, State


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    opened = Watch(tmp_path)
    with opened.store:
        yield opened


def test_whoever_opens_one_has_it_and_leads_it(watch: Watch) -> None:
    one = watch.open("Uploads fail", BEN, severity="SEV-2", service="api", impact="half")
    assert (one.acknowledged_by, one.commander, one.severity) == ("ben", "ben", "SEV-2")
    assert watch.evidence("triage") == ["met"]
    assert {clock.clause for clock in watch.story().clocks if clock.running} == {
        "incidents.update",
        "incidents.communicate",
    }


@pytest.mark.parametrize("given", [{"title": " "}, {"title": "x", "severity": "SEV-9"}])
def test_what_cannot_be_opened_leaves_nothing(watch: Watch, given: dict[str, str]) -> None:
    with pytest.raises(IncidentError):
        watch.do(service.open_by_hand, ADA, **given)
    assert watch.entries("incident.*") == []


def test_a_merged_incident_keeps_its_number_and_says_where_it_went(watch: Watch) -> None:
    watch.fire()
    watch.look(1)
    watch.fire("db", service="db", alertname="DbDown")
    watch.look()
    watch.do(service.add_follow_up, 2, ADA, "Buy disks")
    watch.do(service.merge, 2, ADA, 1)
    assert watch.story(2).incident.state is State.MERGED
    assert watch.story(2).incident.merged_into == 1
    one = watch.story(1)
    assert [alert.alertname for alert in one.alerts] == ["ApiErrors", "DbDown"]
    assert [work.title for work in one.follow_ups] == ["Buy disks"]
    assert one.merged_from == (2,)
    assert not any(clock.running for clock in watch.story(2).clocks)
    assert watch.evidence("triage") == []
    watch.end("db")
    watch.look()
    assert [gap.what for gap in watch.story(1).resolve_gaps] == ["ApiErrors"]
    with pytest.raises(IncidentError, match="part of incident 1"):
        watch.do(service.set_severity, 2, ADA, "SEV-1")


def test_what_cannot_be_merged(watch: Watch) -> None:
    watch.open()
    watch.open("Another")
    with pytest.raises(IncidentError, match="into itself"):
        watch.do(service.merge, 1, ADA, 1)
    with pytest.raises(ConflictError):
        watch.do(service.merge, 1, ADA, 2, revision=0)
    watch.do(service.resolve, 2, ADA)
    with pytest.raises(IncidentError, match="reopen 2 first"):
        watch.do(service.merge, 1, ADA, 2)


def test_alerts_that_are_split_off_are_an_incident_of_their_own(watch: Watch) -> None:
    watch.fire()
    watch.fire("slow", alertname="ApiSlow")
    watch.look()
    slow = watch.story().alerts[1]
    chosen = [(one.fingerprint, one.episode) for one in watch.story().alerts]
    with pytest.raises(IncidentError, match="all of incident 1"):
        watch.do(service.split, 1, BEN, chosen, "Everything")
    with pytest.raises(IncidentError, match="name alerts of incident 1"):
        watch.do(service.split, 1, BEN, [("slow", "another")], "Slow")
    new = watch.do(service.split, 1, BEN, [(slow.fingerprint, slow.episode)], "Slow")
    assert (new.id, new.commander, new.service) == (2, "ben", "api")
    assert [one.alertname for one in watch.story(1).alerts] == ["ApiErrors"]
    watch.look()
    watch.restart()
    assert watch.look() == 0
    watch.end("slow")
    watch.look()
    assert watch.story(2).resolve_gaps == ()
    assert len(watch.story(1).resolve_gaps) == 1
