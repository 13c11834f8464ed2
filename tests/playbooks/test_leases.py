"""When a lease is over, whatever the clocks say."""

from __future__ import annotations

from datetime import timedelta

from tests.playbooks.support import START
from watchkeeper.playbooks.leases import LEASE_SECONDS, MARGIN_SECONDS, Held, Watched
from watchkeeper.playbooks.rows import Candidate

OWNER = "host/boot/1/2/3"


def _one(epoch: int = 1, expires: int = 0, owner: str | None = OWNER) -> Candidate:
    return Candidate("r1", owner, epoch, START + timedelta(seconds=expires))


def test_what_nobody_holds_is_free_at_once() -> None:
    free = Candidate("r1", None, 0, None)
    assert Watched().free([free], 0.0) == [free]


def test_a_lease_that_is_not_renewed_is_over_after_its_time_of_being_watched() -> None:
    watched = Watched(lambda _: False)
    assert watched.free([_one()], 100.0) == []
    assert watched.free([_one()], 119.9) == []
    assert watched.free([_one()], 120.0) == [_one()]


def test_a_lease_that_is_renewed_is_never_over_though_its_time_lies_in_the_past() -> None:
    watched = Watched(lambda _: False)
    for step in range(20):
        assert watched.free([_one(expires=-1_000_000 + step)], 10.0 * step) == []


def test_a_process_that_is_gone_loses_its_runs_after_a_moment() -> None:
    watched = Watched(lambda owner: owner == OWNER)
    assert watched.free([_one()], 100.0) == []
    assert watched.free([_one()], 100.9) == []
    assert watched.free([_one()], 101.0) == [_one()]
    assert watched.free([_one(owner="another/boot/1/2/3")], 101.0) == []


def test_a_holder_stops_before_a_watcher_may_take_over() -> None:
    held = Held("r1", 1, 100.0)
    held.renewed(105.0)  # written at some moment from 105 on, so seen by a watcher then or later
    watched = Watched(lambda _: False)
    assert watched.free([_one()], 105.0) == []
    assert held.left(105.0 + LEASE_SECONDS - MARGIN_SECONDS) == 0.0
    assert watched.free([_one()], 105.0 + LEASE_SECONDS - 0.01) == []
    held.renewed(107.0)
    assert held.left(107.0) > 0
    held.lost.set()
    assert held.left(107.0) == 0.0
