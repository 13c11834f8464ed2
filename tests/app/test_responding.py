"""Alerts open incidents and come back to their baseline; deadlines run out, are told of and judged."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.app.responses import Watch
from tests.incidents.desk import ADA, BEN
from watchkeeper.app.responding import BATCH, acknowledge_alerts
from watchkeeper.incidents import alerting, joining, reading, service
from watchkeeper.incidents.joining import Firing
from watchkeeper.incidents.models import Action, RefusedError, State, Status
from watchkeeper.store.errors import StoreFullError


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    opened = Watch(tmp_path)
    with opened.store:
        yield opened


def test_a_page_opens_an_incident_at_the_next_look_and_once(watch: Watch) -> None:
    watch.fire()
    assert watch.look() == 1
    assert watch.look() == 0
    watch.restart()
    assert watch.look() == 0
    story = watch.story()
    assert (story.incident.title, story.incident.service) == ("ApiErrors: 7 % of requests fail", "api")
    assert story.next is not None
    assert story.next.action is Action.ACKNOWLEDGE
    assert len(watch.entries("incident.opened")) == 1
    assert watch.told() == [("status", None, "trigger")]


def test_a_warning_opens_none_and_joins_the_open_one_of_its_service(watch: Watch) -> None:
    watch.fire("slow", severity="warn")
    watch.fire("other", service="db", severity="warn")
    assert watch.look() == 0
    watch.fire()
    watch.look()
    assert {one.fingerprint for one in watch.story().alerts} == {"one", "slow"}


def test_a_quiet_alert_opens_none_until_it_is_heard(watch: Watch) -> None:
    watch.fire(quiet="silence:3")
    assert watch.look() == 0
    watch.change("one", inhibited_by=None)
    assert watch.look() == 1
    assert watch.story().alerts[0].fingerprint == "one"


def test_what_fired_and_ended_while_nobody_looked_still_has_its_incident(watch: Watch) -> None:
    watch.fire()
    watch.later(2)
    watch.end()
    watch.restart()
    watch.look(10)
    story = watch.story()
    assert story.incident.state is State.OPEN
    assert story.resolve_gaps == ()


def test_resolve_waits_for_the_signals_or_a_reason(watch: Watch) -> None:
    watch.fire()
    watch.fire("two", alertname="ApiSlow")
    watch.look()
    with pytest.raises(RefusedError) as refused:
        watch.do(service.resolve, 1, ADA)
    assert [gap.what for gap in refused.value.gaps] == ["ApiErrors", "ApiSlow"]
    watch.end()
    watch.end("two", well=False)
    watch.look()
    with pytest.raises(RefusedError, match="nobody knows whether its signal is well"):
        watch.do(service.resolve, 1, ADA)
    assert watch.entries("incident.at_baseline") == []
    watch.do(service.resolve, 1, ADA, override="the pod is gone for good")
    assert watch.evidence("resolve") == ["waived"]
    said = watch.entries("incident.resolved")[0]
    assert (said.actor, said.facts["override"]) == ("person:ada", "the pod is gone for good")


def test_at_baseline_the_channel_hears_it_and_resolve_is_next(watch: Watch) -> None:
    watch.fire()
    watch.look()
    watch.do(service.acknowledge, 1, ADA, acknowledge_alerts)
    watch.do(service.set_severity, 1, ADA, "SEV-3")
    watch.do(service.post_update, 1, ADA, status=Status.MONITORING, impact="none")
    watch.end()
    watch.look()
    assert len(watch.entries("incident.at_baseline")) == 1
    assert watch.story().next.action is Action.RESOLVE  # type: ignore[union-attr]
    watch.do(service.resolve, 1, ADA)
    assert watch.evidence("resolve") == ["met"]


def test_acknowledging_the_incident_takes_its_alerts_and_the_other_way_round(watch: Watch) -> None:
    watch.fire()
    watch.look()
    watch.do(service.acknowledge, 1, BEN, acknowledge_alerts, "on it")
    story = watch.story()
    assert (story.incident.commander, story.alerts[0].acknowledged_by) == ("ben", "ben")
    watch.fire("db", service="db", alertname="DbDown")
    watch.look()
    with watch.store.write() as conn:
        acknowledge_alerts(conn, watch.now, ["db"], "ada", "", "person:ada")
    assert watch.look() == 1
    assert watch.story(2).incident.acknowledged_by == "ada"


def test_a_resolved_incident_reopens_within_the_window_and_not_after_it(watch: Watch) -> None:
    watch.fire()
    watch.look()
    watch.end()
    watch.look()
    watch.do(service.resolve, 1, ADA)
    watch.later(59)
    watch.fire()
    watch.look()
    assert watch.story().incident.state is State.OPEN
    assert len(watch.story().alerts) == 2
    watch.end()
    watch.look()
    watch.do(service.resolve, 1, ADA)
    watch.later(61)
    watch.fire()
    watch.look()
    assert watch.story(2).incident.state is State.OPEN
    assert watch.story(1).incident.state is State.RESOLVED


def test_a_missed_update_warns_escalates_once_and_the_next_begins(watch: Watch) -> None:
    watch.open()
    watch.do(service.set_severity, 1, ADA, "SEV-1")
    before = len(watch.told())
    watch.look(12)
    assert watch.told()[before:] == [
        ("mail", "ada@example.org", "trigger"),
        ("mail", "ada@example.org", "trigger"),
    ]
    watch.look(3)
    assert sorted(watch.evidence("update") + watch.evidence("communicate")) == ["missed", "missed"]
    assert len(watch.entries("incident.escalated")) == 2
    assert watch.look() == 0
    clocks = [one for one in watch.story().clocks if one.running]
    assert [one.clause for one in clocks] == ["incidents.update"]
    watch.do(service.post_update, 1, ADA, status=Status.IDENTIFIED, impact="all")
    assert watch.evidence("update") == ["missed", "met"]
    last = {(receiver, to): kind for receiver, to, kind in watch.told()}
    assert last[("mail", "ben@example.org")] == "resolve"


def test_an_overdue_follow_up_tells_its_owner(watch: Watch) -> None:
    watch.open(severity="SEV-3")
    watch.do(service.post_update, 1, ADA, status=Status.MONITORING, impact="none")
    due = watch.now + timedelta(days=10)
    watch.do(service.add_follow_up, 1, ADA, "Add a test", owner="ben", due_on=due)
    watch.look(60 * 24 * 8)
    watch.look(60 * 24 * 3)
    told = [one for one in watch.told() if one[1] == "ben@example.org"]
    assert len(told) == 2
    assert watch.evidence("follow-ups") == ["missed"]
    watch.do(service.complete_follow_up, 1, BEN)
    assert watch.evidence("follow-ups") == ["missed"]
    with watch.read() as conn:
        assert reading.follow_ups(conn) == ()


def test_a_clock_set_forward_misses_nothing_and_set_back_neither(watch: Watch) -> None:
    watch.open()
    watch.do(service.set_severity, 1, ADA, "SEV-1")
    watch.look(1)
    watch.clock.jump(3 * 3600)
    watch.look()
    watch.look(1)
    assert watch.evidence("update") == []
    watch.clock.jump(-5 * 3600)
    watch.look()
    assert watch.evidence("update") == []
    watch.look(15)
    assert watch.evidence("update") == ["missed"]


def test_a_warning_that_fires_already_joins_within_ten_seconds_of_the_incident(watch: Watch) -> None:
    watch.fire("slow", severity="warn", quiet="silence:1")
    watch.open(service="api", env="prod")
    watch.look()
    watch.change("slow", inhibited_by=None)
    assert watch.look(1 / 60) == 0
    assert watch.look(10 / 60) == 1
    assert watch.story().alerts[0].because == "it is of the same service and environment"


def test_a_defect_met_in_one_alert_keeps_no_other_from_its_incident(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = joining.decide

    def decide(alert: Firing, *rest: Any) -> Any:
        if alert.fingerprint == "two":
            raise ZeroDivisionError
        return whole(alert, *rest)

    for name in ("one", "two", "three"):
        watch.fire(name, service=name)
    monkeypatch.setattr(alerting, "decide", decide)
    assert watch.look() == 2
    assert [one.facts["service"] for one in watch.entries("incident.opened")] == ["one", "three"]
    assert "because of a defect" in caplog.text
    assert watch.look() == 0
    monkeypatch.undo()
    assert watch.look() == 1


def test_a_storm_is_taken_in_many_at_a_time_and_each_alert_once(watch: Watch) -> None:
    for number in range(BATCH + 7):
        watch.fire(f"f{number}", service=f"s{number % 2}", group_key="storm")
    assert watch.look() == BATCH + 7
    assert watch.look() == 0
    assert len(watch.entries("incident.opened")) == 1
    assert len(watch.story().alerts) == BATCH + 7


def test_without_the_section_nothing_is_anybodys_incident_later_on(watch: Watch) -> None:
    whole = watch.runbook
    watch.responding.use(whole.model_copy(update={"incidents": None}))
    watch.look()
    watch.fire()
    watch.look()
    watch.end()
    watch.responding.use(whole)
    assert watch.look() == 0
    assert watch.look() == 0
    watch.fire("two")
    assert watch.look() == 1


def test_a_clock_step_that_could_not_be_written_is_made_good_at_the_next_look(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.open(severity="SEV-1")
    watch.look()
    watch.clock.jump(3600)

    def full(*_: Any) -> int:
        raise StoreFullError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr("watchkeeper.store.deadlines.passed_over", full)
        with pytest.raises(StoreFullError):
            watch.look()
    watch.look()
    assert watch.evidence("update") == []
