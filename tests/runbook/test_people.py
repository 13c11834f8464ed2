"""Rotas, as far as the runbook's text alone is judged."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from watchkeeper.runbook.models.people import Handover, RotaLayer
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.rendering import render


@pytest.mark.parametrize(
    ("every", "whole"),
    [
        ("weekly", True),
        ("2w", True),
        ("7d", True),
        ("daily", False),
        ("7mo", False),
        ("7y", False),
        ("yearly", False),
    ],
)
def test_the_weekday_matters_to_turns_of_whole_weeks(every: str, whole: bool) -> None:
    assert Handover.model_validate({"every": every}).by_weekday is whole


@pytest.mark.parametrize("year", ["0001", "1969", "2200", "9999"])
def test_a_moment_beyond_what_can_be_computed_is_a_mistake(year: str) -> None:
    with pytest.raises(ValidationError, match="outside the years 1970 to 2199"):
        RotaLayer.model_validate({"id": "weekly", "start": f"{year}-06-01T00:00:00+00:00"})


def test_the_document_names_the_weekday_only_where_it_matters_and_the_hours() -> None:
    layers = [
        {"id": "weekly", "participants": ["ada"]},
        {"id": "daily", "participants": ["ada"], "handover": {"every": "daily"}, "hours": ["sat,sun"]},
    ]
    book = Runbook.model_validate(
        {
            "runbook": 1,
            "platform": "Island",
            "contacts": [{"id": "ada", "name": "Ada"}],
            "oncall": {"rotas": [{"id": "one", "title": "One", "layers": layers}]},
        }
    )
    text = render(book)
    assert "- Ada; handover weekly on monday at 09:00\n" in text
    assert "- Ada; handover daily at 09:00; only sat,sun\n" in text
