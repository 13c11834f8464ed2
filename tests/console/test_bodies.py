"""No route, whoever reads its body, takes more than a mebibyte, or waits for it for long."""

from __future__ import annotations

import pytest

from tests.console.asgi import call
from tests.console.platform import watching
from watchkeeper.console import bodies

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/api/silences", JSON),
        ("/api/users", JSON),
        ("/sign-in", FORM),
        ("/api/v1/query", FORM),
        ("/api/webhooks/pagerduty/x", JSON),
    ],
)
def test_a_body_that_is_too_large(path: str, headers: dict[str, str]) -> None:
    answer = call(watching(), path, method="POST", body=b"x" * (bodies.MAX_BYTES + 1), headers=headers)
    assert answer.status == 413
    assert answer.json["error"] == bodies.TOO_LARGE


@pytest.mark.parametrize(("path", "headers"), [("/api/silences", JSON), ("/sign-in", FORM)])
def test_a_body_that_does_not_arrive(
    path: str, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "SECONDS", 0.2)
    answer = call(watching(), path, method="POST", body=b"{", headers=headers, hang=True)
    assert answer.status == 408
    assert "did not arrive within" in answer.json["error"]


def test_a_body_of_just_a_mebibyte_is_read() -> None:
    body = b'{"matchers": ["a=b"], "reason": "' + b"x" * (bodies.MAX_BYTES - 35) + b'"}'
    assert len(body) == bodies.MAX_BYTES
    answer = call(watching(), "/api/silences", method="POST", body=body, headers=JSON)
    assert answer.status == 400
    assert "reason" in answer.json["error"]
