"""The table of runs, on both databases: claims, the fence, and several processes at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.playbooks.support import ADA, Bench, act, ask, playbook, runbook
from watchkeeper.playbooks import rows, starting
from watchkeeper.playbooks.models import PlaybookError, RunState
from watchkeeper.playbooks.rows import LeaseLost
from watchkeeper.playbooks.turn import take_turn
from watchkeeper.store import journal
from watchkeeper.store.database import open_store
from watchkeeper.store.journal import Filter


@pytest.fixture
def both(place: str) -> Iterator[Bench]:
    with open_store(place) as store:
        yield Bench(store)


def test_a_run_goes_its_way(both: Bench) -> None:
    run = both.go(act("a"), ask("q"), {"id": "w", "wait": "smoke.run", "timeout": "1m"})
    assert run.state is RunState.WAITING
    both.answer("q", "confirm", note="ünïcode ✓")
    run = both.look()
    assert run.state is RunState.DONE
    assert run.steps[1].note == "ünïcode ✓"


def test_a_claim_is_taken_once_and_the_loser_can_write_nothing(both: Bench) -> None:
    both.start(act("a"), act("b"))
    with both.store.read() as conn:
        (seen,) = rows.candidates(conn, both.clock.now())
    with both.store.write() as conn:
        assert rows.claim(conn, both.clock.now(), seen, "one") == 1
    with both.store.write() as conn:
        assert rows.claim(conn, both.clock.now(), seen, "two") is None
        (again,) = rows.candidates(conn, both.clock.now())
        assert rows.claim(conn, both.clock.now(), again, "two") == 2
        assert not rows.renew(conn, both.clock.now(), "r1", "one", 1)
        assert rows.renew(conn, both.clock.now(), "r1", "two", 2)
    before = both.told()
    for owner, epoch in (("one", 1), ("two", 1), ("one", 2)):
        with pytest.raises(LeaseLost), both.store.write() as conn:
            take_turn(conn, both.clock.now(), "r1", owner, epoch, {})
    row_before = both.view()
    with both.store.write() as conn:
        row = rows.load(conn, "r1")
        assert row is not None
        with pytest.raises(LeaseLost):
            rows.save(conn, both.clock.now(), row.run, "one", 1, due_at=None, release=True)
    assert (both.told(), both.view()) == (before, row_before)


def test_a_lease_that_was_renewed_since_it_was_seen_is_not_taken(both: Bench) -> None:
    both.start(act("a"))
    with both.store.write() as conn:
        (seen,) = rows.candidates(conn, both.clock.now())
        rows.claim(conn, both.clock.now(), seen, "one")
        (held,) = rows.candidates(conn, both.clock.now())
        both.clock.advance(5)
        rows.renew(conn, both.clock.now(), "r1", "one", 1)
        assert rows.claim(conn, both.clock.now(), held, "two") is None


def test_many_runners_share_many_runs_and_carry_each_step_out_once(both: Bench) -> None:
    for number in range(12):
        both.start(act("a"), act("b"), run_id=f"r{number}")
    runners = [both.another() for _ in range(4)]
    threads = [threading.Thread(target=runner.look) for runner in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    both.look()
    assert sorted(call.key for call in both.provider.calls) == sorted(
        f"r{number}/{step}" for number in range(12) for step in "ab"
    )
    assert all(both.view(f"r{number}").state is RunState.DONE for number in range(12))
    with both.store.read() as conn:
        assert rows.counts(conn) == {"active": 0, "waiting": 0}


@pytest.mark.parametrize("run_id", ["r1", None])
def test_a_run_that_many_start_at_once_starts_once_where_it_has_an_id(
    both: Bench, run_id: str | None
) -> None:
    book, started = runbook(book=playbook([act("a")])), []
    ready = threading.Barrier(6)

    def begin() -> None:
        ready.wait(10)
        with both.store.write() as conn:
            started.append(starting.start(conn, both.clock.now(), book, "book", {}, ADA, None, run_id))

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(started) == 6
    assert len(set(started)) == (1 if run_id else 6)
    with both.store.read() as conn:
        entries = journal.entries(conn, Filter(kind="run.started"))
    assert sorted(entry.subject for entry in entries) == sorted(f"run:{name}" for name in set(started))
    both.runner.look()
    assert len(both.provider.calls) == len(set(started))


def test_answers_from_many_at_once_are_each_taken_or_refused_whole(both: Bench) -> None:
    both.go(ask("q", four_eyes=True))
    said: list[str] = []

    def say(name: str) -> None:
        try:
            said.append(both.answer("q", "confirm", by=f"person:{name}"))
        except PlaybookError as error:
            said.append(str(error))

    threads = [threading.Thread(target=say, args=(f"p{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(said) == 6
    assert len([words for words in said if "is taken" in words]) == 2
    assert both.look().state is RunState.DONE
    assert both.told().count("answered q") == 2
