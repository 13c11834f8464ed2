"""Moments as people type and read them."""

from __future__ import annotations

import pytest

from tests.oncall.rotas import utc
from watchkeeper.oncall.overrides import OnCallError
from watchkeeper.oncall.wording import moment_words, read_moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-27 18:00", "2026-11-27 17:00"),
        ("2026-07-27T18:00", "2026-07-27 16:00"),
        ("2026-11-27", "2026-11-26 23:00"),
        ("2026-11-27T18:00Z", "2026-11-27 18:00"),
        (" 2026-11-27T18:00-05:00 ", "2026-11-27 23:00"),
        ("2026-03-29 02:30", "2026-03-29 01:30"),
        ("2026-10-25 02:30", "2026-10-25 00:30"),
    ],
)
def test_a_time_without_an_offset_is_local_to_the_rota(text: str, moment: str) -> None:
    assert read_moment(text, "Europe/Berlin") == utc(moment)


@pytest.mark.parametrize(
    "text",
    ["", "tomorrow", "18:00", "2026-02-30", "2026-11-27T25:00", "0001-01-01", "9999-12-31T23:59-14:00"],
)
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(OnCallError, match="write it like 2026-11-27 18:00"):
        read_moment(text, "Europe/Berlin")


def test_a_moment_is_shown_local_and_in_utc() -> None:
    moment = utc("2026-03-09 08:00")
    assert moment_words(moment, "Europe/Berlin") == "Mon 2026-03-09 09:00 CET (2026-03-09 08:00Z)"
    assert moment_words(moment, "UTC") == "Mon 2026-03-09 08:00Z"
