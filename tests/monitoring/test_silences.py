"""Which alerts a silence hides, which silences may be made, and when one ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.monitoring.test_inhibition import alert
from watchkeeper.monitoring.alerts import AlertState
from watchkeeper.monitoring.promql.ast import Matcher, MatchOp
from watchkeeper.monitoring.silences import (
    Silence,
    SilenceError,
    Wanted,
    check,
    ending,
    matcher,
    matches,
    over,
    silenced,
)
from watchkeeper.runbook.models.monitoring import Silencing

NOW = datetime(2026, 1, 5, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)


def silence(
    *texts: str, number: int = 1, start: timedelta = -HOUR, end: timedelta = HOUR, **more: object
) -> Silence:
    made = {"owner": "Ada", "reason": "rollout", "created_at": NOW + start, "created_by": "Ada", **more}
    chosen = tuple(matcher(text) for text in texts)
    return Silence(id=number, matchers=chosen, starts_at=NOW + start, ends_at=NOW + end, **made)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("service=api", Matcher("service", MatchOp.EQUAL, "api")),
        ('service="a b=c"', Matcher("service", MatchOp.EQUAL, "a b=c")),
        ("env!=prod", Matcher("env", MatchOp.NOT_EQUAL, "prod")),
        ("region=~eu-.*", Matcher("region", MatchOp.REGEX, "eu-.*")),
        ("job!~test|load", Matcher("job", MatchOp.NOT_REGEX, "test|load")),
        ("team=", Matcher("team", MatchOp.EQUAL, "")),
    ],
)
def test_a_matcher_is_read_as_people_write_it(text: str, expected: Matcher) -> None:
    assert matcher(text) == expected


@pytest.mark.parametrize("text", ["", "api", "=api", "9a=b", "a-b=c", "service=~(", "service=~a(?=b)"])
def test_what_is_no_matcher_is_refused_with_what_would_be(text: str) -> None:
    with pytest.raises(SilenceError, match=r"write service=api|regular expression"):
        matcher(text)


def test_all_matchers_must_hold_and_an_absent_label_is_empty() -> None:
    chosen = (matcher("service=api"), matcher("env!=prod"), matcher("region=~eu-.*"))
    assert matches(chosen, {"service": "api", "region": "eu-1"})
    assert not matches(chosen, {"service": "api", "region": "eu-1", "env": "prod"})
    assert not matches(chosen, {"service": "api"})
    assert not matches(chosen, {"service": "api", "region": "my-eu-1"})


def test_a_firing_alert_is_quiet_while_the_silence_stands_and_says_whose_it_is() -> None:
    one = alert("errors", "page", service="shop")
    quiet = silenced([one], [silence("service=shop")], NOW)
    assert quiet[one.fingerprint].by == "silence:1"
    assert quiet[one.fingerprint].by_name == "silence 1 of Ada"
    assert quiet[one.fingerprint].reason == "rollout"


@pytest.mark.parametrize(
    "other",
    [
        silence("service=other"),
        silence("service=shop", start=timedelta(seconds=1)),
        silence("service=shop", end=timedelta(0)),
        silence("service=shop", ended_at=NOW - timedelta(minutes=1)),
    ],
)
def test_no_other_silence_hides_it(other: Silence) -> None:
    assert silenced([alert("errors", "page", service="shop")], [other], NOW) == {}


def test_what_does_not_fire_is_not_hidden() -> None:
    resolved = alert("errors", "page", AlertState.RESOLVED, service="shop")
    pending = alert("errors", "page", AlertState.PENDING, service="shop")
    assert silenced([resolved, pending], [silence("service=shop")], NOW) == {}


def test_the_oldest_of_several_silences_speaks() -> None:
    one = alert("errors", "page", service="shop")
    found = silenced([one], [silence("service=shop", number=7), silence("layer=api", number=2)], NOW)
    assert found[one.fingerprint].by == "silence:2"


def wanted(*texts: str, start: timedelta = timedelta(0), end: timedelta = HOUR, **more: str) -> Wanted:
    given = {"owner": "Ada", "reason": "rollout", **more}
    return Wanted(tuple(matcher(text) for text in texts), NOW + start, NOW + end, **given)


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        (wanted(), "hold for every alert"),
        (wanted("env!=prod", "service=~.*"), "hold for every alert"),
        (wanted("service="), "hold for every alert"),
        (wanted("service=api", owner=" "), "needs its owner"),
        (wanted("service=api", reason=""), "needs its reason"),
        (wanted("service=api", reason="x" * 1001), "longer than 1000"),
        (wanted("service=api", end=timedelta(0)), "must end after it begins"),
        (wanted("service=api", start=-2 * HOUR, end=-HOUR), "over already"),
        (wanted("service=api", end=timedelta(days=7, seconds=1)), "at most 7d long"),
    ],
)
def test_a_silence_that_nobody_should_make_is_refused(refused: Wanted, why: str) -> None:
    with pytest.raises(SilenceError, match=why):
        check(refused, NOW, Silencing())


def test_one_as_long_as_the_runbook_allows_may_be_made() -> None:
    check(wanted("service=api", "env!=prod", end=timedelta(days=7)), NOW, Silencing())


def test_its_owner_is_reminded_once_and_not_of_one_that_was_ended() -> None:
    soon = silence("a=b", end=timedelta(minutes=10))
    later = silence("a=b", end=timedelta(minutes=20))
    reminded = silence("a=b", end=timedelta(minutes=10), reminded_at=NOW)
    ended = silence("a=b", end=timedelta(minutes=10), ended_at=NOW)
    assert ending([soon, later, reminded, ended], NOW, timedelta(minutes=15)) == [soon]
    assert over([soon, later, ended], NOW) == [ended]


@given(
    start=st.integers(-100, 100),
    length=st.integers(1, 200),
    early=st.none() | st.integers(-100, 300),
    at=st.integers(-200, 400),
)
def test_a_silence_is_planned_then_active_then_over(
    start: int, length: int, early: int | None, at: int
) -> None:
    def minutes(count: int) -> timedelta:
        return timedelta(minutes=count)

    ended = None if early is None else NOW + minutes(early)
    one = silence("a=b", start=minutes(start), end=minutes(start + length), ended_at=ended)
    moment = NOW + minutes(at)
    assert one.stands(moment) == (one.state(moment) == "active")
    order = ["planned", "active", "over"]
    later = order.index(one.state(moment + minutes(1)))
    assert later >= order.index(one.state(moment))
