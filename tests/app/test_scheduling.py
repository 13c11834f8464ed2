"""The scheduler: jobs in threads of their own, time-outs, restarts, and real jobs of the runbook."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from watchkeeper.app import inforce
from watchkeeper.app.jobs import jobs_of, schedule_of
from watchkeeper.app.scheduling import RENEW_SECONDS, Scheduling, run_now
from watchkeeper.app.settings import Settings
from watchkeeper.runbook.models.calendar import Cadence
from watchkeeper.runbook.models.quantities import Period
from watchkeeper.store import job_rows, journal, owners
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.cron import every
from watchkeeper.store.database import Store, open_store
from watchkeeper.store.jobs import Context, Job, JobError, Outcome

NOW = datetime(2026, 1, 5, 3, tzinfo=UTC)
HOUR = 3600.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    with open_store(tmp_path, clock) as opened:
        yield opened


def job(run: Callable[[Context], Outcome], **changes: object) -> Job:
    return replace(Job("dump", "The dump", every(timedelta(hours=1)), run), **changes)  # type: ignore[arg-type]


def kinds(store: Store, name: str = "dump") -> list[str]:
    with store.read() as conn:
        assert journal.verify(conn).intact
        return [entry.kind for entry in job_rows.history(conn, name)]


def settle(scheduling: Scheduling) -> None:
    assert scheduling.wait(10)
    scheduling.look()


def test_a_due_job_runs_in_a_thread_of_its_own_and_is_told_its_time(store: Store, clock: ManualClock) -> None:
    seen: list[tuple[str, str]] = []

    def run(context: Context) -> Outcome:
        seen.append((threading.current_thread().name, context.key))
        return Outcome("made")

    scheduling = Scheduling(store, clock, [job(run)])
    assert scheduling.look() == 0
    clock.advance(HOUR)
    assert scheduling.look() == 1
    settle(scheduling)
    assert seen == [("job dump", "dump@2026-01-05T04:00:00+00:00")]
    assert kinds(store) == ["job.started", "job.ended"]
    assert scheduling.look() == 0


def test_a_job_that_runs_too_long_is_asked_to_stop_and_held_until_it_has(
    store: Store, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    let_go = threading.Event()
    beside: list[int] = []

    def stubborn(context: Context) -> Outcome:
        beside.append(1)
        assert len(beside) == 1, "begun beside itself"
        let_go.wait(30)
        assert context.stopping.is_set()
        beside.pop()
        return Outcome("made after all")

    scheduling = Scheduling(store, clock, [job(stubborn, timeout=timedelta(minutes=10), retries=0)])
    scheduling.look()
    clock.advance(HOUR)
    scheduling.look()
    clock.advance(601)
    scheduling.look()
    assert kinds(store) == ["job.started", "job.failed"]
    assert "asked to stop" in scheduling.notes()[0]
    other = Scheduling(store, clock, [job(stubborn)], owner="another-host/b/n/1/1")
    for _ in range(12):
        clock.advance(RENEW_SECONDS)
        scheduling.look()
        other.look()
    clock.advance(HOUR)
    scheduling.look()
    assert kinds(store) == ["job.started", "job.failed", "job.refused"]
    let_go.set()
    settle(scheduling)
    assert kinds(store)[-1] == "job.failed"
    assert "timed out" in caplog.text
    with store.read() as conn:
        known = job_rows.load(conn, "dump")
    assert known is not None
    assert (known.last_outcome, known.state.running) == ("timed out", False)


def test_a_job_that_raises_is_tried_again_and_a_defect_keeps_nobody_from_their_time(
    store: Store, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[int] = []

    def flaky(context: Context) -> Outcome:
        attempts.append(context.attempt)
        if context.attempt == 1:
            raise JobError("the disk is full")
        if context.attempt == 2:
            raise ZeroDivisionError
        return Outcome("made")

    scheduling = Scheduling(store, clock, [job(flaky)])
    scheduling.look()
    clock.advance(HOUR)
    for _ in range(3):
        scheduling.look()
        settle(scheduling)
        clock.advance(130)
    assert attempts == [1, 2, 3]
    assert kinds(store) == ["job.started", "job.failed"] * 2 + ["job.started", "job.ended"]
    assert "the disk is full" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert scheduling.notes() == []


def test_what_a_killed_process_ran_is_run_again_by_the_next_one(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()
    dead = Scheduling(store, clock, [job(lambda _: Outcome(str(never.wait(30))))], owner="dead")
    dead.look()
    clock.advance(HOUR)
    dead.look()
    ran: list[str] = []

    def run(context: Context) -> Outcome:
        ran.append(context.key)
        return Outcome("made")

    alive = Scheduling(store, clock, [job(run)])
    alive.look()
    assert kinds(store) == ["job.started"]
    monkeypatch.setattr(owners, "is_gone", lambda owner: owner == "dead")
    alive.look()
    clock.advance(60)
    alive.look()
    settle(alive)
    assert ran == ["dump@2026-01-05T04:00:00+00:00"]
    assert kinds(store) == ["job.started", "job.failed", "job.started", "job.ended"]
    never.set()
    settle(dead)
    assert kinds(store)[-1] == "job.ended", "what the dead one had to say is not recorded"
    assert kinds(store).count("job.ended") == 1


def test_the_end_of_the_process_stops_what_runs_and_the_next_one_begins_it_at_once(
    store: Store, clock: ManualClock
) -> None:
    def patient(context: Context) -> Outcome:
        context.stopping.wait(30)
        context.check()
        return Outcome("made")

    scheduling, stop = Scheduling(store, clock, [job(patient)]), threading.Event()
    scheduling.look()
    clock.advance(HOUR)
    thread = threading.Thread(target=scheduling.run, args=(stop,))
    thread.start()
    while not kinds(store):
        pass
    stop.set()
    thread.join(20)
    assert kinds(store) == ["job.started", "job.failed"]
    fresh = Scheduling(store, clock, [job(lambda _: Outcome("made"))])
    assert fresh.look() == 1
    settle(fresh)
    assert kinds(store)[2:] == ["job.started", "job.ended"]


def test_no_more_than_two_run_at_a_time(store: Store, clock: ManualClock) -> None:
    go = threading.Event()
    many = [job(lambda _: Outcome(str(go.wait(30))), name=f"j{number}") for number in range(4)]
    scheduling = Scheduling(store, clock, many)
    scheduling.look()
    clock.advance(HOUR)
    assert scheduling.look() == 2
    assert scheduling.look() == 0
    go.set()
    settle(scheduling)
    settle(scheduling)
    assert [kinds(store, one.name) for one in many] == [["job.started", "job.ended"]] * 4


def test_a_job_run_by_hand_is_in_the_journal_under_that_name(store: Store, clock: ManualClock) -> None:
    done = run_now(store, clock, job(lambda _: Outcome("made")), "person:ada")
    assert done == Outcome("made")
    with store.read() as conn:
        first = job_rows.history(conn, "dump")[0]
    assert (first.kind, first.actor) == ("job.started", "person:ada")
    with pytest.raises(JobError, match="no room"):
        run_now(store, clock, job(_no_room), "person:ada")
    assert kinds(store) == ["job.started", "job.ended", "job.started", "job.failed"]


def _no_room(_: Context) -> Outcome:
    raise JobError("no room")


def test_what_the_runbook_wants_is_begun_early_enough_for_its_evidence_to_stay_fresh() -> None:
    daily = schedule_of(Period("daily"), "x")
    assert daily.every == timedelta(hours=21, minutes=36)
    assert schedule_of(Period("quarterly"), "x").every == timedelta(days=91)
    nightly = Cadence.model_validate({"every": "nightly", "cron": "0 2 * * *", "timezone": "Europe/Berlin"})
    assert str(schedule_of(nightly, "x")) == "cron 0 2 * * * Europe/Berlin"


def test_the_links_are_followed_at_every_start_and_proved(settings: Settings, clock: ManualClock) -> None:
    runbook = inforce.choose(settings).loaded.runbook
    with open_store(settings.data, clock) as opened:
        scheduling = Scheduling(opened, clock, jobs_of(settings, runbook))
        scheduling.look()
        settle(scheduling)
        with opened.read() as conn:
            (ended,) = journal.entries(conn, journal.Filter(clause="monitoring.hygiene.links"))
        assert (ended.kind, ended.evidence) == ("job.ended", (("monitoring.hygiene.links", "met"),))


def test_a_journal_that_was_changed_is_told_loudly(
    settings: Settings, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    runbook = inforce.choose(settings).loaded.runbook
    with open_store(settings.data, clock) as opened:
        (verify,) = (one for one in jobs_of(settings, runbook) if one.name == "journal-verify")
        with opened.write() as conn:
            for number in range(3):
                journal.append(conn, NOW, "k", "a", "s", {"n": number})
        good = run_now(opened, clock, verify, "person:ada")
        assert good is not None
        assert good.ok
        with opened.write() as conn:
            for name in conn.execute(text("SELECT name FROM sqlite_master WHERE type='trigger'")).scalars():
                conn.execute(text(f"DROP TRIGGER {name}"))
            conn.execute(text("UPDATE journal SET kind = 'K' WHERE seq = 2"))
        bad = run_now(opened, clock, verify, "person:ada")
        assert bad is not None
        assert not bad.ok
        assert "BROKEN at entry 2" in caplog.text
        (note,) = Scheduling(opened, clock, [verify]).notes()
        assert "BROKEN at entry 2" in note


def test_the_store_is_copied_and_seven_copies_are_kept(settings: Settings, clock: ManualClock) -> None:
    runbook = inforce.choose(settings).loaded.runbook
    with open_store(settings.data, clock) as opened:
        (copy,) = (one for one in jobs_of(settings, runbook) if one.name == "store-backup")
        scheduling = Scheduling(opened, clock, [copy])
        scheduling.look()
        for _ in range(9):
            clock.advance(86400)
            assert scheduling.look() == 1
            settle(scheduling)
        assert kinds(opened, "store-backup") == ["job.started", "job.ended"] * 9
    names = sorted(path.name for path in settings.backups.glob("*.db"))
    assert len(names) == 7
    assert names[-1].startswith("watchkeeper-20260113T034")
    assert len(list(settings.backups.iterdir())) == 14
