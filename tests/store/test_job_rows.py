"""Jobs in the store: one owner at a time, everything in the journal, nothing from who lost the right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, select

from tests.store.conftest import NOW
from watchkeeper.store import job_rows, journal, owners
from watchkeeper.store.cron import every
from watchkeeper.store.database import Store
from watchkeeper.store.job_rows import LEASE, Claim, Watcher
from watchkeeper.store.jobs import Job, Outcome
from watchkeeper.store.models import jobs

HOUR = timedelta(hours=1)
JOB = Job("dump", "The dump", every(HOUR), lambda _: Outcome("made"), clauses=("backups.dump",))
GONE, ALIVE, ELSEWHERE = "gone", "alive", "another-host/boot/ns/1/1"


@pytest.fixture(autouse=True)
def processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "is_gone", lambda owner: owner == GONE)


def look(
    store: Store,
    now: datetime,
    owner: str = ALIVE,
    watcher: Watcher | None = None,
    monotonic: float = 0.0,
    job: Job = JOB,
) -> Claim | None:
    with store.write() as conn:
        return job_rows.look(conn, now, job, owner, watcher or Watcher(), monotonic)


def entries(store: Store) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    with store.read() as conn:
        assert journal.verify(conn).intact
        return [(entry.kind, entry.evidence) for entry in job_rows.history(conn, "dump")]


def row(store: Store) -> job_rows.Known:
    with store.read() as conn:
        found = job_rows.load(conn, "dump")
    assert found is not None
    return found


@pytest.fixture
def known(store: Store) -> Store:
    with store.write() as conn:
        job_rows.register(conn, NOW, [JOB], begin=True)
    return store


def test_a_run_that_ends_well_proves_its_clauses(known: Store) -> None:
    assert look(known, NOW) is None
    claim = look(known, NOW + HOUR)
    assert claim is not None
    assert (claim.due, claim.attempt) == (NOW + HOUR, 1)
    with known.write() as conn:
        assert job_rows.finish(conn, NOW + HOUR, claim, JOB, Outcome("made", facts={"bytes": 7}))
    assert entries(known) == [("job.started", ()), ("job.ended", (("backups.dump", "met"),))]
    found = row(known)
    assert (found.last_outcome, found.state.running, found.state.due_at) == ("done", False, NOW + 2 * HOUR)


def test_a_bad_answer_is_missed_and_not_asked_for_again(known: Store) -> None:
    claim = look(known, NOW + HOUR)
    assert claim is not None
    with known.write() as conn:
        job_rows.finish(conn, NOW + HOUR, claim, JOB, Outcome("it is broken", ok=False))
        (said,) = job_rows.problems(conn)
    assert entries(known)[-1] == ("job.failed", (("backups.dump", "missed"),))
    assert said == "job dump failed (2026-01-05 04:00 UTC): it is broken"
    assert look(known, NOW + HOUR + timedelta(minutes=30)) is None


def test_only_the_last_failed_attempt_is_evidence(known: Store) -> None:
    now = NOW + HOUR
    for _ in range(3):
        claim = look(known, now)
        assert claim is not None
        with known.write() as conn:
            job_rows.finish(conn, now, claim, JOB, "no room")
        now += timedelta(minutes=2)
    evidence = [cited for kind, cited in entries(known) if kind == "job.failed"]
    assert evidence == [(), (), (("backups.dump", "unknown"),)]
    assert row(known).last_error == "no room"


def test_two_processes_never_run_one_job_at_once(known: Store) -> None:
    assert look(known, NOW + HOUR, "a") is not None
    watcher = Watcher()
    assert look(known, NOW + HOUR, "b", watcher) is None
    assert look(known, NOW + HOUR + timedelta(days=30), "b", watcher, 5.0) is None, (
        "a jump is no sign of death"
    )
    assert row(known).state.owner == "a"


def test_a_dead_owner_is_taken_over_at_once(known: Store) -> None:
    first = look(known, NOW + HOUR, GONE)
    again = NOW + HOUR + timedelta(minutes=1)
    assert look(known, NOW + HOUR) is None, (
        "the failed attempt is written, the next one is due a minute later"
    )
    second = look(known, again)
    assert first is not None
    assert second is not None
    assert (second.due, second.attempt) == (first.due, 2)
    assert second.epoch > first.epoch
    assert [kind for kind, _ in entries(known)] == ["job.started", "job.failed", "job.started"]


def test_who_gives_no_sign_for_a_lease_is_taken_over_and_writes_nothing_any_more(known: Store) -> None:
    first = look(known, NOW + HOUR, ELSEWHERE)
    assert first is not None
    watcher, lease = Watcher(), LEASE.total_seconds()
    assert look(known, NOW + HOUR, watcher=watcher, monotonic=0.0) is None
    with known.write() as conn:
        assert job_rows.renew(conn, NOW + HOUR + timedelta(seconds=9), first)
    assert look(known, NOW + HOUR, watcher=watcher, monotonic=lease - 1) is None
    assert look(known, NOW + HOUR, watcher=watcher, monotonic=2 * lease - 2) is None
    assert row(known).state.owner == ELSEWHERE
    look(known, NOW + HOUR, watcher=watcher, monotonic=2 * lease - 1)
    second = look(known, NOW + HOUR + timedelta(minutes=1))
    assert second is not None
    with known.write() as conn:
        assert not job_rows.renew(conn, NOW + HOUR, first)
        assert not job_rows.finish(conn, NOW + HOUR, first, JOB, Outcome("late"))
    assert [kind for kind, _ in entries(known)] == ["job.started", "job.failed", "job.started"]


def test_a_job_that_somebody_asks_for_runs_beside_its_plan_but_not_beside_itself(known: Store) -> None:
    with known.write() as conn:
        claim = job_rows.take(conn, NOW, JOB, "a", "person:ada")
        assert claim is not None
        assert job_rows.take(conn, NOW, JOB, "b", "person:ben") is None
        job_rows.finish(conn, NOW, claim, JOB, Outcome("made"))
    assert row(known).state.due_at == NOW + HOUR
    assert look(known, NOW + HOUR) is not None


def test_a_paused_job_waits_and_says_who_paused_it(known: Store) -> None:
    with known.write() as conn:
        assert job_rows.pause(conn, NOW, "dump", "person:ada")
        assert not job_rows.pause(conn, NOW, "nothing", "person:ada")
    assert row(known).paused_by == "person:ada"
    assert look(known, NOW + HOUR) is None
    with known.write() as conn:
        assert job_rows.resume(conn, NOW + 1.5 * HOUR, "dump", "person:ada")
    assert look(known, NOW + 1.5 * HOUR) is None
    assert look(known, NOW + 2 * HOUR) is not None
    assert [kind for kind, _ in entries(known)] == ["job.paused", "job.resumed", "job.started"]


def test_a_run_that_the_end_of_the_process_stopped_is_tried_again_at_once(known: Store) -> None:
    claim = look(known, NOW + HOUR)
    assert claim is not None
    with known.write() as conn:
        job_rows.finish(conn, NOW + HOUR, claim, JOB, "it was asked to stop", "stopped")
        assert job_rows.problems(conn) == []
    again = look(known, NOW + HOUR + timedelta(seconds=1))
    assert again is not None
    assert again.due == claim.due


def test_rows_follow_the_jobs_there_are(known: Store) -> None:
    other = replace(JOB, name="scan")
    with known.write() as conn:
        job_rows.register(conn, NOW, [replace(JOB, schedule=every(2 * HOUR)), other], begin=False)
        found = {one.name: one for one in job_rows.listing(conn)}
        assert found["dump"].schedule == "every 7200s"
        assert found["dump"].state.due_at == NOW + HOUR
        job_rows.register(conn, NOW, [other], begin=False)
        assert [one.name for one in job_rows.listing(conn)] == ["scan"]


class DeathError(Exception):
    """The process is gone."""


@pytest.fixture
def dies() -> Iterator[list[int]]:
    """Put a number in: the statement of that number is never run."""
    plan: list[int] = []

    def before(*_: Any) -> None:
        if plan:
            plan[0] -= 1
            if plan[0] == 0:
                raise DeathError

    event.listen(Engine, "before_cursor_execute", before)
    yield plan
    event.remove(Engine, "before_cursor_execute", before)


def test_a_process_that_dies_at_any_statement_leaves_all_or_nothing(known: Store, dies: list[int]) -> None:
    def state() -> list[Any]:
        with known.read() as conn:
            rows = [tuple(one) for one in conn.execute(select(jobs))]
            return [rows, journal.head(conn)]

    def dying(action: Callable[[Connection], object]) -> int:
        """How often ``action`` died, at one statement after another, before it went through."""
        for at in range(1, 50):
            before = state()
            dies[:] = [at]
            try:
                with known.write() as conn:
                    action(conn)
            except DeathError:
                dies.clear()
                assert state() == before
            else:
                return at - 1
            finally:
                dies.clear()
        raise AssertionError("it never went through")

    claims: list[Claim | None] = []
    watcher = Watcher()
    assert dying(lambda c: claims.append(job_rows.look(c, NOW + HOUR, JOB, ALIVE, watcher, 0.0))) > 2
    claim = claims[-1]
    assert claim is not None
    assert dying(lambda c: job_rows.finish(c, NOW + HOUR, claim, JOB, Outcome("made"))) > 2
    assert [kind for kind, _ in entries(known)] == ["job.started", "job.ended"]
