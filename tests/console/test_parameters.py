"""Parameters of the HTTP API are read as Prometheus reads them; bad ones are named."""

from __future__ import annotations

import pytest

from watchkeeper.console.parameters import ParameterError, duration_ms, limit, steps, time_ms


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1764000000", 1764000000000),
        ("1764000000.123", 1764000000123),
        ("-1.5", -1500),
        ("2025-11-24T16:00:00Z", 1764000000000),
        ("2025-11-24T18:00:00.5+02:00", 1764000000500),
    ],
)
def test_times_are_unix_seconds_or_rfc_3339(text: str, milliseconds: int) -> None:
    assert time_ms("time", text, None) == milliseconds


@pytest.mark.parametrize(
    "text",
    [
        *("yesterday", "2025-11-24", "inf", "nan", "1e300", "", "1_000", " 1", "٣"),
        "0001-01-01T00:00:00+23:59",
    ],
)
def test_what_is_no_time_is_refused_by_name(text: str) -> None:
    with pytest.raises(ParameterError, match='"start"'):
        time_ms("start", text, None)


@pytest.mark.parametrize(
    ("text", "milliseconds"), [("15", 15000), ("0.5", 500), ("1h30m", 5400000), ("250ms", 250)]
)
def test_durations_are_seconds_or_prometheus_durations(text: str, milliseconds: int) -> None:
    assert duration_ms("step", text) == milliseconds


@pytest.mark.parametrize("text", ["0", "-5", "1x", "5m ", "nan", "1e400", "99999999999y", "1_0", "٣s"])
def test_what_is_no_duration_is_refused_by_name(text: str) -> None:
    with pytest.raises(ParameterError, match='"step"'):
        duration_ms("step", text)


def test_a_range_of_too_many_points_is_refused() -> None:
    steps(0, 11_000_999, 1000)
    with pytest.raises(ParameterError, match="11,000 points"):
        steps(0, 11_001_000, 1000)
    with pytest.raises(ParameterError, match="before"):
        steps(1, 0, 1000)


def test_a_limit_is_a_whole_number() -> None:
    assert (limit(None), limit("0"), limit("7")) == (0, 0, 7)
    with pytest.raises(ParameterError, match='"limit"'):
        limit("-1")
    with pytest.raises(ParameterError, match='"limit"'):
        limit("٣")
