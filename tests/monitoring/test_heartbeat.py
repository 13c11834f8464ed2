"""The dead man's switch: beats leave while evaluations are held, and never after."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from tests.monitoring.stage import START
from watchkeeper.monitoring.fetch import Answer, FetchError, Request
from watchkeeper.monitoring.heartbeat import CLAUSE, Heartbeat
from watchkeeper.notify.models import Notification
from watchkeeper.runbook.models.monitoring import Heartbeat as Policy
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store, open_store
from watchkeeper.store.models import outbox, receiver_state

ENVIRON = {"BEAT": "https://beats.example/hush"}


class Web:
    """Takes requests, or fails as it is told to."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.failing = ""

    async def fetch(self, request: Request) -> Answer:
        self.requests.append(request)
        if self.failing:
            raise FetchError(self.failing)
        return Answer(b"", "")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def store(place: Path | str, clock: ManualClock) -> Iterator[Store]:
    with open_store(place, clock) as opened:
        yield opened


def policy(**more: Any) -> Policy:
    return Policy.model_validate({"every": "1m", **(more or {"url": {"env": "BEAT"}})})


def evaluate(heart: Heartbeat, clock: ManualClock, count: int) -> None:
    for _ in range(count):
        clock.advance(15.001)
        asyncio.run(heart.evaluated())


def verdict(heart: Heartbeat, clock: ManualClock) -> str:
    return heart(clock.now())[CLAUSE].verdict


def test_a_beat_leaves_every_minute_of_evaluations(clock: ManualClock, store: Store) -> None:
    web = Web()
    heart = Heartbeat(policy(), web, ENVIRON, clock, store)
    assert verdict(heart, clock) == "unknown"
    evaluate(heart, clock, 9)
    assert [request.url for request in web.requests] == [ENVIRON["BEAT"]] * 3
    assert verdict(heart, clock) == "met"


def test_no_beat_leaves_without_an_evaluation(clock: ManualClock, store: Store) -> None:
    web = Web()
    heart = Heartbeat(policy(), web, ENVIRON, clock, store)
    evaluate(heart, clock, 1)
    clock.advance(3600)
    heart(clock.now())
    assert len(web.requests) == 1
    assert verdict(heart, clock) == "missed"


def test_beats_that_do_not_arrive_are_missed_after_three_and_never_sent_later(
    clock: ManualClock, store: Store
) -> None:
    web = Web()
    heart = Heartbeat(policy(), web, ENVIRON, clock, store)
    evaluate(heart, clock, 1)
    web.failing = "cannot connect"
    evaluate(heart, clock, 11)
    assert verdict(heart, clock) == "met"
    evaluate(heart, clock, 2)
    assert verdict(heart, clock) == "missed"
    assert "cannot connect" in heart(clock.now())[CLAUSE].summary
    tried = len(web.requests)
    web.failing = ""
    evaluate(heart, clock, 4)
    assert len(web.requests) == tried + 1
    assert verdict(heart, clock) == "met"


def test_a_heartbeat_that_never_arrives_is_unknown_at_first_and_then_missed(
    clock: ManualClock, store: Store
) -> None:
    heart = Heartbeat(policy(), Web(), {}, clock, store)  # the address is not set
    evaluate(heart, clock, 1)
    assert verdict(heart, clock) == "unknown"
    evaluate(heart, clock, 20)
    standing = heart(clock.now())[CLAUSE]
    assert (standing.verdict, "BEAT" in standing.summary) == ("missed", True)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "beats.example"])
def test_an_address_that_is_none_is_refused_and_not_shown(url: str, clock: ManualClock, store: Store) -> None:
    web = Web()
    heart = Heartbeat(policy(), web, {"BEAT": url}, clock, store)
    evaluate(heart, clock, 20)
    assert web.requests == []
    assert url not in heart(clock.now())[CLAUSE].summary


def test_without_a_policy_there_is_no_clause_and_no_beat(clock: ManualClock, store: Store) -> None:
    web = Web()
    heart = Heartbeat(None, web, ENVIRON, clock, store)
    evaluate(heart, clock, 2)
    assert (web.requests, dict(heart(clock.now()))) == ([], {})
    heart.use(policy())
    evaluate(heart, clock, 1)
    assert len(web.requests) == 1


def test_through_a_receiver_one_beat_waits_at_most_and_none_is_late(clock: ManualClock, store: Store) -> None:
    heart = Heartbeat(policy(receiver="hook"), Web(), ENVIRON, clock, store)
    evaluate(heart, clock, 12)
    with store.read() as conn:
        rows = conn.execute(select(outbox).order_by(outbox.c.id)).all()
    assert [row.state for row in rows] == ["superseded", "superseded", "pending"]
    assert rows[-1].give_up_at - rows[-1].enqueued_at == timedelta(minutes=1)
    assert not Notification.from_json(rows[-1].payload).is_page
    assert verdict(heart, clock) == "unknown"
    with store.write() as conn:
        conn.execute(
            insert(receiver_state).values(
                receiver="hook",
                sent=[],
                consecutive_failures=0,
                failing_journaled=0,
                last_success_at=clock.now(),
            )
        )
    evaluate(heart, clock, 4)
    assert verdict(heart, clock) == "met"
