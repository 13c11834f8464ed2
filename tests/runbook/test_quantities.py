from __future__ import annotations

import copy
import pickle
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.runbook.models.quantities import (
    BadQuantityError,
    Duration,
    Figure,
    LongDuration,
    Period,
    Rate,
    Ratio,
    Size,
)


@pytest.mark.parametrize(
    ("text", "seconds", "words"),
    [
        ("90s", 90, "90 seconds"),
        ("15m", 900, "15 minutes"),
        ("24h", 86400, "24 hours"),
        ("30d", 30 * 86400, "30 days"),
        ("2w", 14 * 86400, "2 weeks"),
        ("1w", 7 * 86400, "1 week"),
        ("1h30m", 5400, "1 hour 30 minutes"),
        ("250ms", 0.25, "250 milliseconds"),
    ],
)
def test_a_duration_is_its_length_and_keeps_how_it_was_written(text: str, seconds: float, words: str) -> None:
    duration = Duration(text)
    assert duration == timedelta(seconds=seconds)
    assert (duration.text, duration.words, str(duration)) == (text, words, text)


@pytest.mark.parametrize(
    "text", ["5", "5 m", "5x", "", "m5", "-5m", "5m5m", "1mo", "1y", "5M", 5, None, True, 3.0]
)
def test_what_is_no_duration_says_what_would_be(text: object) -> None:
    with pytest.raises(BadQuantityError, match=r"90s, 15m, 24h, 30d, 2w"):
        Duration(text)


def test_a_duration_of_more_than_a_century_is_refused_instead_of_overflowing() -> None:
    with pytest.raises(BadQuantityError, match="hundred years"):
        Duration("9" * 30 + "w")


def test_a_month_of_retention_is_never_shorter_than_a_calendar_month() -> None:
    assert LongDuration("6mo") == timedelta(days=186)
    assert LongDuration("6mo").words == "6 months"
    assert LongDuration("1y") == timedelta(days=366)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("daily", 1),
        ("nightly", 1),
        ("weekly", 7),
        ("monthly", 31),
        ("quarterly", 92),
        ("yearly", 366),
        ("2w", 14),
    ],
)
def test_a_period_is_as_long_as_its_word_allows(text: str, days: int) -> None:
    assert Period(text) == timedelta(days=days)


def test_a_period_says_its_word_or_every() -> None:
    assert Period("nightly").words == "nightly"
    assert Period("15m").words == "every 15 minutes"
    assert Period("1h").words == Duration("1h").every == "every hour"
    assert Duration("1h30m").every == "every 1 hour 30 minutes"
    with pytest.raises(BadQuantityError, match="nightly, weekly"):
        Period("sometimes")


@pytest.mark.parametrize(
    ("text", "value"), [("3%", 0.03), ("99.5%", 0.995), (0.03, 0.03), (1, 1.0), ("0%", 0.0)]
)
def test_a_ratio_is_a_share_of_one(text: object, value: float) -> None:
    assert Ratio(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["3", 3, "101%", "-1%", "3 percent", None, True])
def test_what_is_no_ratio_is_refused(text: object) -> None:
    with pytest.raises(BadQuantityError):
        Ratio(text)


def test_a_ratio_written_as_a_number_reads_as_a_percentage() -> None:
    assert Ratio(0.03).words == "3%"
    assert Ratio(0.005).words == "0.5%"
    assert Ratio(1).words == "100%"
    assert Ratio("3%").words == "3%"


@pytest.mark.parametrize(
    ("text", "size"),
    [("10GiB", 10 * 2**30), ("2GB", 2 * 10**9), ("64KiB", 65536), (512, 512), ("1.5MiB", 1572864)],
)
def test_a_size_is_bytes(text: object, size: int) -> None:
    assert Size(text) == size


@pytest.mark.parametrize("text", ["10", "10G", "10 gigabytes", -1, "10iB", None, True])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(BadQuantityError, match="10GiB"):
        Size(text)


@pytest.mark.parametrize(
    ("text", "value", "kind"),
    [
        (100, 100.0, "number"),
        ("1.5s", 1.5, "duration"),
        ("21d", 21 * 86400.0, "duration"),
        ("3%", 0.03, "ratio"),
        ("10GiB", 10.0 * 2**30, "size"),
        (0, 0.0, "number"),
        (-2.5, -2.5, "number"),
    ],
)
def test_a_figure_is_in_base_units(text: object, value: float, kind: str) -> None:
    figure = Figure(text)
    assert figure == pytest.approx(value)
    assert figure.kind == kind


@pytest.mark.parametrize("text", [float("nan"), float("inf"), "lots", None, True, [1]])
def test_a_figure_that_is_never_reached_is_refused(text: object) -> None:
    with pytest.raises(BadQuantityError):
        Figure(text)


@pytest.mark.parametrize(
    ("text", "per_minute"), [("120/min", 120.0), ("2/s", 120.0), ("600/h", 10.0), ("60/hour", 1.0)]
)
def test_a_rate_is_per_minute(text: str, per_minute: float) -> None:
    assert Rate(text) == pytest.approx(per_minute)


@pytest.mark.parametrize("text", ["120", "0/min", "/min", "1/day", 120])
def test_what_is_no_rate_is_refused(text: object) -> None:
    with pytest.raises(BadQuantityError, match="120/min"):
        Rate(text)


@pytest.mark.parametrize(
    "value",
    [
        Duration("5m"),
        Period("nightly"),
        LongDuration("6mo"),
        Ratio("3%"),
        Size("10GiB"),
        Figure("1.5s"),
        Rate("2/s"),
    ],
)
def test_a_quantity_survives_copying_and_pickling_with_its_text(value: Duration | Ratio | Size) -> None:
    for twin in (copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert twin == value
        assert type(twin) is type(value)
        assert twin.text == value.text


_UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}


@given(st.dictionaries(st.sampled_from(list(_UNITS)), st.integers(0, 999), min_size=1))
def test_units_of_a_duration_add_up(parts: dict[str, int]) -> None:
    text = "".join(f"{number}{unit}" for unit, number in parts.items())
    assert Duration(text).total_seconds() == sum(_UNITS[unit] * number for unit, number in parts.items())


@given(st.one_of(st.text(max_size=12), st.floats(), st.integers(), st.none(), st.booleans()))
def test_no_input_gets_past_a_quantity_with_another_error(value: object) -> None:
    for kind in (Duration, LongDuration, Period, Ratio, Size, Figure, Rate):
        try:
            made = kind(value)
        except BadQuantityError:
            continue
        else:
            assert made.text
            assert made.words
