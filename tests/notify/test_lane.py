"""How many sends may be under way, what ends them, and what wakes whoever waits."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest

from watchkeeper.notify.answers import ACCEPTED, Answer, rejected, try_again
from watchkeeper.notify.lane import MOST_UNDER_WAY, Attempt, Lane, width_after
from watchkeeper.store import outbox

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
ROW = outbox.Claimed(1, "r", "o", "d", {}, NOW, 0, None, 1, NOW)
ERROR, BUSY = try_again("it answered 500"), try_again("429", 10.0)


@pytest.mark.parametrize(
    ("width", "answers", "after"),
    [
        (1, [ACCEPTED], 2),
        (1, [ACCEPTED] * 3, 4),
        (8, [ERROR], 4),
        (1, [ERROR], 1),
        (16, [BUSY], 1),
        (8, [ERROR, ACCEPTED], 5),
        (3, [rejected("invalid")], 4),  # says nothing of the receiver
        (16, [ACCEPTED] * 99, MOST_UNDER_WAY),
        (5, [], 5),
    ],
)
def test_the_receiver_earns_how_much_is_sent_to_it_at_a_time(
    width: int, answers: list[Answer], after: int
) -> None:
    assert width_after(width, answers) == after


def ended(lane: Lane, count: int) -> list[Attempt]:
    deadline = time.monotonic() + 5
    while len(lane.ended()) < count:
        assert time.monotonic() < deadline
        lane.wait(1)
    return lane.ended()


def test_what_is_under_way_takes_room_until_it_ends_and_stays_until_it_is_settled() -> None:
    lane, go = Lane(), threading.Event()

    def act(number: int) -> Attempt:
        go.wait(5)
        return Attempt(ROW, None, ACCEPTED, number)

    lane.width = 3
    assert (lane.room(16), lane.room(2), lane.idle) == (3, 2, True)
    lane.send(act, alone=False)
    lane.send(act, alone=False)
    assert (lane.room(16), lane.room(1), lane.idle) == (1, 0, False)
    go.set()
    attempts = ended(lane, 2)
    assert (lane.room(16), lane.idle) == (3, False)
    assert {attempt.number for attempt in attempts} == {0, 1}
    lane.settled(attempts)
    assert (lane.room(16), lane.idle, lane.ended()) == (5, True, [])


def test_alone_it_ends_before_send_returns() -> None:
    lane = Lane()
    lane.send(lambda number: Attempt(ROW, None, ACCEPTED, number), alone=True)
    assert len(lane.ended()) == 1


def test_only_what_was_begun_before_a_failure_was_known_is_marked_so() -> None:
    lane = Lane()
    for _ in range(2):
        lane.send(lambda number: Attempt(ROW, None, ERROR, number), alone=True)
    lane.failed()
    lane.send(lambda number: Attempt(ROW, None, ERROR, number), alone=True)
    assert [attempt.number < lane.warned for attempt in lane.ended()] == [True, True, False]


def test_a_ring_ends_a_wait_and_one_before_it_is_not_lost() -> None:
    lane = Lane()
    lane.ring()
    began = time.monotonic()
    lane.wait(30)
    threading.Timer(0.05, lane.ring).start()
    lane.wait(30)
    assert time.monotonic() - began < 10
    began = time.monotonic()
    lane.wait(0.1)  # each ring ends one wait
    assert time.monotonic() - began >= 0.1


def test_after_a_defect_one_is_settled_at_a_time_and_the_one_that_cannot_be_is_let_go() -> None:
    lane = Lane()
    for _ in range(3):
        lane.send(lambda number: Attempt(ROW, None, ACCEPTED, number), alone=True)
    lane.defect()
    assert ([attempt.number for attempt in lane.ended()], lane.room(16)) == ([0], 0)
    lane.settled(lane.ended())
    lane.defect()
    assert [attempt.number for attempt in lane.ended()] == [2]
    lane.settled(lane.ended())
    assert lane.idle
    assert lane.room(16) > 0


def test_without_a_thread_to_be_had_it_is_sent_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    lane = Lane()
    lane.send(lambda number: Attempt(ROW, None, ACCEPTED, number), alone=False)
    assert (len(lane.ended()), lane.room(1)) == (1, 1)
