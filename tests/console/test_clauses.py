"""A clause's page: its verdict and why, and what proved it; what nothing proved is unknown."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from tests.console.asgi import Answer, Grounds, call
from tests.console.platform import CLAUSE, furnish, watching
from watchkeeper.access.models import Role
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
EVIL = "<script>alert(1)</script>\x1b[2J"


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grounds]:
    grounds = Grounds(Path(tmp_path_factory.mktemp("clauses")), ManualClock(NOW))
    furnish(grounds)
    with grounds.store.write() as conn:
        old = NOW - timedelta(days=3)
        journal.append(
            conn,
            old,
            "verdict",
            "component:monitoring",
            "clause:x",
            {"summary": f"it was fine {EVIL}"},
            [("monitoring.api.error-rate.warn", "met"), ("backups.postgres.dump.cadence", "met")],
        )
    yield grounds
    grounds.store.close()


@cache
def app(on: Grounds) -> ASGIApp:
    return on.app(watching())


def page(on: Grounds, path: str) -> Answer:
    return call(
        watching(), path, on=on, application=app(on), as_=Role.VIEWER, headers={"Accept": "text/html"}
    )


def document(on: Grounds, path: str) -> Answer:
    return call(watching(), path, on=on, application=app(on), as_=Role.VIEWER, token=True)


def test_a_clause_with_its_verdict_why_and_proof(on: Grounds) -> None:
    text = page(on, f"/clauses/{CLAUSE}").body.decode()
    for shown in (
        "<strong>missed</strong>",
        "the API fails",
        'href="/signals/api/error-rate"',
        f'href="/runbook#{CLAUSE}"',
        f'href="/journal?clause={CLAUSE}"',
        "an alerting rule",
        'class="proof" href="/journal/',
    ):
        assert shown in text


def test_old_proof_of_what_is_watched_is_unknown_and_says_why(on: Grounds) -> None:
    text = page(on, "/clauses/monitoring.api.error-rate.warn").body.decode()
    assert "<strong>unknown</strong>" in text
    assert "nobody watches it" in text
    assert "&lt;script&gt;" in text
    assert "<script>alert" not in text
    assert "\x1b" not in text


def test_overdue_proof_is_missed_and_says_why(on: Grounds) -> None:
    found = document(on, "/api/clauses?verdict=missed").json
    assert found["counts"]["missed"] == len(found["clauses"]) > 0
    assert {one["verdict"] for one in found["clauses"]} == {"missed"}
    one = document(on, f"/api/clauses/{CLAUSE}").json
    assert (one["verdict"], one["layer"], one["signal"]) == ("missed", "api", "error-rate")
    assert [proof["verdict"] for proof in one["history"]] == ["missed"]


def test_what_nothing_proved_says_what_would(on: Grounds) -> None:
    text = page(on, "/clauses/incidents.acknowledge").body.decode()
    assert "<strong>unknown</strong>" in text
    assert "Nothing has proved this line yet." in text
    assert "watchkeeper runbook explain incidents.acknowledge" in text


@pytest.mark.parametrize("name", ["nowhere", "%3Cscript%3E", "x" * 300, "..%2f..%2fetc"])
def test_there_is_no_such_clause(on: Grounds, name: str) -> None:
    assert page(on, f"/clauses/{name}").status == 404
    assert document(on, f"/api/clauses/{name}").status == 404


def test_every_clause_of_the_runbook_has_a_page(on: Grounds) -> None:
    clauses = document(on, "/api/clauses").json["clauses"]
    assert len(clauses) > 50
    for clause in clauses:
        assert page(on, f"/clauses/{clause['id']}").status == 200
