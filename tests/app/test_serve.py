"""The whole thing, as real processes: a platform breaks, somebody is paged once, and nothing that is killed,
broken or in the way on our side loses or repeats that."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.app.prometheus import Prometheus, needs_prometheus
from tests.app.serving import (
    ALERT,
    METRICS,
    RECEIVER,
    RUNBOOK,
    Serving,
    Shop,
    broken,
    deployment,
    free_port,
    remote,
    running,
    scraping,
    until,
)
from tests.fakes.pagerduty import FakePagerDuty

Deployment = tuple[Serving, Shop, FakePagerDuty]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One deployment for the tests that leave it as they found it."""
    with deployment(tmp_path_factory.mktemp("served")) as parts:
        yield parts


def one_page(pagerduty: FakePagerDuty) -> bool:
    """Whether PagerDuty has exactly one open incident; fails as soon as it ever had more than one trigger."""
    triggers = [event for event in pagerduty.events if event.action == "trigger"]
    assert len(triggers) <= 1, f"paged {len(triggers)} times"
    return len(pagerduty.open_incidents()) == 1


def resolved(pagerduty: FakePagerDuty) -> bool:
    return bool(pagerduty.events) and not pagerduty.open_incidents()


# -- one episode --------------------------------------------------------------------------------


def test_an_episode_pages_once_and_resolves_though_every_role_is_killed_in_it(tmp_path: Path) -> None:
    with deployment(tmp_path) as (serving, shop, pagerduty):
        assert serving.alert_state() == "none"
        shop.error_ratio = 0.2
        until(lambda: one_page(pagerduty), 20, "the page")
        assert serving.alert_state() == "firing"
        for role in ("watch", "work", "web"):
            serving.kill(role)
        until(serving.ready, 20, "being ready again")
        until(lambda: serving.alert_state() == "firing", 5, "the alert being known again")
        time.sleep(2)  # some evaluations and deliveries in which it could page again
        assert one_page(pagerduty)
        shop.error_ratio = 0.0
        until(lambda: resolved(pagerduty), 20, "the resolve")
        (incident,) = (one for known in pagerduty.incidents.values() for one in known)
        assert incident.history == ["trigger", "resolve"]
        assert "shop" in incident.title

        kinds = [entry["kind"] for entry in serving.journal()]
        assert kinds.count("alert.firing") == kinds.count("alert.resolved") == 1
        assert kinds.count("notification.delivered") == 2
        roles = serving.roles()
        assert serving.stop() == 0
        assert not any(map(running, roles.values()))
    assert "Traceback" not in serving.log.read_text()


def test_after_kill_9_of_everything_nothing_is_forgotten_and_nothing_paged_twice(tmp_path: Path) -> None:
    with deployment(tmp_path) as (serving, shop, pagerduty):
        shop.error_ratio = 0.2
        until(lambda: one_page(pagerduty), 20, "the page")
        before = serving.query("http_requests_total[1m]")
        serving.kill_tree()
        shop.error_ratio = 0.0  # it recovers while nobody watches
        serving.start()
        until(lambda: resolved(pagerduty), 25, "the resolve")
        assert [event.action for event in pagerduty.events] == ["trigger", "resolve"]
        after = {str(one["metric"]): one["values"] for one in serving.query("http_requests_total[2m]")}
        for series in before:
            assert after[str(series["metric"])][: len(series["values"])] == series["values"]
        kinds = [entry["kind"] for entry in serving.journal()]
        assert kinds.count("alert.firing") == kinds.count("alert.resolved") == 1


# -- reload -------------------------------------------------------------------------------------


def test_a_broken_runbook_keeps_the_old_one_running_and_says_so_until_a_good_one_comes(
    served: Deployment,
) -> None:
    serving, _, _ = served

    def problem() -> str | None:
        overview = serving.json("/api/overview")
        found: str | None = overview["runbook"]["problem"] if overview else "no answer"
        return found

    before, roles = serving.json("/api/overview")["runbook"]["digest"], serving.roles()
    assert problem() is None
    serving.runbook.write_text(broken(RUNBOOK))
    serving.signal(signal.SIGHUP)
    until(lambda: "monitorring" in (problem() or ""), 5, "saying so")
    assert serving.json("/api/overview")["runbook"]["digest"] == before
    assert "monitorring" in serving.log.read_text()
    assert "watchkeeper_runbook_refused{" in serving.ask("/metrics")[1].decode()
    assert any(entry["kind"] == "runbook.refused" for entry in serving.journal())
    assert serving.roles() == roles, "no role ended"

    serving.kill("watch")  # while the file is broken
    serving.kill("work")
    until(serving.ready, 20, "being ready with the runbook that was in force")
    assert serving.json("/api/overview")["runbook"]["digest"] == before
    assert "monitorring" in (problem() or "")

    serving.runbook.write_text(RUNBOOK.replace("page: {above: 5%", "page: {above: 6%"))
    serving.signal(signal.SIGHUP)
    until(lambda: problem() is None, 5, "taking the good one")
    assert serving.json("/api/overview")["runbook"]["digest"] != before
    (rule,) = serving.json("/api/v1/rules")["data"]["groups"][0]["rules"][:1]
    assert "0.06" in rule["query"] or "6" in rule["query"]


def test_a_reload_that_changes_intervals_and_targets_takes_effect(served: Deployment) -> None:
    serving, shop, pagerduty = served
    overlay = serving.overlay.read_text()
    serving.overlay.write_text(
        overlay.replace("evaluation_interval: 1s", "evaluation_interval: 2s").replace(
            "job_name: shop", "job_name: store"
        )
    )
    serving.signal(signal.SIGHUP)
    until(lambda: serving.query('up{job="store"} == 1'), 20, "scraping the new job")
    until(lambda: not serving.query('up{job="shop"}'), 5, "the end of the old job's series")
    assert serving.json("/api/v1/rules")["data"]["groups"][0]["interval"] == 2
    serving.overlay.write_text(overlay)
    serving.signal(signal.SIGHUP)
    until(lambda: serving.query('up{job="shop"} == 1'), 20, "scraping the old job again")


# -- in the way ---------------------------------------------------------------------------------


def test_a_second_serve_on_the_same_data_directory_is_refused_and_harms_nothing(
    served: Deployment, tmp_path: Path
) -> None:
    serving, _, _ = served
    second = Serving(tmp_path, serving.overlay.read_text())
    second.data = serving.data
    said = second.refused()
    assert serving.process is not None
    assert f"another `watchkeeper serve` (process {serving.process.pid}) runs on {serving.data}" in said
    assert "--data" in said
    assert serving.ready()


def test_a_second_serve_on_the_same_address_is_refused_before_it_starts_anything(
    served: Deployment, tmp_path: Path
) -> None:
    serving, _, _ = served
    second = Serving(tmp_path, serving.overlay.read_text())
    second.port = serving.port
    said = second.refused()
    assert f"cannot listen on 127.0.0.1:{serving.port}: Address already in use" in said
    assert "WATCHKEEPER_LISTEN" in said
    assert not (second.data / "watchkeeper.db").exists()
    assert serving.ready()


def test_a_store_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    serving = Serving(tmp_path, METRICS.replace("TARGET", "127.0.0.1:1"))
    serving.data.mkdir(mode=0o700)
    garbage = b"not a database, but somebody's last copy of something" * 100
    (serving.data / "watchkeeper.db").write_bytes(garbage)
    said = serving.refused()
    assert f"{serving.data / 'watchkeeper.db'} is not a SQLite database" in said
    assert "not touched" in said
    assert (serving.data / "watchkeeper.db").read_bytes() == garbage


def test_a_damaged_store_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    serving = Serving(tmp_path, METRICS.replace("TARGET", "127.0.0.1:1"))
    serving.data.mkdir(mode=0o700)
    damaged = b"SQLite format 3\0" + os.urandom(8192)
    (serving.data / "watchkeeper.db").write_bytes(damaged)
    said = serving.refused()
    assert "watchkeeper.db" in said
    assert (serving.data / "watchkeeper.db").read_bytes() == damaged


def test_a_data_directory_that_cannot_be_made_or_used_is_said_so(tmp_path: Path) -> None:
    serving = Serving(tmp_path, METRICS.replace("TARGET", "127.0.0.1:1"))
    serving.data = tmp_path / "file"
    serving.data.write_text("")
    assert f"the data directory {serving.data} cannot be used: File exists" in serving.refused()
    serving.data = Path("/proc/watchkeeper")
    assert (
        "the data directory /proc/watchkeeper cannot be used: No such file or directory" in serving.refused()
    )


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody who may not read the directory")
def test_a_data_directory_that_may_not_be_read_is_said_so() -> None:
    home = Path("/tmp") / f"watchkeeper-unreadable-{os.getpid()}"
    try:
        serving = Serving(home, METRICS.replace("TARGET", "127.0.0.1:1"))
        home.chmod(0o755)
        serving.data.mkdir(mode=0o700)  # root's
        said = serving.refused(user="nobody", group="nogroup", extra_groups=[])
        if "ModuleNotFoundError" in said or "No module named" in said:
            pytest.skip("this interpreter cannot be run by nobody")
        assert f"the data directory {serving.data} cannot be used: Permission denied" in said
    finally:
        shutil.rmtree(home)


# -- damage -------------------------------------------------------------------------------------


def test_damaged_sample_files_are_set_aside_and_the_rest_runs(tmp_path: Path) -> None:
    with deployment(tmp_path) as (serving, shop, pagerduty):
        until(lambda: serving.query("up"), 5, "samples")
        serving.stop()
        (log,) = (serving.data / "samples" / "log").iterdir()
        log.write_bytes(os.urandom(4096))
        (serving.data / "samples" / "metadata.json").write_text("{")
        (serving.data / "samples" / "parts" / "0000000000001-0000000000002.part").write_bytes(b"garbage")
        serving.start()
        until(lambda: serving.query("up"), 5, "samples again")
        shop.error_ratio = 0.2
        until(lambda: one_page(pagerduty), 20, "the page")
        assert serving.stop() == 0


# -- a remote API -------------------------------------------------------------------------------


@needs_prometheus
def test_the_same_rules_fire_from_a_remote_prometheus_and_say_when_it_is_gone(tmp_path: Path) -> None:
    labels = {"service": "shop", "env": "test", "region": "here"}
    with Shop() as shop, FakePagerDuty() as pagerduty:
        with Prometheus(tmp_path / "prometheus", shop.exporter.address, labels) as prometheus:
            serving = Serving(tmp_path, remote(prometheus.url, pagerduty))
            try:
                serving.start()
                status, body = serving.ask("/api/v1/query?query=up")
                assert (status, b"samples are not kept here" in body) == (404, True)
                shop.error_ratio = 0.2
                until(lambda: one_page(pagerduty), 25, "the page")
                assert serving.alert_state(ALERT) == "firing"
                shop.error_ratio = 0.0
                until(lambda: resolved(pagerduty), 25, "the resolve")
                prometheus.__exit__()
                until(lambda: serving.ask("/readyz")[0] == 503, 10, "not being ready")
                assert b"cannot be queried" in serving.ask("/readyz")[1]
                serving.stop()
            finally:
                serving.close()


# -- long ---------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.timeout(600)
def test_an_episode_survives_kills_at_random_moments(tmp_path: Path) -> None:
    import random

    chance = random.Random(7)
    with deployment(tmp_path) as (serving, shop, pagerduty):
        for episode in range(5):
            shop.error_ratio = 0.2
            for _ in range(3):
                time.sleep(chance.uniform(0.2, 2.5))
                if chance.random() < 0.3:
                    serving.kill_tree()
                    serving.start(ready=False)
                    until(lambda: len(serving.roles()) == 3, 20, "three roles")
                else:
                    serving.kill(chance.choice(["watch", "work", "web"]))
            until(lambda: len(pagerduty.open_incidents()) == 1, 60, "the page")
            shop.error_ratio = 0.0
            until(lambda: resolved(pagerduty), 60, "the resolve")
            incidents = [one for known in pagerduty.incidents.values() for one in known]
            assert len(incidents) == episode + 1
        serving.stop()
    for incident in incidents:
        # A process that died between sending and noting it sends once more; it never opens another incident.
        assert set(incident.history) == {"trigger", "resolve"}
        assert incident.history[-1] == "resolve"
