"""A signal's page: its chart, its lines with their verdicts, how it is measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.console.asgi import Answer, Answering, Grounds, call
from tests.console.ground import HOSTILE, NOW, grounds_with_runbook
from watchkeeper.access.models import Role
from watchkeeper.app.wire import WireError
from watchkeeper.store import journal

ELSEWHERE = WireError(
    "samples are not kept here but at https://prometheus.internal; ask there", kind="not_found"
)


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Grounds]:
    found = grounds_with_runbook(tmp_path)
    yield found
    found.store.close()


def matrix(*labels: dict[str, str], values: str = "0.01") -> bytes:
    at = NOW.timestamp()
    result = [
        {"metric": one, "values": [[at - 60, values], [at - 30, values], [at, values]]} for one in labels
    ]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()


def shown(
    on: Grounds, roles: Answering, path: str = "/signals/api/error-rate", as_: Role = Role.VIEWER
) -> Answer:
    return call(roles, path, on=on, as_=as_, headers={"Accept": "text/html"})


def test_a_signal_is_drawn_with_its_lines_and_says_how_they_stand(on: Grounds) -> None:
    with on.store.write() as conn:
        facts = {"summary": "it was bad"}
        clause = "monitoring.api.error-rate.page"
        journal.append(
            conn, NOW, "alert.firing", "component:monitoring", "alert:f", facts, [(clause, "missed")]
        )
    roles = Answering(query_range=matrix({"service": "api"}, {"service": "web"}))
    text = shown(on, roles).body.decode()
    assert 'role="img" aria-label="API (backend + frontend): HTTP error rate (5xx) from ' in text
    assert ">page &gt; 5%</text>" in text
    assert ">warn &gt; 3%</text>" in text
    assert "service=web" in text
    assert 'class="mark is-missed" title="missed"' in text
    assert "it was bad" in text
    assert 'href="/explore?query=' in text
    assert "Its thresholds say something only where" in text
    asked = next(one[1] for one in roles.asked if one[0] == "query_range")
    assert (asked["end_ms"] - asked["start_ms"]) / asked["step_ms"] <= 300


@pytest.mark.parametrize(
    ("name", "span"), [("15m", timedelta(minutes=15)), ("7d", timedelta(days=7)), ("99y", timedelta(hours=1))]
)
def test_how_far_back_can_be_chosen_from_a_few(on: Grounds, name: str, span: timedelta) -> None:
    roles = Answering(query_range=matrix({"service": "api"}))
    assert shown(on, roles, f"/signals/api/error-rate?range={name}").status == 200
    asked = next(one[1] for one in roles.asked if one[0] == "query_range")
    assert abs(asked["end_ms"] - asked["start_ms"] - span.total_seconds() * 1000) <= 2 * asked["step_ms"]


@pytest.mark.parametrize("error", [ELSEWHERE, WireError("the query took longer than 10 s", kind="timeout")])
def test_without_an_answer_the_page_says_why(on: Grounds, error: WireError) -> None:
    answer = shown(on, Answering(query_range=error))
    assert answer.status == 200
    assert str(error) in answer.body.decode()
    assert "Lines that must not be crossed" in answer.body.decode()
    assert "<code>watchkeeper " in answer.body.decode()


@pytest.mark.parametrize("answer", [matrix(), matrix({"service": "api"}, values="NaN")])
def test_without_data_the_page_says_so_and_where_to_look(on: Grounds, answer: bytes) -> None:
    text = shown(on, Answering(query_range=answer)).body.decode()
    assert "There is no data from 05 Jan 11:00 to 05 Jan 12:00 UTC." in text
    assert "<code>watchkeeper top</code>" in text
    assert '<svg class="curves"' not in text


def test_very_many_series_are_counted(on: Grounds) -> None:
    count = {
        "status": "success",
        "data": {"resultType": "vector", "result": [{"metric": {}, "value": [0, "4812"]}]},
    }
    roles = Answering(
        query_range=matrix(*({"service": f"s{n}"} for n in range(21))), query=json.dumps(count).encode()
    )
    assert "and 4,792 more that are not drawn" in shown(on, roles).body.decode()


def test_labels_of_series_are_text(on: Grounds) -> None:
    roles = Answering(query_range=matrix({"a": HOSTILE}, {"a": "x" * 1_000_000}))
    answer = shown(on, roles)
    assert "<script>alert" not in answer.body.decode()
    assert len(answer.body) < 100_000


@pytest.mark.parametrize("path", ["/signals/api/nothing", "/signals/<b>/" + "x" * 3000])
def test_a_signal_that_the_runbook_lacks_is_not_found(on: Grounds, path: str) -> None:
    answer = shown(on, Answering(), path)
    assert answer.status == 404
    assert "The runbook in force has no signal" in answer.body.decode()
    assert "<b>" not in answer.body.decode()
