"""A restart, at whatever moment, neither pages again nor forgets: real stores, a real (fake) PagerDuty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from tests.fakes.pagerduty import ROUTING_KEY, FakePagerDuty
from tests.monitoring.stage import Stage, load_text
from watchkeeper.notify.delivery import Deliverer
from watchkeeper.notify.receivers import build_receivers
from watchkeeper.notify.transport import HttpTransport
from watchkeeper.runbook.loading import default_text
from watchkeeper.store.clock import SystemClock
from watchkeeper.store.models import section_state

PAGE = "ObjectsNodeHealthPage"
BAD, GOOD = "object_storage_nodes_offline 1\n", "object_storage_nodes_offline 0\n"


@pytest.fixture
def pagerduty() -> Iterator[FakePagerDuty]:
    with FakePagerDuty() as fake:
        yield fake


@pytest.fixture
def stage(tmp_path: Path, place: Path | str, pagerduty: FakePagerDuty) -> Iterator[Stage]:
    key = "routing_key: {env: PAGERDUTY_ROUTING_KEY}"
    text = default_text()
    assert key in text
    it = Stage(tmp_path, load_text(text.replace(key, f"{key}\n        url: {pagerduty.url}")), place=place)
    yield it
    it.close()


def deliver(stage: Stage) -> None:
    """What the role ``work`` does: send what the outbox holds."""
    receivers, problems = build_receivers(
        stage.loaded.runbook.notifications.receivers,
        HttpTransport(SystemClock()),
        {"PAGERDUTY_ROUTING_KEY": ROUTING_KEY},
        platform="stage",
    )
    assert not problems
    Deliverer(stage.store, receivers.values(), stage.clock).run_once()


def histories(pagerduty: FakePagerDuty) -> list[list[str]]:
    """What reached PagerDuty, by incident."""
    keys = dict.fromkeys(event.dedup_key for event in pagerduty.events)
    return [pagerduty.actions(key) for key in keys]


def test_a_restart_in_the_middle_of_an_episode_pages_nobody_again(
    stage: Stage, pagerduty: FakePagerDuty
) -> None:
    stage.tick(BAD)
    deliver(stage)
    (before,) = stage.rows()
    for _ in range(3):
        stage.restart()
        stage.tick(BAD)
        deliver(stage)
    (after,) = stage.rows()
    assert histories(pagerduty) == [["trigger"]]
    kept = ("episode", "fired_at", "group_key", "last_sent_at", "episode_starts_at")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    stage.tick(GOOD)
    deliver(stage)
    assert histories(pagerduty) == [["trigger", "resolve"]]


def test_a_page_that_was_recorded_but_not_sent_is_sent_after_the_restart(
    stage: Stage, pagerduty: FakePagerDuty
) -> None:
    stage.tick(BAD)
    stage.restart()  # died between the transaction and the delivery
    assert histories(pagerduty) == []
    deliver(stage)
    stage.tick(BAD)
    deliver(stage)
    assert histories(pagerduty) == [["trigger"]]


def test_what_ended_while_we_were_away_is_resolved_when_we_are_back(
    stage: Stage, pagerduty: FakePagerDuty
) -> None:
    stage.tick(BAD)
    deliver(stage)
    stage.clock.advance(3600)
    stage.restart()
    stage.tick(GOOD)
    deliver(stage)
    assert histories(pagerduty) == [["trigger", "resolve"]]


def test_a_resolve_that_was_recorded_but_not_sent_comes_after_its_trigger(
    stage: Stage, pagerduty: FakePagerDuty
) -> None:
    pagerduty.plan("500")
    stage.tick(BAD)
    deliver(stage)  # fails
    stage.tick(GOOD)
    stage.restart()
    for _ in range(10):
        stage.tick(GOOD)
        deliver(stage)
    assert histories(pagerduty) == [["trigger", "resolve"]]


def test_time_that_was_pending_is_kept_and_time_away_is_not_counted(stage: Stage) -> None:
    queue = 'job_queue_depth{queue="scans"} 500\n'  # warns after ten minutes
    for _ in range(21):
        stage.tick(queue)  # five minutes are over
    stage.clock.advance(7200)
    stage.restart()
    for step in range(1, 22):
        stage.tick(queue)
        # Away counts as one interval, as does this first evaluation: 300 s before, 300 s after.
        assert stage.firing() == (["JobsQueueDepthWarn"] if step >= 20 else [])


def test_a_first_evaluation_before_the_first_scrape_ends_nothing(
    stage: Stage, pagerduty: FakePagerDuty
) -> None:
    queue = 'job_queue_depth{queue="scans"} 500\n'
    for _ in range(21):
        stage.tick(BAD + queue)
    stage.clock.advance(7200)
    stage.restart()
    stage.evaluate()  # what was scraped before is too old to be seen
    for step in range(1, 22):
        stage.tick(BAD + queue)
        assert ("JobsQueueDepthWarn" in stage.firing()) is (step >= 20)
    deliver(stage)
    assert histories(pagerduty) == [["trigger"], ["trigger"]]


def test_the_end_of_a_pending_alert_during_a_restart_forgets_it(stage: Stage) -> None:
    stage.tick('job_queue_depth{queue="scans"} 500\n')
    stage.restart()
    stage.tick('job_queue_depth{queue="scans"} 0\n')
    assert stage.rows() == []


def test_what_is_missing_is_still_missing_after_a_restart(stage: Stage) -> None:
    clause = "monitoring.objects.node-health.page"
    stage.tick(GOOD)
    for _ in range(10):
        stage.tick("")
    stage.restart()
    for _ in range(10):
        assert stage.verdict(clause) == "met"
        stage.tick("")
    stage.tick("")
    assert stage.verdict(clause) == "unknown"


def test_a_resolved_alert_is_shown_for_fifteen_minutes_through_a_restart(stage: Stage) -> None:
    stage.tick(BAD)
    stage.tick(GOOD)
    stage.restart()
    assert [row["state"] for row in stage.rows()] == ["resolved"]
    for _ in range(60):
        stage.tick(GOOD)
        assert [row["state"] for row in stage.rows()] == ["resolved"]
    stage.tick(GOOD)
    assert stage.rows() == []


def test_a_resolved_alert_that_comes_back_after_a_restart_is_a_new_incident(
    stage: Stage, pagerduty: FakePagerDuty
) -> None:
    for state in (BAD, GOOD, BAD):
        stage.tick(state)
        stage.restart()
        deliver(stage)
    assert histories(pagerduty) == [["trigger", "resolve"], ["trigger"]]


def test_remembered_state_that_cannot_be_read_is_begun_anew_and_the_alerts_go_on(stage: Stage) -> None:
    stage.tick(BAD)
    with stage.store.write() as conn:
        conn.execute(update(section_state).values(document={"odd": True}))
    stage.restart()
    stage.tick(BAD)
    assert stage.firing() == [PAGE]
    stage.tick(GOOD)
    assert stage.firing() == []
