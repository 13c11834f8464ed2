"""What receivers are told: one thread for each incident, reminders of their own that end."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.responses import Watch
from tests.fakes.slack import TOKEN, FakeSlack, serving
from tests.incidents.desk import ADA, BEN, TEXT, Desk, runbook_of
from watchkeeper.app.responding import acknowledge_alerts
from watchkeeper.incidents import service, telling
from watchkeeper.incidents.models import Recipient, Status
from watchkeeper.notify.delivery import Deliverer
from watchkeeper.notify.slack import SlackBotReceiver
from watchkeeper.runbook.models.secrets import Secret


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with serving(FakeSlack(channels={"#status": "C0STATUS"})) as fake:
        yield fake


def test_slack_has_one_message_that_is_edited_and_a_thread_of_its_changes(
    tmp_path: Path, slack: FakeSlack
) -> None:
    watch = Watch(tmp_path)
    receiver = SlackBotReceiver("status", Secret(env="T"), "#status", {"T": TOKEN}, slack.api_url)
    deliverer = Deliverer(watch.store, [receiver], watch.clock, owner="test", chance=random.Random(7))

    def deliver() -> str:
        deliverer.run_once()
        (message,) = slack.in_channel()
        return message.text

    watch.fire()
    watch.look()
    assert deliver().startswith("● *[INVESTIGATING] INCIDENT: Incident 1: ApiErrors: 7 % of requests fail*")
    watch.do(service.acknowledge, 1, BEN, acknowledge_alerts, "on it")
    assert "[ACKNOWLEDGED]" in deliver()
    watch.do(service.set_severity, 1, BEN, "SEV-2")
    assert "[INVESTIGATING] SEV-2" in deliver()
    watch.do(service.post_update, 1, BEN, status=Status.IDENTIFIED, impact="<!channel> fails")
    assert "[IDENTIFIED] SEV-2" in deliver()
    watch.end()
    watch.look()
    watch.do(service.resolve, 1, BEN)
    assert "[RESOLVED] SEV-2" in deliver()
    said = slack.replies()
    assert [
        part in text for part, text in zip(("ben has it: on it", "ben set SEV-2"), said, strict=False)
    ] == [
        True,
        True,
    ]
    assert "&lt;!channel&gt; fails" in said[2]
    assert "every signal is back at its baseline" in said[3]
    assert "ben: resolved" in said[4]
    watch.store.close()


def test_the_channel_is_that_of_updates_else_all_of_slack() -> None:
    assert telling.channel(runbook_of()) == (Recipient("", "status"),)
    other = runbook_of(
        TEXT.replace('channel: "#status"}\n    document', 'channel: "#war-room"}\n    document')
    )
    assert telling.channel(other) == (Recipient("", "status"), Recipient("", "random"))


@pytest.mark.parametrize(
    ("name", "to"), [("ada", "ada@example.org"), ("ADA", "ada@example.org"), ("nobody", None), ("", None)]
)
def test_a_person_is_found_by_id_or_name(name: str, to: str | None) -> None:
    found = telling.person(runbook_of(), name)
    assert [one.to for one in found] == ([to] if to else [])


def test_a_reminder_ends_when_what_it_asks_for_is_done_and_once(desk: Desk) -> None:
    one = desk.open(severity="SEV-1")
    to_ada = telling.person(desk.runbook, "ada")
    with desk.store.write() as conn:
        telling.remind(conn, desk.now, one, "incidents.update", to_ada, "post an update", "page")
        telling.remind(conn, desk.now, one, "incidents.communicate", to_ada, "tell them", "page")
    before = len(desk.told())
    desk.do(service.post_update, 1, ADA, status=Status.IDENTIFIED, impact="All", to=["engineers"])
    assert desk.told()[before:] == [("status", None, "trigger"), ("mail", "ada@example.org", "resolve")]
    desk.do(service.resolve, 1, ADA)
    assert [kind for _, to, kind in desk.told()[before:] if to == "ada@example.org"] == ["resolve", "resolve"]
