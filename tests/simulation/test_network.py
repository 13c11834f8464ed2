"""Targets that fail: what arrived is on record even where its sender never learned of it."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime

import pytest

from tests.simulation.faults import Crash, Faults, Point
from tests.simulation.network import Arrival, Line, Mood, Network
from tests.simulation.timeline import Timeline
from watchkeeper.notify.transport import TransportError
from watchkeeper.store.clock import ManualClock

BODY = json.dumps({"event_action": "trigger", "dedup_key": "k", "payload": {"severity": "critical"}}).encode()
URL = "https://pager.example/v2/enqueue"


class _Net:
    def __init__(self) -> None:
        self.timeline = Timeline(ManualClock(datetime(2026, 1, 5, tzinfo=UTC)))
        self.faults = Faults()
        self.heard: list[Arrival] = []
        self.network = Network(
            self.timeline, random.Random(3), self.faults, lambda _, arrival: self.heard.append(arrival)
        )
        self.line = Line(self.network, self.faults, "work", lambda: None)

    def post(self) -> int:
        return self.line.post(URL, {}, BODY, 10.0).status


def test_one_that_is_well_takes_everything_in_at_once() -> None:
    net = _Net()
    net.network.calm = True
    assert [net.post() for _ in range(20)] == [202] * 20
    assert len(net.heard) == 20
    assert not any(arrival.late for arrival in net.heard)
    assert net.timeline.now < 20 * 0.5


def test_one_that_loses_answers_has_what_its_sender_believes_lost() -> None:
    net = _Net()
    net.network.targets["pager"].mood = Mood.LOSSY
    lost = 0
    for _ in range(30):
        try:
            net.post()
        except TransportError:
            lost += 1
    assert lost > 5
    assert len(net.heard) == 30


def test_what_arrives_after_its_sender_gave_up_is_marked_as_late() -> None:
    net = _Net()
    net.network.targets["pager"].mood = Mood.SLOW
    failed = 0
    for _ in range(60):
        try:
            net.post()
        except TransportError:
            failed += 1
    net.timeline.run_until(net.timeline.now + 3600)
    assert sum(arrival.late for arrival in net.heard) > 0
    assert net.faults.counts["requests delayed"] == sum(arrival.late for arrival in net.heard)


@pytest.mark.parametrize(("point", "arrived"), [(Point.BEFORE_SEND, 0), (Point.AFTER_SEND, 1)])
def test_a_process_dies_before_a_request_or_after_it(point: Point, arrived: int) -> None:
    net = _Net()
    net.network.calm = True
    net.faults.arm("work", point, 1)
    with pytest.raises(Crash):
        net.post()
    assert len(net.heard) == arrived
