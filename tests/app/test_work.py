"""The role ``work``: ready while pages get through; its receivers follow the runbook."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert

from tests.app.serving import RECEIVER, broken, until
from tests.fakes.pagerduty import ROUTING_KEY, FakePagerDuty
from watchkeeper.app import inforce, wire, work
from watchkeeper.app.settings import Settings
from watchkeeper.notify import delivery, state
from watchkeeper.notify.budget import Budget
from watchkeeper.notify.enqueue import enqueue_notification
from watchkeeper.notify.health import DOWN_AFTER, Health
from watchkeeper.notify.models import Kind, Notification
from watchkeeper.playbooks import answers, reading, starting
from watchkeeper.playbooks.models import RunState
from watchkeeper.store import outbox
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store, open_store
from watchkeeper.store.models import alerts

NOW = datetime(2026, 1, 5, 3, tzinfo=UTC)


class Role:
    """The role without its process."""

    def __init__(self, settings: Settings) -> None:
        assert settings.overlay is not None
        self.overlay = settings.overlay
        self.overlay.write_text(
            self.overlay.read_text() + RECEIVER.replace("PAGERDUTY", "http://127.0.0.1:1/")
        )
        self.clock = ManualClock(NOW)
        self.store: Store = open_store(settings.data, self.clock)
        runbook = inforce.choose(settings).loaded.runbook
        self.work = work.Work(settings, self.clock, self.store, runbook)

    def ready(self) -> Any:
        return json.loads(asyncio.run(self.work._ready({})))


@pytest.fixture
def role(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Role]:
    monkeypatch.setenv("TEST_ROUTING_KEY", "R0UT1NGKEY")
    made = Role(settings)
    yield made
    made.store.close()


def test_a_receiver_that_takes_nothing_makes_us_not_ready_by_name(role: Role) -> None:
    assert role.ready() == {"problems": [], "notes": []}
    with role.store.write() as conn:
        failing = Health(DOWN_AFTER - 1, failing_since=NOW, last_error="it answered 500")
        state.save(conn, "pagerduty", Budget(), failing)
        state.save(conn, "gone", Budget(), Health(99, failing_since=NOW))  # of a runbook of before
    assert role.ready()["problems"] == [], "one unlucky request is not an outage"
    with role.store.write() as conn:
        down = Health(DOWN_AFTER, failing_since=NOW, last_error="it answered 500")
        state.save(conn, "pagerduty", Budget(), down)
    (problem,) = role.ready()["problems"]
    assert problem == "receiver pagerduty has taken nothing since 2026-01-05T03:00:00Z: it answered 500"


def test_a_secret_that_is_not_there_is_noted_before_the_first_page(
    role: Role, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("TEST_ROUTING_KEY")
    said = "receiver pagerduty: the secret in environment variable TEST_ROUTING_KEY is empty or not set"
    assert role.ready() == {"problems": [], "notes": [said]}
    role.work._reload()
    assert said in caplog.text


def test_it_is_woken_over_its_socket_and_sends_at_once(
    role: Role, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "POLL_SECONDS", 30.0)
    monkeypatch.setenv("TEST_ROUTING_KEY", ROUTING_KEY)
    stop = threading.Event()

    async def wake() -> bytes:
        async with await wire.serve(settings.work_socket, role.work.handlers()):
            return await wire.ask(settings.work_socket, "wake", {}, 5.0)

    with FakePagerDuty() as fake:
        role.overlay.write_text(role.overlay.read_text().replace("http://127.0.0.1:1/", fake.url))
        role.work._reload()
        thread = threading.Thread(target=role.work.deliverer.run, args=(stop,))
        thread.start()
        try:
            until(lambda: any(one.name == "notify-pagerduty" for one in threading.enumerate()), 5)
            told = Notification(Kind.TRIGGER, "d", "o", "alert:a", "A", "page", "it burns", NOW)
            with role.store.write() as conn:
                enqueue_notification(conn, NOW, ["pagerduty"], told)
            assert asyncio.run(wake()) == b"true"
            fake.wait_for(lambda fake: len(fake.events) == 1, 10)
        finally:
            stop.set()
            role.work.deliverer.wake()
            thread.join(40)


def test_what_waits_is_a_metric_by_receiver(role: Role) -> None:
    with role.store.write() as conn:
        for key in ("a", "b"):
            outbox.enqueue(conn, NOW, "pagerduty", order_key=key, dedup_key=key, payload={})
    families = {f["name"]: f for f in json.loads(asyncio.run(role.work._metrics({})))}
    assert families["watchkeeper_outbox_waiting"]["samples"] == [
        ["watchkeeper_outbox_waiting", {"receiver": "pagerduty"}, 2]
    ]


def test_a_broken_runbook_leaves_the_receivers_as_they_are(
    role: Role, caplog: pytest.LogCaptureFixture
) -> None:
    good = role.overlay.read_text()
    role.overlay.write_text(broken(good))
    role.work._reload()
    assert list(role.work._receivers) == ["pagerduty"]
    assert "the receivers stay as they were" in caplog.text
    role.overlay.write_text(good.replace("id: pagerduty", "id: other"))
    role.work._reload()
    assert list(role.work._receivers) == ["other"]


@pytest.mark.parametrize(("part", "name"), [("deliverer", "delivery"), ("escalating", "escalation")])
def test_a_part_that_ends_by_itself_ends_the_role(
    role: Role, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, part: str, name: str
) -> None:
    def defect(_: threading.Event) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(getattr(role.work, part), "run", defect)
    with caplog.at_level(logging.ERROR):
        assert asyncio.run(asyncio.wait_for(role.work.run(), 10)) == 1
    assert f"{name} ended by a defect" in caplog.text


ON_CALL = """
contacts: [{id: ada, name: Ada, phone: "+49 30 1"}]
oncall: {rotas: [{id: platform, title: Platform, layers: [{id: all, participants: [ada]}]}]}
"""


def test_a_page_for_which_nobody_can_be_reached_is_noted_and_a_reload_mends_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_ROUTING_KEY", "R0UT1NGKEY")
    runbook = settings.runbook.read_text()
    settings.runbook.write_text(runbook + ON_CALL)
    role = Role(settings)
    with role.store.write() as conn:
        values = {"rule": "R", "alertname": "Api", "severity": "page", "state": "firing", "group_key": "k"}
        more = {"labels": {}, "annotations": {"summary": "7 % fail"}, "active_at": NOW, "last_sent_at": NOW}
        conn.execute(insert(alerts).values(fingerprint="one", episode="e", **values, **more))
    role.work.escalating.look()
    (note,) = role.ready()["notes"]
    assert note == "PAGE 7 % fail: nobody can be reached: no receiver of the runbook leads to ada"
    settings.runbook.write_text(runbook + ON_CALL.replace('phone: "+49 30 1"', "email: ada@example.org"))
    role.overlay.write_text(role.overlay.read_text() + MAIL)
    role.work._reload()
    role.clock.advance(60)
    role.work.escalating.look()
    assert role.ready()["notes"] == []
    with role.store.read() as conn:
        assert list(outbox.backlog(conn)) == ["mail"]
    role.store.close()


MAIL = "    - {id: mail, email: {host: localhost, sender: wk@example.org, to: ops@example.org}}\n"


def test_it_carries_runs_out_and_notes_what_they_ask(role: Role, settings: Settings) -> None:
    runbook = inforce.choose(settings).loaded.runbook
    with role.store.write() as conn:
        starting.start(conn, NOW, runbook, "look", {}, "person:ada", None, "r1")
    assert role.work.runner.look() == 1
    (note,) = [line for line in role.ready()["notes"] if "r1" in line]
    assert note.startswith("run r1 waits for an answer: nothing carries out kubernetes.pods here yet")
    families = {f["name"]: f for f in json.loads(asyncio.run(role.work._metrics({})))}
    assert families["watchkeeper_playbook_runs"]["samples"] == [
        ["watchkeeper_playbook_runs", {"state": "active"}, 0],
        ["watchkeeper_playbook_runs", {"state": "waiting"}, 1],
    ]
    with role.store.write() as conn:
        answers.answer(conn, NOW, "r1", "see", "confirm", "person:ada")
    role.work.runner.look()
    with role.store.read() as conn:
        found = reading.run(conn, "r1")
    assert found is not None
    assert found.state is RunState.DONE
    assert not [line for line in role.ready()["notes"] if "r1" in line]
