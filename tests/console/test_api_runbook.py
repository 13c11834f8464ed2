"""The runbook over the API: as data and as the document, and no secret in either."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.asgi import Answering, Grounds, call
from watchkeeper.access.models import Role

TEXT = """\
runbook: 1
platform: Test <b>
metrics:
  scrape_configs:
    - job_name: x
      http_sd_configs: [{url: "http://sd.example.net/targets"}]
      params: {token: [hunter2]}
notifications:
  receivers:
    - {id: chat, webhook: {url: "https://hooks.example.net/services/T0/B0/s3cr3t"}}
  default_receivers: [chat]
"""


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Grounds]:
    grounds = Grounds(tmp_path)
    yield grounds
    grounds.store.close()


def test_no_secret_is_in_it(on: Grounds) -> None:
    on.put_in_force(TEXT)
    answer = call(Answering(), "/api/runbook", on=on, as_=Role.VIEWER, token=True)
    assert (answer.status, answer.json["platform"]) == (200, "Test <b>")
    assert answer.json["runbook"]["notifications"]["receivers"][0]["id"] == "chat"
    assert b"hunter2" not in answer.body
    assert b"s3cr3t" not in answer.body
    assert b"sd.example.net" in answer.body


def test_the_document(on: Grounds) -> None:
    on.put_in_force(TEXT)
    answer = call(Answering(), "/api/runbook.md", on=on, as_=Role.VIEWER, token=True)
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.body.decode().startswith("# ")


def test_while_none_is_in_force_it_says_so(on: Grounds) -> None:
    for path in ("/api/runbook", "/api/runbook.md", "/api/clauses", "/api/oncall/now", "/api/receivers"):
        answer = call(Answering(), path, on=on, as_=Role.VIEWER, token=True)
        assert (answer.status, answer.json["errorType"]) == (503, "unavailable"), path
        assert "no runbook is in force yet" in answer.json["error"]
