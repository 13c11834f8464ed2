"""A deadline ends in exactly one verdict, whatever the ticks and the clock do while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, StaticPool, create_engine, event

from watchkeeper.store import deadlines, journal
from watchkeeper.store.database import Store
from watchkeeper.store.deadlines import Deadline, DeadlineError, Event, State, decide
from watchkeeper.store.models import metadata

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
CLAUSE, SUBJECT = "incidents.update", "incident:1"
QUARTER = timedelta(minutes=15)
VERDICTS = {State.MET, State.MISSED, State.WAIVED}


def deadline(minutes: float = 15, **given: Any) -> Deadline:
    due = NOW + timedelta(minutes=minutes)
    warn = NOW + timedelta(minutes=minutes) * 0.8
    values = {"look_at": warn, "scheduled_at": NOW, **given}
    return Deadline(1, CLAUSE, SUBJECT, "post an update", State.RUNNING, NOW, warn, due, **values)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "events", "state"),
    [
        (0, (), State.RUNNING),
        (719, (), State.RUNNING),
        (720, (Event.WARNED,), State.RUNNING),
        (899, (Event.WARNED,), State.RUNNING),
        (900, (Event.MISSED,), State.MISSED),
        (90_000, (Event.MISSED,), State.MISSED),
        (-59, (), State.RUNNING),
        (-61, (Event.MOVED,), State.RUNNING),
    ],
)
def test_it_warns_at_80_percent_and_is_missed_at_100(
    seconds: float, events: tuple[Event, ...], state: State
) -> None:
    one, happened = decide(deadline(), after(seconds))
    assert (happened, one.state) == (events, state)
    assert (one.look_at is None) == (state is not State.RUNNING)


def test_it_warns_once() -> None:
    one, _ = decide(deadline(), after(720))
    assert decide(one, after(800)) == (one, ())


def test_a_waiver_of_the_runbook_makes_it_waived_with_its_reason() -> None:
    one, happened = decide(deadline(), after(900), "the staging cluster is being moved (ben)")
    assert (one.state, one.reason, happened) == (
        State.WAIVED,
        "the staging cluster is being moved (ben)",
        (Event.WAIVED,),
    )


def test_a_clock_that_is_set_back_leaves_the_time_that_it_had() -> None:
    one, happened = decide(deadline(), after(-7200))
    assert happened == (Event.MOVED,)
    assert one.due_at - after(-7200) == QUARTER
    assert decide(one, after(-7200))[1] == ()


def test_what_is_settled_never_changes_again() -> None:
    missed, _ = decide(deadline(), after(900))
    for seconds in (-7200, 0, 900, 90_000):
        assert decide(missed, after(seconds)) == (missed, ())


def start(conn: Connection, now: datetime = NOW, **given: Any) -> Deadline:
    values = {"clause": CLAUSE, "subject": SUBJECT, "title": "post an update", **given}
    return deadlines.start(conn, now, **values, starts_at=now, due=now + QUARTER)


def verdicts(conn: Connection) -> list[tuple[str, str]]:
    return [pair for entry in journal.entries(conn, None, 1000) for pair in entry.evidence]


def test_met_in_time_and_late_and_by_whom(store: Store) -> None:
    with store.write() as conn:
        start(conn)
        (one,) = deadlines.meet(conn, after(900), CLAUSE, SUBJECT, "person:ada", "ada posted one")
        assert (one.state, one.settled_by) == (State.MET, "person:ada")
        start(conn)
        (late,) = deadlines.meet(conn, after(901), CLAUSE, SUBJECT, "person:ada", "ada posted one")
        assert (late.state, late.reason) == (State.MISSED, "late: ada posted one")
        assert deadlines.meet(conn, after(902), CLAUSE, SUBJECT, "person:ada", "again") == []
        assert verdicts(conn) == [(CLAUSE, "met"), (CLAUSE, "missed")]
        assert [entry.actor for entry in journal.entries(conn)] == ["person:ada"] * 2


def test_waived_by_hand_needs_a_reason_and_is_done_once(store: Store) -> None:
    with store.write() as conn:
        one = start(conn)
        with pytest.raises(DeadlineError, match="with a reason"):
            deadlines.waive(conn, NOW, one.id, "person:ada", " ")
        deadlines.waive(conn, NOW, one.id, "person:ada", "a drill")
        with pytest.raises(DeadlineError, match="waived already"):
            deadlines.waive(conn, NOW, one.id, "person:ben", "a drill")
        with pytest.raises(DeadlineError, match="no deadline 99"):
            deadlines.waive(conn, NOW, 99, "person:ben", "a drill")
        assert verdicts(conn) == [(CLAUSE, "waived")]
        assert journal.entries(conn)[0].facts["reason"] == "a drill"


def test_void_is_no_verdict_and_only_of_its_clause(store: Store) -> None:
    with store.write() as conn:
        start(conn)
        kept = start(conn, clause="incidents.document")
        deadlines.void(conn, NOW, SUBJECT, "person:ada", "it is resolved", CLAUSE)
        assert verdicts(conn) == []
        assert deadlines.running(conn, SUBJECT) == [kept]
        assert journal.entries(conn)[0].kind == "deadline.void"


def test_a_look_settles_what_is_due_and_finds_nothing_the_second_time(store: Store) -> None:
    with store.write() as conn:
        start(conn)
        start(conn, subject="drill:3")
        assert [(one.subject, what) for one, what in deadlines.look(conn, after(720))] == [
            (SUBJECT, Event.WARNED),
            ("drill:3", Event.WARNED),
        ]
        assert deadlines.look(conn, after(720)) == []
        found = deadlines.look(conn, after(900), {CLAUSE: "moved house"})
        assert [what for _, what in found] == [Event.WAIVED, Event.WAIVED]
        assert deadlines.due(conn, after(900_000)) == []


def test_a_clock_set_forward_is_passed_over_once_by_however_many(store: Store) -> None:
    with store.write() as conn:
        start(conn)
        day = timedelta(days=1)
        assert deadlines.passed_over(conn, NOW + day, day) == 1
        assert deadlines.passed_over(conn, NOW + day + timedelta(seconds=1), day) == 0
        assert deadlines.look(conn, NOW + day) == []
        assert [what for _, what in deadlines.look(conn, NOW + day + QUARTER)] == [Event.MISSED]


class DeathError(Exception):
    pass


@pytest.fixture(scope="module")
def memory() -> Iterator[Any]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    metadata.create_all(engine)
    yield engine
    engine.dispose()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["tick", "tick", "tick", "meet", "waive", "void", "step", "waived tick"]),
        st.integers(0, 1200),  # seconds that pass before it
        st.sampled_from([0, 0, 0, 90, 7200, 86_400, -90, -7200, -86_400]),  # what the clock is set by
        st.one_of(st.none(), st.integers(1, 8)),  # the statement at which the process dies
    ),
    max_size=25,
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, minutes=st.integers(1, 60))
def test_exactly_one_verdict_whatever_happens(memory: Any, steps: list[Any], minutes: int) -> None:
    now, looked = NOW, NOW
    with memory.begin() as outer:
        subject = f"incident:{outer.exec_driver_sql('SELECT count(*) FROM deadlines').scalar() + 1}"
        due = now + timedelta(minutes=minutes)
        number = deadlines.start(outer, now, CLAUSE, subject, "post an update", now, due).id
    lived = timedelta(0)
    for what, passed, jump, dies in steps:
        lived += timedelta(seconds=passed)
        now += timedelta(seconds=passed + jump)
        _do(memory, what, now, now - looked, subject, number, dies)
        looked = now
        known, seen = _state(memory, subject, number)
        assert len(seen) == (known.state in VERDICTS)
        assert all(verdict == known.state.value for verdict in seen)
        if known.state is State.MISSED and all(done in ("tick", "meet") for done, *_ in steps):
            assert lived >= timedelta(minutes=minutes) or any(jump > 0 for _, _, jump, _ in steps)
    _do(memory, "tick", now, timedelta(0), subject, number, None)
    now += timedelta(minutes=minutes, seconds=1)
    for _ in range(2):
        now += timedelta(days=2)
        _do(memory, "tick", now, timedelta(0), subject, number, None)
    known, seen = _state(memory, subject, number)
    assert known.state is not State.RUNNING
    assert len(seen) == (known.state in VERDICTS)
    warned = [one for one in _entries(memory, subject) if one.kind == "deadline.warned"]
    assert len(warned) == (known.warned_at is not None)


def _do(
    memory: Any, what: str, now: datetime, moved: timedelta, subject: str, number: int, dies: int | None
) -> None:
    seen = 0

    def before(*_: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == dies:
            raise DeathError

    event.listen(memory, "before_cursor_execute", before)
    try:
        with suppress(DeathError, DeadlineError), memory.begin() as conn:
            match what:
                case "tick" | "waived tick":
                    waivers = {CLAUSE: "moved house"} if what == "waived tick" else {}
                    deadlines.look(conn, now, waivers)
                case "meet":
                    deadlines.meet(conn, now, CLAUSE, subject, "person:ada", "done")
                case "waive":
                    deadlines.waive(conn, now, number, "person:ada", "a drill")
                case "void":
                    deadlines.void(conn, now, subject, "person:ada", "gone")
                case "step" if moved > deadlines.CLOCK_STEP:
                    deadlines.passed_over(conn, now, moved)
    finally:
        event.remove(memory, "before_cursor_execute", before)


def _state(memory: Any, subject: str, number: int) -> tuple[Deadline, list[str]]:
    with memory.begin() as conn:
        known = deadlines.load(conn, number)
    return known, [verdict for entry in _entries(memory, subject) for _, verdict in entry.evidence]


def _entries(memory: Any, subject: str) -> list[journal.Entry]:
    with memory.begin() as conn:
        return journal.entries(conn, journal.Filter(subject=subject), 1000)
