"""Slack through the outbox: one message per incident, over restarts, failures and a crash before settling."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.fakes.slack import TOKEN, FakeSlack, serving
from tests.notify.conftest import Make
from tests.notify.deliveries import deliverer_of, put, until_empty, waiting
from watchkeeper.notify import memory
from watchkeeper.notify.delivery import Summary
from watchkeeper.notify.models import Kind, personal_key
from watchkeeper.notify.slack import SlackBotReceiver
from watchkeeper.runbook.models.secrets import Secret
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store
from watchkeeper.store.errors import StoreFullError


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with serving(FakeSlack()) as fake:
        yield fake


def chat(fake: FakeSlack) -> SlackBotReceiver:
    return SlackBotReceiver("chat", Secret(env="T"), "#ops", {"T": TOKEN}, fake.api_url, timeout_seconds=2)


def test_each_incident_is_one_message_over_restarts(
    store: Store, clock: ManualClock, slack: FakeSlack, make: Make
) -> None:
    for kind in (Kind.TRIGGER, Kind.ACKNOWLEDGE, Kind.RESOLVE):
        put(store, clock.now(), make(kind=kind), make("alert-2", kind), receiver="chat")
        assert deliverer_of(store, clock, chat(slack)).run_once() == Summary(delivered=2)
    assert len(slack.in_channel()) == 2
    assert all("[RESOLVED]" in message.text for message in slack.in_channel())
    assert len(slack.replies()) == 4


def test_a_person_has_a_message_of_their_own_beside_the_channels(
    store: Store, clock: ManualClock, slack: FakeSlack, make: Make
) -> None:
    slack.channels |= {"U1": "D0ADA", "U2": "D0BEN"}
    for kind in (Kind.TRIGGER, Kind.RESOLVE):
        for who in ("U1", "U2"):
            key = personal_key("watchkeeper/alert-1/e1", "chat", who)
            put(store, clock.now(), make(kind=kind, to=who, dedup_key=key, order_key=key), receiver="chat")
        put(store, clock.now(), make(kind=kind), receiver="chat")
        deliverer_of(store, clock, chat(slack)).run_once()
    assert sorted(message.channel for message in slack.in_channel()) == ["C0OPS", "D0ADA", "D0BEN"]
    assert all("[RESOLVED]" in message.text for message in slack.in_channel())
    assert len(slack.replies()) == 3


def test_a_slack_that_fails_now_and_then_makes_no_second_message(
    store: Store, clock: ManualClock, slack: FakeSlack, make: Make
) -> None:
    slack.faults += [(500, {}), (429, {"Retry-After": "2"}), "fatal_error"]
    put(store, clock.now(), make(), make(kind=Kind.ACKNOWLEDGE), make(kind=Kind.RESOLVE), receiver="chat")
    until_empty(deliverer_of(store, clock, chat(slack)), store, clock, 60, 20)
    (message,) = slack.in_channel()
    assert "[RESOLVED]" in message.text
    assert len(slack.replies()) == 2


def test_where_the_message_stands_is_kept_when_settling_had_to_wait(
    store: Store, clock: ManualClock, slack: FakeSlack, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, clock.now(), make(), make(kind=Kind.RESOLVE), receiver="chat")
    deliverer = deliverer_of(store, clock, chat(slack))

    def full(*_: object, **__: object) -> None:
        raise StoreFullError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(memory, "save", full)
        with pytest.raises(StoreFullError):
            deliverer.run_once()
    assert deliverer.run_once() == Summary(delivered=2)
    assert len(slack.in_channel()) == 1


def test_an_answer_that_never_came_doubles_the_message_once_and_the_last_one_is_edited(
    store: Store, clock: ManualClock, slack: FakeSlack, make: Make
) -> None:
    slack.faults.append("cut")
    put(store, clock.now(), make(), make(kind=Kind.RESOLVE), receiver="chat")
    until_empty(deliverer_of(store, clock, chat(slack)), store, clock, 60, 10)
    first, second = slack.in_channel()
    assert "[FIRING]" in first.text
    assert "[RESOLVED]" in second.text


def test_a_week_after_the_resolve_nothing_is_kept(
    store: Store, clock: ManualClock, slack: FakeSlack, make: Make
) -> None:
    put(store, clock.now(), make(), make(kind=Kind.RESOLVE), receiver="chat")
    deliverer = deliverer_of(store, clock, chat(slack))
    deliverer.run_once()
    clock.advance(timedelta(days=6).total_seconds())
    deliverer.housekeep()
    with store.read() as conn:
        assert memory.load(conn, "chat", make().dedup_key)
    clock.advance(timedelta(days=2).total_seconds())
    deliverer.housekeep()
    with store.read() as conn:
        assert memory.load(conn, "chat", make().dedup_key) is None
    assert waiting(store) == 0
