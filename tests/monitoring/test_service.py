"""An evaluation from scraped text to the journal and the outbox, on the real stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests.monitoring.stage import PLACE, Stage, default_runbook, load_text, target
from watchkeeper.monitoring.alerts import AlertState
from watchkeeper.runbook.loading import LoadedRunbook, default_text
from watchkeeper.store import journal
from watchkeeper.store.database import Store

PAGE = "ObjectsNodeHealthPage"
CLAUSE = "monitoring.objects.node-health.page"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    it = Stage(tmp_path)
    yield it
    it.close()


def nodes_offline(count: float | str) -> str:
    return f"object_storage_nodes_offline {count}\n"


def capacity(used: float | str, total: float | str = 100) -> str:
    return f"object_storage_used_bytes {used}\nobject_storage_capacity_bytes {total}\n"


def edited(old: str, new: str) -> LoadedRunbook:
    """The shipped runbook with one edit."""
    text = default_text()
    assert text.count(old) >= 1, old
    return load_text(text.replace(old, new))


# -- told, journaled, proved --------------------------------------------------------------------


def test_a_page_is_told_once_and_resolved_once(stage: Stage) -> None:
    for offline in (0, 1, 1, 1, 0, 0):
        stage.tick(nodes_offline(offline))
    kinds = [(kind, name) for kind, name, _ in stage.told()]
    assert kinds == [("trigger", PAGE), ("resolve", PAGE)]
    assert len({key for _, _, key in stage.told()}) == 1
    fired, resolved = stage.entries("alert.*")
    assert (fired.kind, dict(fired.evidence)) == ("alert.firing", {CLAUSE: "missed"})
    assert (resolved.kind, dict(resolved.evidence)) == ("alert.resolved", {CLAUSE: "met"})
    assert resolved.facts["because"] == "it is back within the line"
    assert [entry.facts["occasion"] for entry in stage.entries("notification.queued")] == [
        "trigger",
        "resolve",
    ]


def test_a_second_outage_is_a_new_incident_at_the_receiver(stage: Stage) -> None:
    for offline in (1, 0, 1, 0):
        stage.tick(nodes_offline(offline))
    assert [kind for kind, _, _ in stage.told()] == ["trigger", "resolve", "trigger", "resolve"]
    keys = [key for _, _, key in stage.told()]
    assert keys[0] == keys[1]
    assert keys[2] == keys[3]
    assert keys[0] != keys[2]


def test_a_page_is_repeated_after_its_repeat_interval_and_not_before(stage: Stage) -> None:
    stage.tick(nodes_offline(1))
    stage.clock.advance(3570)  # the page's repeat_interval is an hour
    stage.tick(nodes_offline(1))
    assert len(stage.told()) == 1
    stage.tick(nodes_offline(1))
    assert [kind for kind, _, _ in stage.told()] == ["trigger", "trigger"]
    assert len({key for _, _, key in stage.told()}) == 1
    assert len(stage.entries("notification.queued")) == 1  # a repeat is no news for the journal


def test_the_page_speaks_for_the_warning_of_the_same_signal(stage: Stage) -> None:
    for used in (50, 80, 90, 80, 50):
        stage.tick(capacity(used))
    assert [(kind, name) for kind, name, _ in stage.told()] == [
        ("trigger", "ObjectsCapacityWarn"),
        ("trigger", "ObjectsCapacityPage"),
        ("resolve", "ObjectsCapacityPage"),
        ("resolve", "ObjectsCapacityWarn"),
    ]


def test_a_warning_that_begins_under_a_page_tells_nobody_until_the_page_is_over(stage: Stage) -> None:
    for used in (50, 90):
        stage.tick(capacity(used))
    assert [name for _, name, _ in stage.told()] == ["ObjectsCapacityPage"]
    assert stage.firing() == ["ObjectsCapacityPage", "ObjectsCapacityWarn"]
    (quiet,) = [row for row in stage.rows() if row["inhibited_by"]]
    assert quiet["alertname"] == "ObjectsCapacityWarn"
    stage.tick(capacity(80))
    assert [(kind, name) for kind, name, _ in stage.told()][1:] == [
        ("resolve", "ObjectsCapacityPage"),
        ("trigger", "ObjectsCapacityWarn"),
    ]


def test_two_services_are_two_incidents(stage: Stage) -> None:
    one, two = (target({**PLACE, "service": name}, f"{name}:80") for name in ("one", "two"))
    stage.scrape(nodes_offline(1), one)
    stage.scrape(nodes_offline(1), two)
    stage.evaluate()
    assert len({key for _, _, key in stage.told()}) == 2


def test_a_cause_keeps_its_symptoms_quiet_where_the_runbook_says_so(tmp_path: Path) -> None:
    cause = (
        "inhibition: {page_over_warn: true, causes: [{cause: objects.node-health, symptom: database.storage, "
        "equal: [env, region], reason: the volumes are there}]}"
    )
    stage = Stage(tmp_path, edited("inhibition: {page_over_warn: true}", cause))
    storage = "pg_database_size_bytes 95\npg_storage_quota_bytes 100\n"
    stage.tick(nodes_offline(1) + storage)
    assert [name for _, name, _ in stage.told()] == [PAGE]
    stage.tick(nodes_offline(0) + storage)
    assert [name for kind, name, _ in stage.told() if kind == "trigger"] == [PAGE, "DatabaseStoragePage"]
    stage.close()


# -- verdicts -----------------------------------------------------------------------------------


def test_every_threshold_has_a_verdict_after_the_first_evaluation(stage: Stage) -> None:
    stage.tick(nodes_offline(0))
    verdicts = {rule.clause: stage.verdict(rule.clause) for rule in stage.service.compiled.rules}
    assert verdicts.pop(CLAUSE) == "met"
    assert set(verdicts.values()) == {"unknown"}


def test_a_clause_is_proved_anew_every_day_and_only_then(stage: Stage) -> None:
    stage.tick(nodes_offline(0))
    for _ in range(23):
        stage.clock.advance(3600 - 15)
        stage.tick(nodes_offline(0))
    with stage.store.read() as conn:
        assert len(journal.entries(conn, journal.Filter(clause=CLAUSE))) == 1
    stage.clock.advance(3600)
    stage.tick(nodes_offline(0))
    with stage.store.read() as conn:
        proofs = journal.entries(conn, journal.Filter(clause=CLAUSE))
    assert [dict(entry.evidence)[CLAUSE] for entry in proofs] == ["met", "met"]


def test_a_waived_clause_is_never_met(tmp_path: Path) -> None:
    waiver = f'waivers:\n  - {{clause: {CLAUSE}, reason: moving, owner: ada, until: "2026-01-06"}}\n'
    text = default_text()
    assert "\nwaivers:" not in text or "\nwaivers: []" in text
    stage = Stage(tmp_path, load_text(text.replace("\nwaivers: []\n", "\n") + "\n" + waiver))
    stage.tick(nodes_offline(0))
    assert stage.verdict(CLAUSE) == "waived"
    stage.clock.advance(2 * 86_400)
    stage.tick(nodes_offline(0))
    assert stage.verdict(CLAUSE) == "met"
    stage.close()


# -- no data ------------------------------------------------------------------------------------


def test_a_signal_that_stops_is_unknown_after_five_minutes_and_never_green(stage: Stage) -> None:
    stage.tick(nodes_offline(0))
    stage.tick("")
    for _ in range(19):
        stage.tick("")
        assert stage.verdict(CLAUSE) == "met"
    stage.tick("")
    assert stage.verdict(CLAUSE) == "unknown"
    assert [entry.kind for entry in stage.entries("signal.*")] == ["signal.lost"]
    stage.tick(nodes_offline(0))
    assert stage.verdict(CLAUSE) == "met"


def test_a_page_goes_on_through_a_failed_scrape(stage: Stage) -> None:
    for text in (nodes_offline(1), "", "", nodes_offline(1), "", nodes_offline(0)):
        stage.tick(text)
    assert [kind for kind, _, _ in stage.told()] == ["trigger", "resolve"]


def test_a_page_ends_for_want_of_data_after_five_minutes_and_says_so(stage: Stage) -> None:
    stage.tick(nodes_offline(1))
    for _ in range(20):
        stage.tick("")
        assert stage.firing() == [PAGE]
    stage.tick("")
    assert stage.firing() == []
    (resolved,) = stage.entries("alert.resolved")
    assert "nobody knows" in resolved.facts["because"]
    assert dict(resolved.evidence) == {CLAUSE: "unknown"}


def test_silence_brings_what_is_pending_no_closer_to_firing_and_forgets_it_only_later(stage: Stage) -> None:
    queue = 'job_queue_depth{queue="a"} 500\n'  # warns after ten minutes
    for _ in range(21):
        stage.tick(queue)  # five of them are over
    for _ in range(19):
        stage.tick("")
        assert [alert.state.value for alert in stage.service.alerts()] == ["pending"]
    for step in range(1, 22):
        stage.tick(queue)
        assert stage.firing() == (["JobsQueueDepthWarn"] if step >= 20 else [])
    for _ in range(21):
        stage.tick("")
    assert stage.firing() == []


def test_one_of_many_that_ends_resolves_while_its_service_is_heard(stage: Stage) -> None:
    queues = 'job_queue_depth{queue="a"} 500\n', 'job_queue_depth{queue="b"} 500\n'
    for _ in range(41):
        stage.tick("".join(queues))
    assert stage.firing() == ["JobsQueueDepthWarn"] * 2
    stage.tick(queues[0])
    assert stage.firing() == ["JobsQueueDepthWarn"]


def test_missing_data_pages_where_the_runbook_says_so_and_recovers(tmp_path: Path) -> None:
    loaded = edited("missing: {after: 5m, as: unknown}", "missing: {after: 1m, as: page}")
    stage = Stage(tmp_path, loaded)
    name = "ObjectsNodeHealthMissing"
    stage.tick(nodes_offline(0))
    for _ in range(4):
        stage.tick("")
        assert name not in stage.firing()
    stage.tick("")
    assert name in stage.firing()
    stage.tick(nodes_offline(0))
    assert name not in stage.firing()
    assert [kind for kind, told, _ in stage.told() if told == name] == ["trigger", "resolve"]
    stage.close()


def test_one_of_two_services_that_stops_is_noticed(stage: Stage) -> None:
    one, two = (target({**PLACE, "service": name}, f"{name}:80") for name in ("one", "two"))
    for _ in range(30):
        stage.clock.advance(15)
        stage.scrape(nodes_offline(0), one)
        stage.scrape("" if stage.second > 30 else nodes_offline(0), two)
        stage.evaluate()
    assert stage.verdict(CLAUSE) == "unknown"
    standing = stage.service.standings[CLAUSE]
    assert standing.facts["missing"] == [{**PLACE, "service": "two"}]


# -- bad input ----------------------------------------------------------------------------------


def test_nan_is_no_measurement_and_fires_nothing(stage: Stage) -> None:
    for _ in range(3):
        stage.tick(nodes_offline("NaN"))
    assert stage.firing() == []
    assert stage.verdict(CLAUSE) == "unknown"


def test_infinity_is_over_every_line_and_survives_the_journal_and_the_store(stage: Stage) -> None:
    stage.tick(nodes_offline("+Inf"))
    assert stage.firing() == [PAGE]
    (fired,) = stage.entries("alert.firing")
    assert fired.facts["value"] == "+Inf"
    stage.restart()
    assert [alert.value for alert in stage.service.alerts()] == [float("inf")]
    stage.tick(nodes_offline("-Inf"))
    assert stage.firing() == []


def test_an_alert_whose_value_is_nan_survives_a_restart(stage: Stage) -> None:
    stage.tick(nodes_offline(1))
    stage.restart()
    stage.tick(capacity(0, 0) + nodes_offline(1))  # 0/0 beside it
    assert stage.firing() == [PAGE]


def test_a_counter_that_starts_again_is_no_outage(stage: Stage) -> None:
    count = 0
    for step in range(60):
        count = 100 if step == 40 else count + 1000
        good = f'http_requests_total{{status="200"}} {count}\n'
        stage.tick(good + f'http_requests_total{{status="500"}} {count // 1000}\n')
    assert stage.entries("alert.*") == []
    assert stage.verdict("monitoring.api.error-rate.page") == "met"


def test_labels_from_hell_are_told_and_stored(stage: Stage) -> None:
    where = target({**PLACE, "service": 'a"b\\c\n☃ \u202e{{ $value }}'}, "x:80")
    stage.tick(nodes_offline(1), where)
    assert stage.firing() == [PAGE]
    (key,) = [key for _, _, key in stage.told()]
    stage.restart()
    stage.tick(nodes_offline(1), where)
    stage.tick(nodes_offline(0), where)
    assert [(kind, told) for kind, _, told in stage.told()] == [("trigger", key), ("resolve", key)]


# -- the store cannot be written ----------------------------------------------------------------


class Disk:
    """Lets transactions fail as a full disk does, at the moment of the commit."""

    def __init__(self, store: Store) -> None:
        self.full = False
        assert store._writer is not None
        event.listen(store._writer, "commit", self._commit)

    def _commit(self, connection: Any) -> None:
        if self.full:
            import sqlite3

            from sqlalchemy.exc import OperationalError

            cause = sqlite3.OperationalError("database or disk is full")
            cause.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise OperationalError("COMMIT", None, cause)


def test_what_could_not_be_recorded_is_decided_again_and_told_once(stage: Stage) -> None:
    stage.tick(nodes_offline(0))
    disk = Disk(stage.store)
    disk.full = True
    assert stage.tick(nodes_offline(1)) is None
    assert stage.tick(nodes_offline(1)) is None
    assert stage.told() == []
    assert stage.firing() == []
    assert stage.service.totals["not_written"] == 2
    disk.full = False
    stage.tick(nodes_offline(1))
    stage.tick(nodes_offline(1))
    assert [(kind, name) for kind, name, _ in stage.told()] == [("trigger", PAGE)]
    with stage.store.read() as conn:
        assert journal.verify(conn).intact


# -- the runbook changes ------------------------------------------------------------------------


def test_a_broken_runbook_keeps_the_one_before_running_and_says_so(stage: Stage) -> None:
    stage.tick(nodes_offline(1))
    before = stage.service.digest
    result = stage.service.reload(lambda: edited("page: {above: 0}", "page: {abve: 0}"))
    assert not result.ok
    assert "abve" in "\n".join(result.problems)
    assert stage.service.digest == before
    (refused,) = stage.entries("runbook.refused")
    assert refused.facts["in_force"] == before
    stage.tick(nodes_offline(0))
    assert [kind for kind, _, _ in stage.told()] == ["trigger", "resolve"]


def test_a_new_runbook_goes_on_with_the_alerts_of_the_old_one(stage: Stage) -> None:
    stage.tick(nodes_offline(1))
    assert stage.service.reload(lambda: edited("above: 75%", "above: 76%")).ok
    assert stage.service.digest != default_runbook().digest
    stage.tick(nodes_offline(1))
    assert [kind for kind, _, _ in stage.told()] == ["trigger"]
    assert [entry.kind for entry in stage.entries("runbook.*")] == ["runbook.loaded"]


def test_the_alerts_of_a_rule_that_is_gone_resolve(stage: Stage) -> None:
    stage.tick(nodes_offline(1))
    assert stage.service.reload(lambda: edited("          page: {above: 0}\n", "")).ok
    stage.tick(nodes_offline(1))
    assert [kind for kind, _, _ in stage.told()] == ["trigger", "resolve"]
    (resolved,) = stage.entries("alert.resolved")
    assert resolved.facts["because"] == "its rule is gone"


# -- the clock ----------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_a_clock_that_jumps_an_hour_floods_nobody_and_forgets_no_page(stage: Stage, jump: int) -> None:
    lines = 'job_queue_depth{queue="scans"} 500\n'  # warns after ten minutes
    for _ in range(4):
        stage.tick(nodes_offline(1) + lines)
    told = stage.told()
    stage.clock.jump(jump)
    for _ in range(20):
        stage.tick(nodes_offline(1) + lines)
        assert stage.told() == told
        assert stage.firing() == [PAGE]
    for _ in range(17):  # forty evaluations after it was first seen: ten minutes
        stage.tick(nodes_offline(1) + lines)
    assert stage.firing() == ["JobsQueueDepthWarn", PAGE]
    stage.tick(nodes_offline(0) + lines)
    assert [(kind, name) for kind, name, _ in stage.told()] == [
        ("trigger", PAGE),
        ("trigger", "JobsQueueDepthWarn"),
        ("resolve", PAGE),
    ]
    (gap,) = stage.entries("monitoring.gap")
    assert gap.facts["seconds"] == jump


# -- what the engine sees of alerts -------------------------------------------------------------


def test_alerts_are_series_as_in_prometheus(stage: Stage) -> None:
    lines = 'job_queue_depth{queue="scans"} 500\n'
    stage.tick(lines)
    began = stage.clock.now().timestamp()
    stage.tick(lines)
    at = int(stage.clock.now().timestamp() * 1000)
    (series,) = stage.engine.instant("ALERTS", at).series
    assert dict(series.labels)["alertstate"] == "pending"
    (since,) = stage.engine.instant("ALERTS_FOR_STATE", at).values.values()
    assert since == began
    stage.tick('job_queue_depth{queue="scans"} 0\n')
    at = int(stage.clock.now().timestamp() * 1000)
    assert stage.engine.instant("ALERTS", at).series == []


def test_states_are_named_as_the_api_names_them() -> None:
    assert [state.value for state in AlertState] == ["pending", "firing", "resolved"]


def test_each_rule_costs_what_its_own_queries_took(stage: Stage) -> None:
    stage.tick(nodes_offline(0))
    health = stage.service.health
    costs = [one.seconds for one in health.values()]
    assert len(set(costs)) > len(costs) / 2, "they are measured, not shared out"
    assert sum(costs) > 0
