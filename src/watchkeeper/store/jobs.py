"""Scheduled work: what a job is, and when one is begun, refused or tried again. Pure; no clock, no store.

Always true: each time of a job's schedule is begun at most once, and its further attempts bear the same time
(:attr:`Start.due`); after any downtime exactly what :attr:`Job.catch_up` says is begun; a job that runs is
never begun a second time beside itself (tests/store/test_jobs.py, test_job_rows.py).

The wall clock may jump. Forwards it is downtime like any other. Backwards, a time that was planned in what is
now the future is planned anew; times that were begun are not begun again, unless the clock was more than
``CLOCK_WRONG`` ahead: then it was wrong, and what it begot is forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from watchkeeper.store.clock import Clock
from watchkeeper.store.cron import Schedule
from watchkeeper.store.database import Store
from watchkeeper.store.journal import Verdict

CatchUp = Literal["none", "latest", "all"]
LATE = timedelta(minutes=2)
"""A time that is begun so much later than planned is still in time; whoever looks does so every second."""
CLOCK_WRONG = timedelta(days=1)
LONGEST_WAIT = timedelta(hours=1)


class JobError(Exception):
    """A job could not do its work; the message is for people and holds no secret. It is tried again."""


class JobStoppedError(JobError):
    """A job was asked to stop: its time is over, or the process ends."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job that ended has to say.

    ``ok`` False: the work was done and its answer is bad (it is told loudly, and not tried again).
    ``evidence`` pairs clauses and verdicts; where it is None, the job's clauses are met, or missed.
    """

    summary: str
    ok: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)
    evidence: Sequence[tuple[str, Verdict]] | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What a running job is given; ``due`` is which of its times this is."""

    store: Store
    clock: Clock
    name: str
    due: datetime
    attempt: int
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def key(self) -> str:
        """The same for every attempt at this time, and for no other: ``dump@2026-01-05T02:00:00+00:00``."""
        return f"{self.name}@{self.due.isoformat()}"

    def check(self) -> None:
        """To be called between the steps of long work. Raises :class:`JobStoppedError`."""
        if self.stopping.is_set():
            raise JobStoppedError("it was asked to stop: its time is over, or Watchkeeper ends")


@dataclass(frozen=True, slots=True)
class Job:
    """Work that comes again.

    ``retries``: attempts after the first that failed, the first of them ``retry_after`` later, each wait
    twice the one before. ``catch_up``: which of the times that were missed are made up for after a downtime.
    ``clauses``: what a job that ends well proves; ``failing``: the verdict when every attempt failed.
    ``at_start``: also whenever Watchkeeper begins or reads its runbook again.
    """

    name: str
    title: str
    schedule: Schedule
    run: Callable[[Context], Outcome]
    timeout: timedelta = timedelta(hours=1)
    retries: int = 2
    retry_after: timedelta = timedelta(minutes=1)
    catch_up: CatchUp = "latest"
    clauses: tuple[str, ...] = ()
    failing: Verdict = "unknown"
    at_start: bool = False

    def wait(self, attempt: int) -> timedelta:
        """How long to wait after the failed ``attempt`` (from 1)."""
        wait: timedelta = self.retry_after * 2 ** min(attempt - 1, 20)
        return min(wait, LONGEST_WAIT)


@dataclass(frozen=True, slots=True)
class State:
    """A job as the store knows it. ``owner`` None: nobody runs it; ``attempt`` > 0 then: it waits."""

    due_at: datetime
    scheduled_at: datetime
    running_due: datetime | None = None
    running_since: datetime | None = None
    attempt: int = 0
    owner: str | None = None
    epoch: int = 0
    last_due: datetime | None = None
    paused: bool = False

    @property
    def running(self) -> bool:
        """Whether somebody runs it, or died while they did."""
        return self.owner is not None


@dataclass(frozen=True, slots=True)
class Start:
    """Begin it now. ``missed_since``: the first of the times before ``due`` that are not made up for."""

    due: datetime
    attempt: int
    missed_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The time ``due`` is not begun, and will not be."""

    due: datetime
    because: str


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt failed. ``again_at`` None: it was the last one."""

    due: datetime
    attempt: int
    error: str
    again_at: datetime | None


Event = Start | Refused | Failed


def planned(job: Job, now: datetime) -> State:
    """A job that the store does not know yet."""
    return State(due_at=now if job.at_start else job.schedule.after(now), scheduled_at=now)


def decide(before: State, job: Job, now: datetime, *, lost: bool) -> tuple[State, tuple[Event, ...]]:
    """What is to be done about ``job`` at ``now``.

    ``lost``: whoever runs it has certainly ended, or gave no sign for as long as their lease. With a
    :class:`Start` among the events the caller takes the job for itself, in the same transaction.
    """
    state, events = _with_clock(before, job, now), list[Event]()
    if state.running and lost:
        state, failed = failed_attempt(state, job, now, "whoever ran it ended in the middle")
        events.append(failed)
    if state.running:
        if state.due_at <= now and job.catch_up != "all":  # then it waits, and is made up for
            due = max(job.schedule.latest(now) or state.due_at, state.due_at)
            events.append(Refused(due, "it still runs"))
            state = _plan(replace(state, last_due=due), job, now)
        return state, tuple(events)
    if state.paused or state.due_at > now:
        return state, tuple(events)
    return _begin(state, job, now, events)


def _begin(state: State, job: Job, now: datetime, events: list[Event]) -> tuple[State, tuple[Event, ...]]:
    newest = job.schedule.latest(now)
    if state.attempt and state.running_due is not None:
        settled = max(state.running_due, state.last_due or state.running_due)
        if job.catch_up == "all" or newest is None or newest <= settled:
            again = Start(state.running_due, state.attempt + 1)
            return _running(state, again, _following(job, settled, now), now), (*events, again)
        state = replace(state, due_at=newest, attempt=0, running_due=None)  # a newer one takes its place
    first = state.due_at
    due = first if job.catch_up == "all" or newest is None else max(first, newest)
    if job.catch_up == "none" and now - due > LATE:
        events.append(Refused(due, "it was missed, and is not made up for (catch_up: none)"))
        return _plan(replace(state, last_due=due), job, now), tuple(events)
    start = Start(due, 1, first if first < due else None)
    return _running(state, start, _following(job, due, now), now), (*events, start)


def _following(job: Job, done: datetime, now: datetime) -> datetime:
    """The time to plan for after ``done`` was begun."""
    if job.catch_up == "all" and done - now <= CLOCK_WRONG:
        return job.schedule.after(done)
    return _next(job.schedule, done, now)


def _running(state: State, start: Start, following: datetime, now: datetime) -> State:
    return replace(
        state,
        due_at=following,
        scheduled_at=now,
        running_due=start.due,
        running_since=now,
        attempt=start.attempt,
        last_due=max(start.due, state.last_due) if start.attempt > 1 and state.last_due else start.due,
    )


def failed_attempt(state: State, job: Job, now: datetime, error: str) -> tuple[State, Failed]:
    """``state`` after the attempt under way failed: tried again, unless its next time comes sooner."""
    due, attempt = state.running_due or now, max(1, state.attempt)
    again_at = now + job.wait(attempt)
    following = due_after(state, job, now)
    if attempt > job.retries or (job.catch_up != "all" and again_at >= following):
        return _ended(state, following, now), Failed(due, attempt, error, None)
    waiting = replace(state, due_at=again_at, scheduled_at=now, running_since=None, owner=None)
    return waiting, Failed(due, attempt, error, again_at)


def ended(state: State, job: Job, now: datetime) -> State:
    """``state`` after the attempt under way ended, well or with a bad answer."""
    return _ended(state, due_after(state, job, now), now)


def _ended(state: State, following: datetime, now: datetime) -> State:
    return replace(
        state,
        due_at=following,
        scheduled_at=now,
        running_due=None,
        running_since=None,
        attempt=0,
        owner=None,
    )


def due_after(state: State, job: Job, now: datetime) -> datetime:
    """The next time after the one that was begun. What is planned already stays, also if it is over: then it
    was missed, and the next look makes up for it or not."""
    if state.running_due is None or state.due_at > state.running_due:
        return state.due_at
    return _next(job.schedule, state.running_due, now)


def resumed(state: State, job_schedule: Schedule, now: datetime) -> State:
    """``state``, no longer paused: what was due meanwhile is not made up for."""
    if state.running:
        return replace(state, paused=False)
    return replace(
        state,
        paused=False,
        attempt=0,
        running_due=None,
        due_at=_next(job_schedule, state.last_due, now),
        scheduled_at=now,
    )


def replanned(state: State, job: Job, now: datetime, *, begin: bool) -> State:
    """``state`` by a schedule that changed, or (``begin``) because the job is to look now."""
    if state.paused:
        return state
    if state.running:
        return _plan(state, job, now)
    fresh = _plan(replace(state, attempt=0, running_due=None), job, now)
    return replace(fresh, due_at=now) if begin else fresh


def _plan(state: State, job: Job, now: datetime) -> State:
    return replace(state, due_at=_next(job.schedule, state.last_due, now), scheduled_at=now)


def _next(schedule: Schedule, last_due: datetime | None, now: datetime) -> datetime:
    """The first time after ``now`` that was not begun already by a clock that was a little ahead."""
    if last_due is None or last_due - now > CLOCK_WRONG:
        return schedule.after(now)
    return schedule.after(max(now, last_due))


def _with_clock(state: State, job: Job, now: datetime) -> State:
    """``state`` as it is after the clock was set back behind the moment at which its plan was made."""
    if now >= state.scheduled_at or state.due_at <= now:
        return state
    if state.attempt and not state.running:
        return replace(state, due_at=min(state.due_at, now + job.wait(state.attempt)), scheduled_at=now)
    return _plan(state, job, now)
