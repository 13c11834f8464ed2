"""Charts of alerts: the series that the alert is about, and what happened when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.console.asgi import Answering, Grounds, call
from tests.console.ground import LABELS, NOW, PAGE, grounds_with_runbook, put
from tests.console.test_signals import ELSEWHERE, matrix
from watchkeeper.access.models import Role
from watchkeeper.console.signal_charts import only
from watchkeeper.monitoring.compile import RULE_FAILED
from watchkeeper.monitoring.promql.parser import parse
from watchkeeper.store.clock import to_ms


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Grounds]:
    found = grounds_with_runbook(tmp_path)
    yield found
    found.store.close()


def page(on: Grounds, roles: Answering, fingerprint: str = "f1") -> str:
    answer = call(roles, f"/alerts/{fingerprint}", on=on, as_=Role.VIEWER, headers={"Accept": "text/html"})
    assert answer.status == 200
    return answer.body.decode()


def test_the_series_of_the_alert_is_asked_for_from_before_it_began_until_now(on: Grounds) -> None:
    put(on, PAGE, "f1", active_at=NOW - timedelta(minutes=40), fired_at=NOW - timedelta(minutes=38))
    roles = Answering(query_range=matrix(LABELS, values="0.072"))
    text = page(on, roles)
    asked = next(one[1] for one in roles.asked if one[0] == "query_range")
    assert 'label_replace(vector(1), "env", "prod", "", "")' in asked["query"]
    assert "and on (env, region, service)" in asked["query"]
    assert "severity" not in asked["query"]
    assert abs(asked["start_ms"] - to_ms(NOW - timedelta(minutes=55))) <= 2 * asked["step_ms"]
    assert abs(asked["end_ms"] - to_ms(NOW)) <= asked["step_ms"]
    assert ">page &gt; 5%</text>" in text
    assert "pending at 11:20:00; firing at 11:22:00" in text


def test_an_alert_that_is_over_is_drawn_to_a_little_after_its_end(on: Grounds) -> None:
    begin = NOW - timedelta(minutes=14)
    put(
        on,
        PAGE,
        "f1",
        state="resolved",
        active_at=begin,
        fired_at=begin,
        resolved_at=NOW - timedelta(minutes=12),
    )
    roles = Answering(query_range=matrix(LABELS))
    page(on, roles)
    asked = next(one[1] for one in roles.asked if one[0] == "query_range")
    assert abs(asked["end_ms"] - to_ms(NOW - timedelta(minutes=2))) <= asked["step_ms"]
    assert asked["end_ms"] - asked["start_ms"] >= timedelta(minutes=27).total_seconds() * 1000


def test_a_chart_that_cannot_be_had_is_a_sentence_on_the_page(on: Grounds) -> None:
    put(on, PAGE, "f1")
    put(on, RULE_FAILED, "f2", labels={**LABELS, "rule": PAGE})
    put(on, "NoSuchRule", "f3")
    assert "Samples are not kept here but at a remote API" in page(on, Answering(query_range=ELSEWHERE))
    assert "The chart cannot be drawn: the role is not running." in page(on, Answering())
    assert "There is no chart" in page(on, Answering(), "f2")
    assert "There is no chart" in page(on, Answering(), "f3")


@pytest.mark.parametrize("value", ['a"b\\c', "line\nbreak", "$1 ${name}", "ünï漢"])
def test_any_label_value_can_be_asked_for(value: str) -> None:
    text = only("up == 1 # remark", {"a": value})
    parse(text)
    assert parse(only("up", {})) == parse("up")
