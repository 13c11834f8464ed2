"""Figures of incidents: medians of what is known, drawn without a style or a script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.console.asgi import Grounds
from tests.console.ground import NOW
from tests.console.incident_ground import ADA, Watching, baseline, burning, clocked, runbook_of
from watchkeeper.access.models import Role
from watchkeeper.console.pages.incident_figures import draw
from watchkeeper.incidents import service


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Grounds]:
    found, _ = clocked(tmp_path)
    yield found
    found.store.close()


def test_each_service_and_quarter_has_its_medians_and_what_people_said_of_its_pages(on: Grounds) -> None:
    for number, minutes in ((1, 5), (2, 15)):
        burning(on, f"f{number}", labels={"service": "shop"})
        baseline(on, f"f{number}")
        with on.store.write() as conn:
            service.resolve(conn, NOW + timedelta(minutes=minutes), runbook_of(on), number, ADA)
            service.rate_alert(conn, NOW, runbook_of(on), number, ADA, f"f{number}", "e1", useful=number == 1)
    html = Watching(on).page("/incidents/figures", Role.VIEWER)
    said = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    assert "2026-Q1" in said
    assert "17 min" in said  # the middle of 12 and 22 minutes since it was detected
    assert "22 min" in said
    assert "50 % of 2 rated, 2 in all" in said
    assert 'aria-label="Time to resolve: 2026-Q1: 17 min"' in html
    assert " style=" not in html


def test_without_incidents_the_page_says_what_would_fill_it(on: Grounds) -> None:
    assert "Nothing has been an incident yet" in Watching(on).page("/incidents/figures")


def test_a_quarter_of_which_nothing_is_known_has_no_column() -> None:
    drawn = draw("Time", [("2026-Q1", 60.0), ("2026-Q2", None), ("2026-Q3", 0.0)])
    assert drawn.count("<rect") == 2
    assert "2026-Q2: not known" in drawn
