"""What there should be and is not: since when, and for how long it is remembered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.monitoring.labels import Labels
from watchkeeper.monitoring.missing import FORGET_AFTER, LIMIT, WHOLE, Presence, observe, project

T0 = datetime(2026, 1, 5, tzinfo=UTC)
A: Labels = (("service", "a"),)
B: Labels = (("service", "b"),)


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def test_a_signal_that_was_never_seen_is_missing_as_a_whole_and_at_once() -> None:
    found = observe(Presence(), [], at(0))
    assert found.presence.missing() == {WHOLE: at(0)}
    assert found.presence.overdue(timedelta(minutes=5)) == [WHOLE]


def test_a_signal_without_any_label_has_its_time_of_grace_too() -> None:
    gone = observe(observe(Presence(), [()], at(0)).presence, [], at(1)).presence
    assert gone.overdue(timedelta(minutes=5)) == []
    assert gone.excused((), timedelta(minutes=5))
    assert observe(gone, [], at(6)).presence.overdue(timedelta(minutes=5)) == [()]
    assert not observe(gone, [], at(6)).presence.excused((), timedelta(minutes=5))


def test_what_appears_takes_the_place_of_nothing() -> None:
    first = observe(Presence(), [], at(0)).presence
    found = observe(first, [A], at(1))
    assert (found.new, found.presence.missing()) == ((A,), {})


def test_an_element_that_goes_is_missing_from_then_on_and_overdue_later() -> None:
    known = observe(Presence(), [A, B], at(0)).presence
    found = observe(known, [A], at(1))
    assert found.lost == (B,)
    later = observe(found.presence, [A], at(5.9)).presence
    assert later.missing() == {B: at(1)}
    assert later.overdue(timedelta(minutes=5)) == []
    assert observe(later, [A], at(6)).presence.overdue(timedelta(minutes=5)) == [B]


def test_an_element_that_comes_back_is_missing_no_more() -> None:
    gone = observe(observe(Presence(), [A], at(0)).presence, [], at(1)).presence
    found = observe(gone, [A], at(2))
    assert (found.back, found.presence.missing()) == ((A,), {})


def test_a_service_that_is_gone_for_a_day_is_taken_to_be_retired() -> None:
    gone = observe(observe(Presence(), [A, B], at(0)).presence, [A], at(1)).presence
    found = observe(gone, [A], at(1) + FORGET_AFTER)
    assert (found.forgotten, set(found.presence.elements)) == ((B,), {A})


def test_a_signal_whose_last_element_is_forgotten_is_missing_as_a_whole() -> None:
    gone = observe(observe(Presence(), [A], at(0)).presence, [], at(1)).presence
    found = observe(gone, [], at(1) + FORGET_AFTER)
    assert found.presence.overdue(timedelta(minutes=5)) == [WHOLE]


def test_a_step_of_the_clock_does_not_make_it_overdue() -> None:
    gone = observe(observe(Presence(), [A], at(0)).presence, [], at(1)).presence
    moved = gone.moved(timedelta(hours=1))
    assert observe(moved, [], at(61.25)).presence.overdue(timedelta(minutes=5)) == []


def test_a_label_bomb_costs_no_more_than_the_limit() -> None:
    bomb = [(("service", str(n)),) for n in range(LIMIT + 100)]
    known = observe(Presence(), bomb, at(0)).presence
    assert len(known.elements) == LIMIT
    assert len(observe(known, bomb, at(1)).presence.elements) == LIMIT


def test_elements_are_told_apart_by_the_required_labels_alone() -> None:
    assert project((("env", "prod"), ("pod", "x"), ("service", "a")), ("service", "env")) == (
        ("env", "prod"),
        ("service", "a"),
    )


@given(st.lists(st.tuples(st.integers(1, 800), st.sets(st.sampled_from([A, B]))), min_size=1, max_size=20))
def test_an_element_is_there_exactly_if_it_was_seen_last_time(
    script: list[tuple[int, set[Labels]]],
) -> None:
    known, minutes = Presence(), 0
    seen_last: dict[Labels, datetime] = {}
    for gap, present in script:
        minutes += gap
        found = observe(known, present, at(minutes))
        known = found.presence
        seen_last.update(dict.fromkeys(present, at(minutes)))
        assert {labels for labels, since in known.elements.items() if since is None} == present
        for labels, since in known.missing().items():
            assert labels == WHOLE or since > seen_last[labels]
        assert known.elements, "there is always something to be said of a signal"
