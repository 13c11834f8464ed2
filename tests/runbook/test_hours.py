"""Hours of the week, as the runbook writes them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from watchkeeper.runbook.models.hours import weekly_hours
from watchkeeper.runbook.models.people import RotaLayer


@pytest.mark.parametrize(
    ("text", "days", "begin", "end"),
    [
        ("mon-fri 09:00-17:00", {0, 1, 2, 3, 4}, 9, 17),
        ("Monday-Friday 09:00-17:00", {0, 1, 2, 3, 4}, 9, 17),
        ("sat,sun", {5, 6}, 0, 24),
        ("fri-mon 08:00-24:00", {4, 5, 6, 0}, 8, 24),
        ("22:00-06:00", set(range(7)), 22, 30),
        ("tue,thu-fri 00:00-00:00", {1, 3, 4}, 0, 24),
    ],
)
def test_hours_are_days_and_a_span_of_the_clock(text: str, days: set[int], begin: int, end: int) -> None:
    hours = weekly_hours(text)
    assert (hours.days, hours.begin, hours.end) == (
        frozenset(days),
        timedelta(hours=begin),
        timedelta(hours=end),
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "always",
        "mon-fri 9-17",
        "09:00-25:00",
        "mon 09:00-17:00 tue",
        "mon fri",
        "mon--tue",
        "24:00-06:00",
    ],
)
def test_what_is_not_hours_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        weekly_hours(text)


def test_a_layer_with_bad_hours_is_a_mistake_that_says_how_to_write_them() -> None:
    with pytest.raises(ValidationError, match="write them like `mon-fri 09:00-17:00`"):
        RotaLayer.model_validate({"id": "office", "hours": ["office hours"]})
