"""Whatever is asked, the answer has the strict headers and, where it is an error, says so in one form."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.console.asgi import Answering, Grounds, call

HEALTHY = b'{"problems": [], "notes": []}'
OVERVIEW = b'{"platform": "Test"}'


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "GET", 200),
        ("/sign-in", "GET", 303),
        ("/events", "POST", 405),
        ("/healthz", "GET", 200),
        ("/readyz", "GET", 503),
        ("/metrics", "GET", 200),
        ("/runbook", "GET", 200),
        ("/api/overview", "GET", 503),
        ("/api/v1/query?query=up", "GET", 503),
        ("/api/v1/query", "GET", 400),
        ("/api/openapi.json", "GET", 200),
        ("/nowhere", "GET", 404),
        ("/api/v1/query", "DELETE", 405),
        ("/api/v1/query", "OPTIONS", 405),
        ("/healthz", "POST", 405),
    ],
)
def test_every_answer_is_strict(path: str, method: str, status: int) -> None:
    answer = call(Answering(), path, method=method)
    assert answer.status == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers


def test_an_address_that_nothing_answers_at_is_said_so() -> None:
    answer = call(Answering(), "/api/v1/<script>")
    assert (answer.status, answer.json["errorType"]) == (404, "not_found")
    assert "/api/v1/<script>" in answer.json["error"]
    assert answer.headers["content-type"] == "application/json"


def test_a_method_that_is_not_answered_is_said_so_with_those_that_are() -> None:
    answer = call(Answering(), "/api/v1/labels", method="PUT")
    assert answer.json["error"] == "/api/v1/labels does not answer PUT"
    assert answer.headers["allow"] in ("GET", "POST", "GET, POST")


def test_head_is_answered_as_get() -> None:
    # The server leaves the body out; see test_web.py for a request that goes through it.
    assert call(Answering(), "/healthz", method="HEAD").status == 200
    assert call(Answering(ready=HEALTHY), "/readyz", method="HEAD").status == 200
    assert call(Answering(), "/nowhere", method="HEAD").status == 404


def test_a_defect_is_answered_without_its_details() -> None:
    answer = call(Answering(overview=ZeroDivisionError("secret detail")), "/api/overview")
    assert (answer.status, answer.json["errorType"]) == (500, "internal")
    assert b"secret" not in answer.body
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_overview_is_passed_on_as_the_role_wrote_it() -> None:
    answer = call(Answering(overview=OVERVIEW), "/api/overview")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, OVERVIEW, "application/json")


def test_the_overview_of_a_role_that_does_not_run_says_so() -> None:
    answer = call(Answering(), "/api/overview")
    assert answer.status == 503
    assert answer.json == {"status": "error", "errorType": "unavailable", "error": "the role is not running"}


def test_a_store_that_cannot_be_read_is_said_also_where_somebody_went_astray(tmp_path: Path) -> None:
    on = Grounds(tmp_path)
    on.store.close()
    for file in tmp_path.glob("watchkeeper.db*"):
        file.unlink()
    (tmp_path / "watchkeeper.db").write_bytes(b"no database" * 1000)
    page = {"Accept": "text/html"}
    astray = call(Answering(), "/nowhere", on=on, headers=page)
    assert (astray.status, b"nothing answers at /nowhere" in astray.body) == (404, True)
    home = call(Answering(), "/", on=on, headers=page)
    assert (home.status, b"is damaged" in home.body) == (503, True)
