"""The whole thing, as real processes: a platform breaks, somebody is paged once, and nothing of ours that is
killed or damaged loses or repeats that."""

from __future__ import annotations

import os
import random
import re
import time
from pathlib import Path

import pytest

from tests.app.serving import deployment, one_page, resolved, running, until
from watchkeeper.access import links, users
from watchkeeper.store.clock import SystemClock
from watchkeeper.store.database import open_existing


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


def test_the_first_sign_in_is_printed_until_there_is_an_admin(tmp_path: Path) -> None:
    with deployment(tmp_path) as (serving, _, _):
        (old,) = re.findall(r"/sign-in/link/(\S+)", serving.log.read_text())
        serving.stop()
        serving.start()
        said = serving.log.read_text()
        token = re.findall(r"/sign-in/link/(\S+)", said)[-1]
        assert f"\nfirst sign-in, once and within 24 h: {serving.url}/sign-in/link/{token}\n" in said
        assert token not in str(serving.journal())
        with open_existing(serving.data, write=True) as store, store.write() as conn:
            now = SystemClock().now()
            assert links.use(conn, now, old) is None
            link = links.use(conn, now, token)
            assert link is not None
            users.create(conn, now, username="ada", name="Ada", role=link.role, by="person:ada")
        serving.stop()
        serving.start()
        assert serving.log.read_text().count("first sign-in") == 2
        assert serving.stop() == 0


def test_damaged_sample_files_are_set_aside_and_the_rest_runs(tmp_path: Path) -> None:
    with deployment(tmp_path) as (serving, _, _):
        until(lambda: serving.query("up"), 5, "samples")
        serving.stop()
        (log,) = (serving.data / "samples" / "log").iterdir()
        log.write_bytes(os.urandom(4096))
        (serving.data / "samples" / "metadata.json").write_text("{")
        (serving.data / "samples" / "parts" / "0000000000001-0000000000002.part").write_bytes(b"garbage")
        serving.start()
        until(lambda: serving.query("up"), 5, "samples again")
        assert b"set aside" in serving.ask("/readyz")[1]
        assert (log.with_name(log.name + ".corrupt")).exists()
        assert serving.stop() == 0


@pytest.mark.long
@pytest.mark.timeout(600)
def test_an_episode_survives_kills_at_random_moments(tmp_path: Path) -> None:
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
