"""The course of a page: steps, rounds, acknowledgements, deadlines, whatever the times."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oncall.rotas import utc
from watchkeeper.oncall.escalation import (
    NO_ROTA,
    RETRY,
    Acknowledged,
    Ended,
    Escalation,
    Event,
    Exhausted,
    Forgotten,
    Judged,
    NobodyReached,
    Page,
    Paged,
    Policy,
    Reopened,
    State,
    decide,
)
from watchkeeper.oncall.steps import Audience, Recipient, Step

NOW = utc("2026-01-05 03:00")
MINUTE = timedelta(minutes=1)
FIVE = 5 * MINUTE
WHO = {"oncall": ("ada",), "next": ("ben",), "everybody": ("ada", "ben", "cleo"), "nobody": ()}


def _audience(step: Step) -> Audience:
    contacts = tuple(dict.fromkeys(who for entry in step.notify for who in WHO.get(entry, (entry,))))
    lost = tuple(who for who in contacts if who.startswith("lost"))
    reached = tuple(Recipient(who, "mail", f"{who}@example.org") for who in contacts if who not in lost)
    return Audience(contacts, reached, lost)


def policy(*notify: str, wait: timedelta = FIVE, **given: Any) -> Policy:
    """On call, next, everybody, or steps that tell ``notify``."""
    asked = tuple(Step((one,), wait) for one in notify or ("oncall", "next", "everybody"))
    fields: dict[str, Any] = {
        "rota": "platform",
        "steps": asked,
        "repeat": 1,
        "acknowledge": FIVE,
        "lasts": timedelta(hours=1),
        "audience": _audience,
    }
    return Policy(**{**fields, **given})


PAGE = Page("key", firing=True, paged_at=NOW)


class Course:
    """One page, looked at whenever the test says."""

    def __init__(self, asked: Policy) -> None:
        self.policy = asked
        self.page = PAGE
        self.known: Escalation | None = None
        self.events: list[tuple[datetime, Event]] = []

    def look(self, at: datetime) -> list[Event]:
        self.known, events = decide(self.known, self.page, self.policy, at)
        self.events += [(at, event) for event in events]
        again = decide(self.known, self.page, self.policy, at)
        if not any(isinstance(event, Forgotten) for event in events):
            assert again == (self.known, ()), "what is decided twice changes nothing"
        return list(events)

    def acknowledge(self, at: datetime, by: str = "ada") -> None:
        self.page = replace(self.page, acked_at=at, acked_by=by)

    def paged(self, events: list[Event] | None = None) -> list[tuple[str, ...]]:
        found = [event for _, event in self.events] if events is None else events
        return [event.audience.contacts for event in found if isinstance(event, Paged)]

    def verdicts(self) -> list[str]:
        return [event.verdict for _, event in self.events if isinstance(event, Judged)]


def test_first_whoever_is_on_call_then_the_next_then_everybody_and_again() -> None:
    course = Course(policy())
    for minute in range(60):
        course.look(NOW + minute * MINUTE)
    told = [(at, event.audience.contacts) for at, event in course.events if isinstance(event, Paged)]
    assert told == [
        (NOW + 5 * n * MINUTE, who)
        for n, who in enumerate([WHO["oncall"], WHO["next"], WHO["everybody"]] * 2)
    ]
    assert [at for at, event in course.events if isinstance(event, Exhausted)] == [NOW + 30 * MINUTE]
    assert course.verdicts() == ["missed"]
    assert course.known is not None
    assert course.known.problem


def test_an_acknowledgement_in_time_stops_it_and_is_proof() -> None:
    course = Course(policy())
    course.look(NOW)
    course.acknowledge(NOW + FIVE)
    assert course.look(NOW + FIVE + timedelta(seconds=1)) == [Judged("met", 300, True), Acknowledged("ada")]
    assert course.look(NOW + 59 * MINUTE) == []


def test_the_deadline_is_missed_when_it_passes_and_only_once() -> None:
    course = Course(policy())
    course.look(NOW)
    assert course.look(NOW + FIVE - timedelta(microseconds=1)) == []
    events = course.look(NOW + FIVE)
    assert events[0] == Judged("missed", 300, False)
    course.acknowledge(NOW + 6 * MINUTE)
    course.look(NOW + 6 * MINUTE)
    course.look(NOW + 66 * MINUTE)  # forgotten: begins again
    assert course.verdicts() == ["missed"]


def test_a_waived_clause_is_neither_met_nor_missed() -> None:
    for acked in (True, False):
        course = Course(policy(waived=True))
        course.look(NOW)
        if acked:
            course.acknowledge(NOW + MINUTE)
        course.look(NOW + FIVE)
        assert course.verdicts() == ["waived"]


def test_a_page_that_ended_unanswered_before_its_deadline_has_no_verdict() -> None:
    course = Course(policy())
    course.look(NOW)
    course.page = replace(PAGE, firing=False, ended_at=NOW + MINUTE)
    assert course.look(NOW + 9 * MINUTE) == [Ended()]
    assert course.look(NOW + 99 * MINUTE) == []


def test_a_page_that_ended_after_its_deadline_while_nobody_looked_was_missed() -> None:
    course = Course(policy())
    course.look(NOW)
    course.page = replace(PAGE, firing=False, ended_at=NOW + 6 * MINUTE)
    assert course.look(NOW + 9 * MINUTE) == [Judged("missed", 360, False), Ended()]


def test_what_was_answered_in_time_and_ended_while_nobody_looked_was_met() -> None:
    course = Course(policy())
    course.look(NOW)
    course.page = replace(
        PAGE, firing=False, acked_at=NOW + MINUTE, acked_by="ada", ended_at=NOW + 6 * MINUTE
    )
    assert course.look(NOW + 9 * MINUTE) == [Judged("met", 60, True), Ended()]


def test_a_forgotten_acknowledgement_pages_again_from_the_first_step() -> None:
    course = Course(policy())
    course.look(NOW)
    course.look(NOW + FIVE)
    course.acknowledge(NOW + 6 * MINUTE, "ben")
    course.look(NOW + 6 * MINUTE)
    assert course.look(NOW + 65 * MINUTE) == []
    events = course.look(NOW + 66 * MINUTE)
    assert events[0] == Forgotten("ben")
    assert course.paged(events) == [WHO["oncall"]]
    course.page = PAGE  # whoever acts on it takes the acknowledgement back
    assert course.look(NOW + 66 * MINUTE) == []
    assert course.paged(course.look(NOW + 71 * MINUTE)) == [WHO["next"]]


def test_an_acknowledgement_that_is_taken_back_begins_again() -> None:
    course = Course(policy())
    course.look(NOW)
    course.acknowledge(NOW + MINUTE)
    course.look(NOW + MINUTE)
    course.page = PAGE
    events = course.look(NOW + 2 * MINUTE)
    assert events[0] == Reopened()
    assert course.paged(events) == [WHO["oncall"]]


def test_a_silenced_page_waits_and_goes_on_when_it_is_heard_again() -> None:
    course = Course(policy())
    course.look(NOW)
    course.page = replace(PAGE, audible=False)
    assert course.paged(course.look(NOW + 20 * MINUTE)) == []
    course.page = PAGE
    assert course.paged(course.look(NOW + 21 * MINUTE)) == [WHO["next"]]


def test_a_page_that_is_silenced_before_anybody_was_told_is_none() -> None:
    course = Course(policy())
    course.page = replace(PAGE, audible=False)
    assert course.look(NOW) == []
    assert course.known is None


def test_what_fires_again_under_the_same_key_is_a_page_of_its_own() -> None:
    course = Course(policy())
    course.look(NOW)
    course.look(NOW + FIVE)
    course.page = replace(PAGE, firing=False, ended_at=NOW + 6 * MINUTE)
    course.look(NOW + 6 * MINUTE)
    course.page = replace(PAGE, paged_at=NOW + 20 * MINUTE)
    assert course.paged(course.look(NOW + 20 * MINUTE)) == [WHO["oncall"]]
    course.look(NOW + 25 * MINUTE)
    assert course.verdicts() == ["missed", "missed"]


def test_a_step_that_reaches_nobody_is_passed_over_at_once() -> None:
    course = Course(policy("lost-1", "nobody", "next"))
    assert course.paged(course.look(NOW)) == [WHO["next"]]


def test_where_no_step_reaches_anybody_everybody_is_told() -> None:
    assert Course(policy("lost-1", "nobody")).look(NOW)[0] == Paged(
        _audience(Step(("everybody",), FIVE)), 1, 2, 0, first=True
    )


def test_where_nobody_can_be_reached_it_says_so_once_and_goes_on_trying() -> None:
    def lost(_: Step) -> Audience:
        return Audience(("cleo",), (), ("cleo",))

    course = Course(policy(audience=lost))
    assert course.look(NOW) == [NobodyReached(("cleo",))]
    assert course.known is not None
    assert course.known.problem == "nobody can be reached: no receiver of the runbook leads to cleo"
    assert course.look(NOW + RETRY) == []
    course.policy = policy()  # somebody mends the runbook
    assert course.paged(course.look(NOW + 2 * RETRY)) == [WHO["oncall"]]
    assert course.known.problem is None


def test_a_runbook_without_a_rota_pages_nobody_and_still_watches_the_deadline() -> None:
    course = Course(policy(rota=None, steps=(), repeat=0))
    assert course.look(NOW) == []
    assert course.look(NOW + FIVE) == [Judged("missed", 300, False)]
    course.policy = policy()
    assert course.paged(course.look(NOW + 6 * MINUTE)) == [WHO["oncall"]]


def test_a_rota_with_fewer_steps_than_before_goes_on_with_its_next_round() -> None:
    course = Course(policy())
    course.look(NOW)
    course.look(NOW + FIVE)
    course.policy = policy("oncall")
    assert course.paged(course.look(NOW + 2 * FIVE)) == [WHO["oncall"]]


def test_a_clock_that_is_set_back_delays_nobody() -> None:
    course = Course(policy())
    course.look(NOW)
    assert course.paged(course.look(NOW - timedelta(days=1))) == [WHO["next"]]


def test_a_clock_that_is_set_back_leaves_an_acknowledgement_as_it_is() -> None:
    course = Course(policy())
    course.look(NOW)
    course.acknowledge(NOW + MINUTE)
    course.look(NOW + MINUTE)
    back = NOW - timedelta(days=1)
    assert course.look(back) == []
    assert course.look(back + 59 * MINUTE) == []
    assert course.look(back + 60 * MINUTE)[0] == Forgotten("ada")  # and it lasts no longer for that


def test_a_page_whose_rota_vanished_says_so_once_and_goes_on_when_there_is_one_again() -> None:
    course = Course(policy())
    course.look(NOW)
    course.policy = policy(rota=None, steps=(), repeat=0)
    assert course.look(NOW + MINUTE) == [NobodyReached(())]
    assert course.known is not None
    assert (course.known.due_at, course.known.problem) == (None, NO_ROTA)
    assert course.look(NOW + 2 * MINUTE) == []
    course.policy = policy()
    assert course.paged(course.look(NOW + 3 * MINUTE)) == [WHO["oncall"]]
    assert course.known.problem is None


def test_a_page_that_is_taken_back_when_its_rota_has_vanished_says_so() -> None:
    course = Course(policy())
    course.look(NOW)
    course.acknowledge(NOW + MINUTE)
    course.look(NOW + MINUTE)
    course.policy = policy(rota=None, steps=(), repeat=0)
    assert course.look(NOW + 2 * MINUTE) == []
    course.page = PAGE
    assert course.look(NOW + 3 * MINUTE) == [Reopened(), NobodyReached(())]


def test_a_process_that_was_away_tells_one_step_and_gives_it_its_time() -> None:
    course = Course(policy())
    course.look(NOW)
    assert course.paged(course.look(NOW + 12 * MINUTE)) == [WHO["next"]]
    assert course.look(NOW + 17 * MINUTE - timedelta(seconds=1)) == []


GAPS = st.lists(st.timedeltas(timedelta(0), timedelta(minutes=9)), min_size=1, max_size=60)
WAITS = st.timedeltas(timedelta(seconds=1), timedelta(minutes=20))
ASKED = st.lists(st.sampled_from(["oncall", "next", "everybody", "nobody", "lost-1", "ben"]), min_size=1)


@given(GAPS, ASKED, WAITS, st.integers(0, 3))
def test_whenever_it_is_looked_at_everybody_is_told_in_time_and_nobody_twice_in_a_step(
    gaps: list[timedelta], asked: list[str], wait: timedelta, repeat: int
) -> None:
    course = Course(policy(*asked, wait=wait, repeat=repeat))
    at, longest = NOW, timedelta(0)
    course.look(at)
    for gap in gaps:
        at, longest = at + gap, max(longest, gap)
        course.look(at)
    paged = [(when, event) for when, event in course.events if isinstance(event, Paged)]
    assert paged, "somebody hears of it at the first look"
    assert paged[0][0] == NOW
    for (before, _), (after, _) in pairwise(paged):
        assert wait <= after - before <= wait + longest
    places = [(event.round, event.step) for _, event in paged]
    assert places == sorted(set(places)), "no step twice, and in order"
    assert len(course.verdicts()) == (1 if at - NOW >= FIVE else 0)
    if any(isinstance(event, Exhausted) for _, event in course.events):
        rounds = len({place[0] for place in places})
        assert rounds == repeat + 1
    else:
        assert course.known is not None
        assert course.known.due_at is not None
        assert course.known.due_at >= at


@given(
    st.lists(
        st.tuples(st.sampled_from(["ack", "unack", "end", "fire", "mute"]), st.integers(0, 90)), max_size=25
    )
)
def test_whatever_happens_to_the_page_each_has_one_verdict_at_most_and_rests_only_when_answered(
    story: list[tuple[str, int]],
) -> None:
    course, at = Course(policy()), NOW
    course.look(at)
    verdicts = 0
    for what, minutes in story:
        at += minutes * MINUTE
        match what:
            case "ack" if course.page.firing:
                course.acknowledge(at)
            case "unack":
                course.page = replace(course.page, acked_at=None, acked_by=None)
            case "end" if course.page.firing:
                course.page = replace(course.page, firing=False, ended_at=at)
            case "fire" if not course.page.firing:
                course.page = replace(PAGE, paged_at=at)
            case "mute":
                course.page = replace(course.page, audible=not course.page.audible)
        events = course.look(at)
        if any(isinstance(event, Forgotten) for event in events):
            course.page = replace(course.page, acked_at=None, acked_by=None)
        if any(isinstance(event, Ended) for event in events):
            assert len(course.verdicts()) - verdicts <= 1
            verdicts = len(course.verdicts())
        known = course.known
        assert known is not None
        if known.state is State.OPEN and course.page.firing:
            assert known.due_at is not None or known.problem
        assert (known.state is State.ENDED) == (not course.page.firing) or not course.page.audible


@pytest.mark.parametrize("state", State)
def test_every_state_is_known_to_the_table(state: State) -> None:
    from watchkeeper.store.models import escalations

    (check,) = [one for one in escalations.constraints if str(one.name) == "ck_escalations_state"]
    assert f"'{state.value}'" in str(check.sqltext)  # type: ignore[attr-defined]
