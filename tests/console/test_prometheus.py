"""Prometheus' API: what its parameters come to, and the envelopes of its errors."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.console.asgi import Answer, Answering, call
from watchkeeper.app.wire import WireError
from watchkeeper.console import bodies
from watchkeeper.store.clock import ManualClock, to_ms

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
OK = b'{"status":"success","data":[]}'


def asked(path: str, **more: Any) -> tuple[str, dict[str, Any]]:
    """The question that a request comes to, without the time-out that all have."""
    roles = Answering(**dict.fromkeys(("query", "query_range", "series", "labels", "label_values"), OK))
    roles.answers |= dict.fromkeys(("metadata", "rules", "alerts", "targets"), OK)
    answer = call(roles, path, clock=ManualClock(NOW), **more)
    assert (answer.status, answer.body) == (200, OK)
    assert answer.headers["content-type"] == "application/json"
    ((question, parameters, _),) = roles.asked
    return question, {name: value for name, value in parameters.items() if name != "timeout_ms"}


def refused(path: str, **more: Any) -> Answer:
    answer = call(Answering(), path, clock=ManualClock(NOW), **more)
    assert answer.json.keys() == {"status", "errorType", "error"}
    assert answer.json["status"] == "error"
    return answer


def test_an_instant_query_is_for_now_unless_told_otherwise() -> None:
    now = ("query", {"query": "up", "time_ms": to_ms(NOW), "limit": 0})
    assert asked("/api/v1/query?query=up") == now
    assert asked("/api/v1/query?query=up&time=&limit=") == now
    then = asked("/api/v1/query?query=up&time=2026-01-05T11:00:00.5Z&limit=7")
    assert then == ("query", {"query": "up", "time_ms": to_ms(NOW) - 3_599_500, "limit": 7})


def test_a_range_query_has_a_start_an_end_and_a_step() -> None:
    question = asked("/api/v1/query_range?query=up&start=10&end=20.5&step=1m")
    parameters = {"query": "up", "start_ms": 10_000, "end_ms": 20_500, "step_ms": 60_000, "limit": 0}
    assert question == ("query_range", parameters)


@pytest.mark.parametrize("path", ["/api/v1/series", "/api/v1/labels", "/api/v1/label/job/values"])
def test_several_selectors_may_be_given(path: str) -> None:
    _, parameters = asked(f"{path}?match[]=up&match[]=x%7Ba%3D%22b%22%7D&start=1&end=2&limit=3")
    assert parameters["match"] == ["up", 'x{a="b"}']
    assert (parameters["start_ms"], parameters["end_ms"], parameters["limit"]) == (1000, 2000, 3)


def test_what_is_asked_of_rules_and_targets_is_passed_on() -> None:
    assert asked("/api/v1/rules?type=alert&rule_name[]=A&rule_name[]=B") == (
        "rules",
        {"type": "alert", "names": ["A", "B"]},
    )
    assert asked("/api/v1/targets?state=Active") == ("targets", {"state": "active"})
    assert asked("/api/v1/metadata?metric=up&limit=1") == ("metadata", {"metric": "up", "limit": 1})
    assert asked("/api/v1/alerts") == ("alerts", {})


@pytest.mark.parametrize("path", ["query", "query_range", "series", "labels"])
def test_a_form_may_be_posted_and_wins_over_the_address(path: str) -> None:
    body = b"query=sum(up)&start=1&end=2&step=1&match[]=up&limit=5"
    _, parameters = asked(f"/api/v1/{path}?query=other&limit=9", method="POST", body=body, headers=FORM)
    assert parameters["limit"] == 5
    assert parameters.get("query", "sum(up)") == "sum(up)"
    _, parameters = asked(f"/api/v1/{path}?{body.decode()}", method="POST")
    assert parameters["limit"] == 5


def test_a_query_may_hold_what_addresses_and_forms_encode() -> None:
    _, parameters = asked(
        "/api/v1/query", method="POST", body=b"query=a+%2B+b%7Bc%3D%22%C3%BC%22%7D", headers=FORM
    )
    assert parameters["query"] == 'a + b{c="ü"}'


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("query", 'parameter "query" is missing'),
        ("query?query=up&time=yesterday", '"time"'),
        ("query?query=up&timeout=0", '"timeout"'),
        ("query?query=up&limit=-1", '"limit"'),
        ("query_range?query=up&start=1&end=2", '"step" is missing'),
        ("query_range?query=up&end=2&step=1", '"start" is missing'),
        ("query_range?query=up&start=2&end=1&step=1", "before"),
        ("query_range?query=up&start=1&end=2&step=0", '"step"'),
        ("query_range?query=up&start=0&end=11001&step=1", "11,000 points"),
        ("series", '"match[]" is missing'),
        ("label/a-b/values", "invalid label name"),
        ("rules?type=recording", "alert or record"),
    ],
)
def test_a_bad_parameter_is_named_in_a_400(path: str, says: str) -> None:
    answer = refused(f"/api/v1/{path}")
    assert (answer.status, answer.json["errorType"]) == (400, "bad_data")
    assert says in answer.json["error"]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("bad_data", 400),
        ("execution", 422),
        ("not_found", 404),
        ("timeout", 503),
        ("unavailable", 503),
        ("internal", 500),
    ],
)
def test_what_the_role_refuses_has_prometheus_status(kind: str, status: int) -> None:
    answer = call(Answering(query=WireError('why "it" <is> so', kind=kind)), "/api/v1/query?query=up")
    assert answer.status == status
    assert answer.json == {"status": "error", "errorType": kind, "error": 'why "it" <is> so'}


def test_the_timeout_is_passed_on_and_bounded() -> None:
    def timeout(text: str) -> tuple[int, float]:
        roles = Answering(query=OK)
        call(roles, f"/api/v1/query?query=up{text}")
        ((_, parameters, seconds),) = roles.asked
        return parameters["timeout_ms"], seconds

    assert timeout("") == (30_000, 31)
    assert timeout("&timeout=1.5") == (1500, 2.5)
    assert timeout("&timeout=5m") == (120_000, 121)


def test_a_body_too_large_too_slow_or_broken_off_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def post(body: bytes, **more: Any) -> tuple[int, str]:
        answer = refused("/api/v1/query", method="POST", body=body, headers=FORM, **more)
        return answer.status, answer.json["error"]

    assert post(b"query=" + b"x" * (1 << 20)) == (413, "the body is larger than 1 MiB")
    monkeypatch.setattr(bodies, "SECONDS", 0.05)
    assert post(b"query=up", hang=True) == (408, "the body did not arrive within 0.05 s")
    assert post(b"query=up", leave=True) == (400, "the body did not arrive whole")


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (b'{"query": "up"}', "application/json", "x-www-form-urlencoded"),
        (b"query=up", "", "x-www-form-urlencoded"),
        (b"query=\xff", "application/x-www-form-urlencoded", "cannot be read"),
        (b"&".join([b"a=b"] * 1001), "application/x-www-form-urlencoded", "cannot be read"),
    ],
)
def test_a_body_that_is_no_form_is_refused(body: bytes, kind: str, says: str) -> None:
    answer = refused("/api/v1/query", method="POST", body=body, headers={"Content-Type": kind})
    assert answer.status == 400
    assert says in answer.json["error"]


def test_what_needs_no_role_is_answered_without_one() -> None:
    info = call(Answering(), "/api/v1/status/buildinfo").json["data"]
    assert info["version"].startswith("3.")
    assert info["application"] == "watchkeeper"
    for method in ("GET", "POST"):
        assert call(Answering(), "/api/v1/query_exemplars", method=method).json == {
            "status": "success",
            "data": [],
        }
