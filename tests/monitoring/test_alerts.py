"""Alert states: what Prometheus does, held against a model that is too simple to be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.monitoring.alerts import (
    Alert,
    AlertError,
    Alerts,
    AlertState,
    Element,
    Timing,
    Transition,
    TransitionKind,
    clock_step,
    fingerprint_of,
    moved,
    step,
)

T0 = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
INTERVAL = timedelta(seconds=15)
A = Element((("alertname", "Broken"), ("service", "a")), 1.0)
B = Element((("alertname", "Broken"), ("service", "b")), 2.0)


def seconds(n: float) -> timedelta:
    return timedelta(seconds=n)


def kinds(transitions: Sequence[Transition]) -> list[tuple[str, str]]:
    return [(t.kind.value, dict(t.alert.labels)["service"]) for t in transitions]


def run(
    timing: Timing, script: Sequence[tuple[float, Sequence[Element]]]
) -> tuple[Alerts, list[tuple[float, str, str]]]:
    """Evaluate at each second of ``script``; returns the last state and what happened when."""
    state: Alerts = {}
    happened = []
    for second, result in script:
        state, transitions = step(state, result, timing, T0 + seconds(second))
        happened += [(second, *kind) for kind in kinds(transitions)]
    return state, happened


class Watch:
    """Evaluates with a wall clock that may be anywhere, and a monotonic one that only ever goes on."""

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        self.state: Alerts = {}
        self.at: datetime | None = None

    def see(
        self, at: datetime, result: Sequence[Element], watched: timedelta | None
    ) -> list[tuple[str, str]]:
        self.state = moved(self.state, clock_step(self.at, at, INTERVAL, watched))
        self.state, transitions = step(self.state, result, self.timing, at)
        self.at = at
        return kinds(transitions)


def test_an_alert_fires_when_for_is_over_and_resolves_when_the_element_goes() -> None:
    script = [(s, [A] if 15 <= s <= 150 else []) for s in range(0, 200, 15)]
    _, happened = run(Timing(hold=seconds(120)), script)
    assert happened == [(15, "pending", "a"), (135, "firing", "a"), (165, "resolved", "a")]


def test_without_for_an_alert_fires_at_once() -> None:
    assert run(Timing(), [(0, [A])])[1] == [(0, "firing", "a")]


def test_a_pending_alert_that_goes_away_never_fires_and_starts_afresh() -> None:
    script = [(0, [A]), (15, []), (30, [A]), (60, [A])]
    _, happened = run(Timing(hold=seconds(30)), script)
    assert happened == [
        (0, "pending", "a"),
        (15, "withdrawn", "a"),
        (30, "pending", "a"),
        (60, "firing", "a"),
    ]


def test_keep_firing_for_bridges_gaps_shorter_than_itself() -> None:
    gaps = {30, 45, 75, 90, 105, 120}
    script = [(s, [] if s in gaps else [A]) for s in range(0, 121, 15)]
    _, happened = run(Timing(keep_firing_for=seconds(45)), script)
    assert happened == [(0, "firing", "a"), (120, "resolved", "a")]


def test_a_resolved_alert_is_kept_for_fifteen_minutes_and_then_forgotten() -> None:
    script = [(0, [A]), (15, []), (915, []), (930, [])]
    _, happened = run(Timing(), script)
    assert happened == [(0, "firing", "a"), (15, "resolved", "a"), (930, "forgotten", "a")]


def test_an_alert_that_comes_back_within_fifteen_minutes_is_a_new_episode() -> None:
    state, _ = run(Timing(), [(0, [A])])
    first = state[fingerprint_of(A.labels)].episode
    state, happened = run(Timing(), [(0, [A]), (15, []), (30, [A])])
    assert happened[-1:] == [(30, "firing", "a")]
    assert state[fingerprint_of(A.labels)].episode != first


def test_the_value_follows_the_element_and_the_episode_stays() -> None:
    state, _ = step({}, [A], Timing(), T0)
    again, transitions = step(state, [Element(A.labels, 7.0)], Timing(), T0 + INTERVAL)
    before, after = (one[fingerprint_of(A.labels)] for one in (state, again))
    assert (after.value, after.episode, transitions) == (7.0, before.episode, ())


def test_two_elements_that_become_one_alert_are_an_error() -> None:
    with pytest.raises(AlertError, match=r'same alert: Broken\{service="a"\}'):
        step({}, [A, A], Timing(), T0)


def test_more_elements_than_the_limit_are_an_error() -> None:
    with pytest.raises(AlertError, match="more than 1 elements"):
        step({}, [A, B], Timing(limit=1), T0)


# -- clocks that jump, processes that were away -----------------------------------------------------


@pytest.mark.parametrize("jump", [-3600, -90, 90, 3600])
def test_a_clock_that_jumps_neither_hastens_nor_delays_what_is_pending(jump: int) -> None:
    watch = Watch(Timing(hold=seconds(120)))
    assert watch.see(T0, [A], None) == [("pending", "a")]
    for n in range(1, 9):
        happened = watch.see(T0 + seconds(jump) + n * INTERVAL, [A], INTERVAL)
        assert happened == ([("firing", "a")] if n == 8 else [])


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_a_jump_neither_resolves_nor_repeats_what_is_firing(jump: int) -> None:
    watch = Watch(Timing(keep_firing_for=seconds(60)))
    watch.see(T0, [A], None)
    watch.see(T0 + INTERVAL, [], INTERVAL)  # keeps firing from here
    for n in range(2, 5):
        assert watch.see(T0 + seconds(jump) + n * INTERVAL, [], INTERVAL) == []
    assert watch.see(T0 + seconds(jump) + 5 * INTERVAL, [], INTERVAL) == [("resolved", "a")]


def test_time_while_we_were_away_does_not_count_towards_for() -> None:
    watch = Watch(Timing(hold=seconds(120)))
    watch.see(T0, [A], None)
    assert watch.see(T0 + seconds(60), [A], seconds(60)) == []
    back = T0 + seconds(60 + 3600)
    assert watch.see(back, [A], None) == []  # an hour away counts as one interval
    assert watch.see(back + seconds(30), [A], seconds(30)) == []
    assert watch.see(back + seconds(45), [A], seconds(15)) == [("firing", "a")]


def test_what_fired_before_we_were_away_goes_on_firing_as_the_same_episode() -> None:
    watch = Watch(Timing())
    watch.see(T0, [A], None)
    episode = watch.state[fingerprint_of(A.labels)].episode
    assert watch.see(T0 + seconds(7200), [A], None) == []
    assert watch.state[fingerprint_of(A.labels)].episode == episode


def test_slow_evaluations_count_in_full() -> None:
    watch = Watch(Timing(hold=seconds(120)))
    watch.see(T0, [A], None)
    assert watch.see(T0 + seconds(60), [A], seconds(60)) == []
    assert watch.see(T0 + seconds(120), [A], seconds(60)) == [("firing", "a")]


@given(passed=st.floats(-7200, 7200, allow_nan=False), watched=st.floats(0, 600, allow_nan=False) | st.none())
def test_time_that_counts_is_never_negative_and_never_more_than_was_watched(
    passed: float, watched: float | None
) -> None:
    known = None if watched is None else seconds(watched)
    counted = seconds(passed) - clock_step(T0, T0 + seconds(passed), INTERVAL, known)
    assert timedelta(0) <= counted <= (INTERVAL if known is None else known + INTERVAL)


# -- the model --------------------------------------------------------------------------------------


def naive(
    history: Sequence[tuple[int, bool]], hold: int, keep: int
) -> list[tuple[str, int | None, int | None]]:
    """For one alert: (state, second it was first seen, second it fired) after each evaluation."""
    out: list[tuple[str, int | None, int | None]] = []
    state, since, fired, gone, ended = "inactive", 0, 0, None, 0
    for second, there in history:
        if state in ("inactive", "resolved") and there:
            state, since, gone = "pending", second, None
        elif state == "pending" and not there:
            state = "inactive"
        elif state == "firing" and there:
            gone = None
        elif state == "firing":
            gone = second if gone is None else gone
            if keep == 0 or second - gone >= keep:
                state, ended = "resolved", second
        elif state == "resolved" and second - ended > 900:
            state = "inactive"
        if state == "pending" and second - since >= hold:
            state, fired = "firing", second
        active = state in ("pending", "firing", "resolved")
        out.append((state, since if active else None, fired if state in ("firing", "resolved") else None))
    return out


def as_model(alert: Alert | None) -> tuple[str, int | None, int | None]:
    if alert is None:
        return ("inactive", None, None)
    fired = None if alert.fired_at is None else int((alert.fired_at - T0).total_seconds())
    return (alert.state.value, int((alert.active_at - T0).total_seconds()), fired)


histories = st.lists(
    st.tuples(st.sampled_from([1, 5, 15, 15, 15, 30, 400, 901]), st.booleans(), st.booleans()),
    min_size=1,
    max_size=40,
)
spans = st.sampled_from([0, 1, 15, 30, 45, 120])


@given(script=histories, hold=spans, keep=spans)
def test_every_history_ends_as_the_naive_model_says(
    script: list[tuple[int, bool, bool]], hold: int, keep: int
) -> None:
    timing = Timing(hold=seconds(hold), keep_firing_for=seconds(keep))
    state: Alerts = {}
    second = 0
    histories: dict[str, list[tuple[int, bool]]] = {"a": [], "b": []}
    got: dict[str, list[tuple[str, int | None, int | None]]] = {"a": [], "b": []}
    for gap, a, b in script:
        second += gap
        result = [element for element, there in ((A, a), (B, b)) if there]
        before = state
        state, transitions = step(state, result, timing, T0 + seconds(second))
        assert_transitions_explain(before, state, transitions)
        for name, there, element in (("a", a, A), ("b", b, B)):
            histories[name].append((second, there))
            got[name].append(as_model(state.get(fingerprint_of(element.labels))))
    for name in ("a", "b"):
        assert got[name] == naive(histories[name], hold, keep)


def assert_transitions_explain(before: Alerts, after: Alerts, transitions: Sequence[Transition]) -> None:
    """Every change of state has its transition, and every transition a change of state."""
    said = {(t.kind, t.alert.fingerprint) for t in transitions}
    expected = set()
    for key in {*before, *after}:
        old, new = before.get(key), after.get(key)
        if new is None:
            assert old is not None
            gone = TransitionKind.WITHDRAWN if old.state is AlertState.PENDING else TransitionKind.FORGOTTEN
            expected.add((gone, key))
            continue
        same_life = old is not None and old.episode == new.episode
        if new.state is AlertState.FIRING and not (same_life and old and old.state is AlertState.FIRING):
            expected.add((TransitionKind.FIRING, key))
        if new.state is AlertState.RESOLVED and old and old.state is AlertState.FIRING:
            expected.add((TransitionKind.RESOLVED, key))
        if not same_life and (new.state is AlertState.PENDING or new.fired_at != new.active_at):
            expected.add((TransitionKind.PENDING, key))
        if not same_life and new.state is AlertState.FIRING:
            said.discard((TransitionKind.PENDING, key))
    assert said == expected


def test_fingerprints_are_those_of_prometheus() -> None:
    assert fingerprint_of(()) == "cbf29ce484222325"
    assert fingerprint_of(A.labels) != fingerprint_of(B.labels)
    assert fingerprint_of((("a", "bc"),)) != fingerprint_of((("ab", "c"),))
