"""The runbook as a page: every alert's link leads somewhere on it, and nothing in it can run."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from prometheus_client import CollectorRegistry

from tests.console.asgi import Answering, call
from watchkeeper.app.policy import check_expr
from watchkeeper.console.document import page
from watchkeeper.console.server import create_app
from watchkeeper.monitoring.compile import compile_runbook
from watchkeeper.runbook.loading import LoadedRunbook, default_text, load_bytes
from watchkeeper.runbook.rendering import render
from watchkeeper.store.clock import SystemClock


@pytest.fixture(scope="module")
def loaded() -> LoadedRunbook:
    return load_bytes("runbook.yaml", default_text().encode(), check_expr=check_expr)


class _Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def answer_of(loaded: LoadedRunbook, digest: str = "one") -> bytes:
    runbook = loaded.runbook
    return json.dumps({"platform": runbook.platform, "digest": digest, "markdown": render(runbook)}).encode()


def test_every_link_of_an_alert_leads_to_a_place_on_the_page(loaded: LoadedRunbook) -> None:
    text = call(Answering(runbook=answer_of(loaded)), "/runbook").body.decode()
    places = {attributes.get("id") for _, attributes in _Elements(text).found}
    rules = compile_runbook(loaded.runbook, "http://watch.example.com").rules
    links = [dict(rule.annotations)["runbook_url"] for rule in rules]
    assert len(links) > 10
    for link in links:
        base, _, anchor = link.partition("#")
        assert base == "http://watch.example.com/runbook"
        assert anchor in places, link


def test_the_page_is_plain_html_under_a_policy_that_lets_nothing_run(loaded: LoadedRunbook) -> None:
    answer = call(Answering(runbook=answer_of(loaded)), "/runbook")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script" not in policy
    elements = _Elements(answer.body.decode()).found
    assert not {tag for tag, _ in elements} & {"script", "iframe", "object", "embed", "form", "style", "img"}
    assert not [name for _, attributes in elements for name in attributes if name.startswith("on")]
    (sheet,) = (attributes for tag, attributes in elements if tag == "link")
    assert call(Answering(), sheet["href"] or "").headers["content-type"] == "text/css; charset=utf-8"
    assert "Treazr Island" in answer.body.decode()


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[click](javascript:alert(1))",
        "[click](data:text/html,<script>alert(1)</script>)",
        '<a id="x" onclick="alert(1)"></a>',
        '<a id="x&quot; onclick=&quot;alert(1)"></a>',
        "&lt;a id=&quot;x&quot; onclick=&quot;alert(1)&quot;&gt;&lt;/a&gt;",
        "![x](https://tracker.example.com/pixel.png)",
    ],
)
def test_nothing_that_a_runbook_says_becomes_markup_that_runs(hostile: str) -> None:
    for markdown in (hostile, f"| a |\n| --- |\n| {hostile} |", f"# {hostile}", f"`{hostile}`"):
        for tag, attributes in _Elements(page("t", markdown)).found:
            assert tag not in ("script", "iframe")
            assert not [name for name in attributes if name.startswith("on")]
            assert not re.match(
                r"\s*(javascript|data|vbscript):", attributes.get("href") or "", re.IGNORECASE
            )


def test_a_hostile_title_stays_a_title() -> None:
    text = page("</title><script>alert(1)</script>", "x")
    assert "<script>" not in text


def test_a_page_is_rendered_once_for_each_runbook(loaded: LoadedRunbook) -> None:
    roles = Answering(runbook=answer_of(loaded))
    application = create_app(roles, SystemClock(), CollectorRegistry())
    first = call(roles, "/runbook", application=application)
    roles.answers["runbook"] = json.dumps({"platform": "x", "digest": "one", "markdown": None}).encode()
    assert call(roles, "/runbook", application=application).body == first.body
    assert [asked["known"] for _, asked, _ in roles.asked] == ["", "one"]
    roles.answers["runbook"] = json.dumps({"platform": "x", "digest": "two", "markdown": "# New"}).encode()
    assert b"<h1>New</h1>" in call(roles, "/runbook", application=application).body


def test_without_its_role_the_page_says_so_in_plain_words() -> None:
    answer = call(Answering(), "/runbook")
    assert (answer.status, answer.headers["content-type"]) == (503, "text/plain; charset=utf-8")
    assert b"cannot be shown now: the role is not running" in answer.body


def test_the_address_alone_leads_to_the_runbook() -> None:
    answer = call(Answering(), "/")
    assert (answer.status, answer.headers["location"]) == (307, "/runbook")
