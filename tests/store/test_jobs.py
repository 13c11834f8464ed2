"""When a job is begun, refused and tried again: examples, and laws that hold for any course of events."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.store import jobs
from watchkeeper.store.cron import Schedule, cron, every
from watchkeeper.store.jobs import CatchUp, Context, Failed, Job, Outcome, Refused, Start, State, decide

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def _nothing(_: Context) -> Outcome:
    return Outcome("done")


def job(schedule: Schedule | None = None, catch_up: CatchUp = "latest", retries: int = 2) -> Job:
    return Job("dump", "The dump", schedule or every(HOUR), _nothing, catch_up=catch_up, retries=retries)


def begun(state: State, one: Job, now: datetime, lost: bool = False) -> tuple[State, list[jobs.Event]]:
    """As whoever acts does it: what is begun is taken."""
    after, events = decide(state, one, now, lost=lost)
    if any(isinstance(event, Start) for event in events):
        after = replace(after, owner="me", epoch=after.epoch + 1)
    return after, list(events)


def test_a_job_is_begun_when_it_is_due_and_not_before() -> None:
    one = job()
    state = jobs.planned(one, NOW + MINUTE)
    assert begun(state, one, NOW + HOUR - timedelta(seconds=1))[1] == []
    running, events = begun(state, one, NOW + HOUR)
    assert events == [Start(NOW + HOUR, 1)]
    assert begun(running, one, NOW + HOUR + MINUTE)[1] == []
    over = jobs.ended(running, one, NOW + HOUR + MINUTE)
    assert over.due_at == NOW + 2 * HOUR
    assert begun(over, one, NOW + 2 * HOUR)[1] == [Start(NOW + 2 * HOUR, 1)]


def test_a_time_that_comes_while_it_runs_is_refused_once() -> None:
    one = job()
    running, _ = begun(jobs.planned(one, NOW), one, NOW + HOUR)
    still, events = begun(running, one, NOW + 2 * HOUR)
    assert events == [Refused(NOW + 2 * HOUR, "it still runs")]
    assert begun(still, one, NOW + 2 * HOUR + MINUTE)[1] == []
    over = jobs.ended(still, one, NOW + 2 * HOUR + 2 * MINUTE)
    assert over.due_at == NOW + 3 * HOUR, "what was refused is not begun after all"


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        ("latest", [Start(NOW + 5 * HOUR, 1, NOW + HOUR)]),
        ("none", [Refused(NOW + 5 * HOUR, "it was missed, and is not made up for (catch_up: none)")]),
        ("all", [Start(NOW + HOUR, 1)]),
    ],
)
def test_after_a_downtime_what_was_missed_is_made_up_for_as_said(
    catch_up: CatchUp, expected: list[jobs.Event]
) -> None:
    one = job(catch_up=catch_up)
    assert begun(jobs.planned(one, NOW), one, NOW + 5.5 * HOUR)[1] == expected


def test_a_failed_attempt_is_tried_again_later_and_later_then_given_up() -> None:
    one = job(cron("0 2 * * *"))
    now = datetime(2026, 1, 6, 2, tzinfo=UTC)
    state, events = begun(jobs.planned(one, NOW), one, now)
    waits = []
    while True:
        state, failed = jobs.failed_attempt(state, one, now, "no")
        assert failed.due == datetime(2026, 1, 6, 2, tzinfo=UTC)
        if failed.again_at is None:
            break
        waits.append(failed.again_at - now)
        assert begun(state, one, failed.again_at - timedelta(seconds=1))[1] == []
        now = failed.again_at
        state, events = begun(state, one, now)
        assert events == [Start(failed.due, failed.attempt + 1)]
    assert waits == [MINUTE, 2 * MINUTE]
    assert (state.attempt, state.due_at) == (0, datetime(2026, 1, 7, 2, tzinfo=UTC))


def test_a_time_whose_next_one_comes_sooner_is_not_tried_again() -> None:
    one = job(every(30 * timedelta(seconds=1)))
    state, _ = begun(jobs.planned(one, NOW), one, NOW + timedelta(seconds=30))
    state, failed = jobs.failed_attempt(state, one, NOW + timedelta(seconds=31), "no")
    assert failed.again_at is None
    assert state.due_at == NOW + timedelta(seconds=60)


def test_what_somebody_lost_is_tried_again_and_bears_the_same_time() -> None:
    one = job()
    state, _ = begun(jobs.planned(one, NOW), one, NOW + HOUR)
    assert begun(state, one, NOW + HOUR + MINUTE)[1] == []
    state, (failed,) = begun(state, one, NOW + HOUR + MINUTE, lost=True)
    assert isinstance(failed, Failed)
    assert begun(state, one, NOW + HOUR + 2 * MINUTE)[1] == [Start(NOW + HOUR, 2)]


def test_a_clock_that_was_wrong_by_years_keeps_no_job_from_its_next_time() -> None:
    one = job()
    year = 365 * DAY
    state, _ = begun(jobs.planned(one, NOW), one, NOW + year)
    state = jobs.ended(state, one, NOW + year + MINUTE)
    state, events = begun(state, one, NOW + MINUTE)
    assert events == []
    assert state.due_at == NOW + HOUR
    assert begun(state, one, NOW + HOUR)[1] == [Start(NOW + HOUR, 1)]


def test_a_clock_that_steps_back_begins_no_time_twice() -> None:
    one = job()
    state, _ = begun(jobs.planned(one, NOW), one, NOW + HOUR)
    state = jobs.ended(state, one, NOW + HOUR + MINUTE)
    state, _ = begun(state, one, NOW + 10 * MINUTE)
    assert begun(state, one, NOW + HOUR)[1] == []
    assert state.due_at == NOW + 2 * HOUR


def test_a_paused_job_is_not_begun_and_makes_up_for_nothing_when_it_goes_on() -> None:
    one = job()
    state = replace(jobs.planned(one, NOW), paused=True)
    state, events = begun(state, one, NOW + 3.5 * HOUR)
    assert events == []
    state = jobs.resumed(state, one.schedule, NOW + 3.5 * HOUR)
    assert state.due_at == NOW + 4 * HOUR


def test_a_job_that_looks_at_every_start_begins_at_once() -> None:
    one = replace(job(cron("0 2 * * *")), at_start=True)
    state = jobs.planned(one, NOW)
    assert begun(state, one, NOW)[1] == [Start(NOW, 1)]
    state = jobs.replanned(jobs.ended(begun(state, one, NOW)[0], one, NOW), one, NOW + HOUR, begin=True)
    assert begun(state, one, NOW + HOUR)[1] == [Start(NOW + HOUR, 1)]


def test_a_new_schedule_is_gone_by_at_once() -> None:
    one = job(cron("0 2 * * *"))
    state = jobs.planned(one, NOW)
    assert jobs.replanned(state, job(every(HOUR)), NOW, begin=False).due_at == NOW + HOUR


SCHEDULES = st.sampled_from(
    [
        every(HOUR),
        every(timedelta(minutes=7)).spread("x", MINUTE),
        cron("30 2 * * *", "Europe/Berlin"),
        cron("*/20 * * * *", "America/New_York").spread("y", 5 * MINUTE),
        cron("0 3 * * mon"),
    ]
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["look", "end", "fail", "lose", "away", "back", "pause"]),
        st.integers(0, 100_000),
    ),
    max_size=60,
)


class Course:
    """One course of events: what is begun, in the order in which it is."""

    def __init__(self, one: Job, start: datetime) -> None:
        self.job, self.now = one, start
        self.state = jobs.planned(one, start)
        self.starts: list[tuple[Start, datetime]] = []
        self.refused: list[Refused] = []

    def look(self, lost: bool = False) -> None:
        was_running = self.state.running and not lost
        self.state, events = begun(self.state, self.job, self.now, lost)
        for event in events:
            if isinstance(event, Start):
                assert not was_running, "begun beside itself"
                self.starts.append((event, self.now))
            elif isinstance(event, Refused):
                self.refused.append(event)

    def step(self, what: str, seconds: int) -> None:
        if what == "end" and self.state.running:
            self.state = jobs.ended(self.state, self.job, self.now)
        elif what == "fail" and self.state.running:
            self.state, _ = jobs.failed_attempt(self.state, self.job, self.now, "no")
        elif what == "back":
            self.now -= timedelta(seconds=seconds % 7200)
        elif what == "pause":
            self.state = replace(self.state, paused=True)
            self.now += timedelta(seconds=seconds)
            self.look()
            self.state = jobs.resumed(self.state, self.job.schedule, self.now)
        elif what == "away":
            self.now += timedelta(seconds=7 * seconds)
        self.now += timedelta(seconds=seconds % 600)
        self.look(lost=what == "lose")


@given(
    schedule=SCHEDULES,
    catch_up=st.sampled_from(["none", "latest", "all"]),
    retries=st.integers(0, 2),
    steps=STEPS,
    start=st.datetimes(datetime(2026, 3, 27), datetime(2026, 11, 3)),
)
@settings(max_examples=150, deadline=None)
def test_each_time_is_begun_at_most_once_whatever_happens(
    schedule: Schedule, catch_up: CatchUp, retries: int, steps: list[tuple[str, int]], start: datetime
) -> None:
    course = Course(job(schedule, catch_up, retries), start.replace(tzinfo=UTC))
    for what, seconds in steps:
        course.step(what, seconds)
    attempts = [(begin.due, begin.attempt) for begin, _ in course.starts]
    assert len(set(attempts)) == len(attempts)
    firsts = [begin.due for begin, _ in course.starts if begin.attempt == 1]
    assert firsts == sorted(firsts), "a later time was begun before an earlier one"
    for begin, at in course.starts:
        assert begin.due <= at or any(what == "back" for what, _ in steps)
        assert schedule.latest(begin.due) == begin.due, "begun at a time that is not of its schedule"
        assert begin.attempt <= retries + 1
    assert not {refused.due for refused in course.refused} & set(firsts)


@given(
    schedule=SCHEDULES,
    catch_up=st.sampled_from(["none", "latest", "all"]),
    away=st.integers(1, 20 * 86400),
    start=st.datetimes(datetime(2026, 3, 20), datetime(2026, 11, 1)),
)
@settings(max_examples=100, deadline=None)
def test_after_any_downtime_exactly_what_is_said_is_made_up_for(
    schedule: Schedule, catch_up: CatchUp, away: int, start: datetime
) -> None:
    left = start.replace(tzinfo=UTC)
    back = left + timedelta(seconds=away)
    course = Course(job(schedule, catch_up), left)
    course.look()
    course.now = back
    missed, due = [], schedule.after(left)
    while due <= back:
        missed.append(due)
        due = schedule.after(due)
    for _ in range(len(missed) + 2):
        course.look()
        if course.state.running:
            course.state = jobs.ended(course.state, course.job, course.now)
    made_up = [begin.due for begin, _ in course.starts]
    late = [one for one in missed if back - one <= jobs.LATE]
    assert made_up == {"none": late[-1:], "latest": missed[-1:], "all": missed}[catch_up]
    assert course.state.due_at == due
