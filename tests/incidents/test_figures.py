"""How fast incidents were dealt with, and whether their alerts were worth it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.incidents.desk import NOW
from tests.incidents.test_lifecycle import BLANK, FIRES
from watchkeeper.incidents.figures import durations, figures, quarter, words
from watchkeeper.incidents.models import Incident, Rating, State


def incident(number: int, minutes: float, **given: Any) -> Incident:
    begun = NOW + timedelta(days=number)
    return replace(
        BLANK,
        id=number,
        severity="SEV-1",
        detected_at=begun,
        opened_at=begun + timedelta(minutes=2),
        acknowledged_at=begun + timedelta(minutes=5),
        mitigated_at=begun + timedelta(minutes=minutes / 2),
        resolved_at=begun + timedelta(minutes=minutes),
        **given,
    )


def test_a_quarter_is_that_of_utc() -> None:
    assert quarter(datetime(2026, 3, 31, 23, 59, tzinfo=UTC)) == "2026-Q1"
    assert quarter(datetime.fromisoformat("2026-04-01T01:00:00+02:00")) == "2026-Q1"


def test_what_did_not_happen_counts_in_no_median() -> None:
    took = durations(replace(incident(1, 60), mitigated_at=None, resolved_at=None))
    assert (took.detect, took.acknowledge) == (timedelta(minutes=2), timedelta(minutes=3))
    assert (took.mitigate, took.resolve) == (None, None)
    open_ = replace(incident(2, 10), resolved_at=None)
    (one,) = figures([incident(1, 60), open_], [], [])
    assert (one.incidents, one.resolve_seconds, one.useful_ratio) == (2, 3600, None)


def test_per_service_and_quarter_newest_first_without_the_merged() -> None:
    known = [
        incident(1, 60),
        incident(2, 30),
        incident(3, 10, service=None),
        incident(120, 20),
        incident(4, 5, state=State.MERGED),
    ]
    page = replace(FIRES, incident_id=1)
    alerts = [page, replace(page, episode="e2"), replace(page, episode="e3", severity="warn")]
    rated = [
        Rating("a", "e1", "Errors", "api", True, "", NOW, "ada"),
        Rating("a", "e2", "E", "api", False, "", NOW, "b"),
    ]
    found = figures(known, alerts, rated)
    assert [(one.quarter, one.service, one.incidents) for one in found] == [
        ("2026-Q2", "api", 1),
        ("2026-Q1", "(no service)", 1),
        ("2026-Q1", "api", 2),
    ]
    last = found[-1]
    assert (last.resolve_seconds, last.worst_resolve_seconds, last.by_severity) == (2700, 3600, {"SEV-1": 2})
    assert (last.pages, last.rated, last.useful, last.useful_ratio) == (2, 2, 1, 0.5)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "-"), (0, "0 s"), (59, "59 s"), (250, "4 min 10 s"), (3661, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_durations_for_people(seconds: float | None, said: str) -> None:
    assert words(seconds) == said
