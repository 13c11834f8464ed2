"""The runbook as a document: every alert's link leads somewhere on it, and nothing in it can run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.console.asgi import Answering, Grounds, call
from watchkeeper.console.pages.document import body
from watchkeeper.monitoring.compile import compile_runbook
from watchkeeper.runbook.loading import LoadedRunbook, default_text


@pytest.fixture(scope="module")
def grounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grounds]:
    made = Grounds(Path(tmp_path_factory.mktemp("document")))
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def loaded(grounds: Grounds) -> LoadedRunbook:
    return grounds.put_in_force(default_text())


class _Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_every_link_of_an_alert_leads_to_a_place_on_the_page(grounds: Grounds, loaded: LoadedRunbook) -> None:
    text = call(Answering(), "/runbook", on=grounds).body.decode()
    places = {attributes.get("id") for _, attributes in _Elements(text).found}
    rules = compile_runbook(loaded.runbook, "http://watch.example.com").rules
    links = [dict(rule.annotations)["runbook_url"] for rule in rules]
    assert len(links) > 10
    for link in links:
        base, _, anchor = link.partition("#")
        assert base == "http://watch.example.com/runbook"
        assert anchor in places, link


def test_the_page_is_under_a_policy_that_lets_nothing_foreign_run(
    grounds: Grounds, loaded: LoadedRunbook
) -> None:
    answer = call(Answering(), "/runbook", on=grounds)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    elements = _Elements(answer.body.decode()).found
    assert not {tag for tag, _ in elements} & {"iframe", "object", "embed", "style"}
    assert not [name for _, attributes in elements for name in attributes if name in ("style", "srcdoc")]
    assert not [name for _, attributes in elements for name in attributes if name.startswith("on")]
    for tag, attributes in elements:
        if tag == "script":
            assert (attributes["src"] or "").startswith("/static/")
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
        for tag, attributes in _Elements(str(body(markdown))).found:
            assert tag not in ("script", "iframe")
            assert not [name for name in attributes if name.startswith("on")]
            assert not re.match(
                r"\s*(javascript|data|vbscript):", attributes.get("href") or "", re.IGNORECASE
            )


def test_a_document_follows_the_runbook_in_force(tmp_path: Path) -> None:
    on = Grounds(tmp_path)
    application = on.app(Answering())
    on.put_in_force(default_text())
    assert b"Treazr Island" in call(Answering(), "/runbook", on=on, application=application).body
    on.put_in_force(default_text().replace("platform: Treazr Island", "platform: Another Island"))
    fresh = on.app(Answering())
    assert b"Another Island" in call(Answering(), "/runbook", on=on, application=fresh).body
    on.store.close()


def test_before_a_runbook_is_in_force_the_page_says_what_would_fill_it(tmp_path: Path) -> None:
    on = Grounds(tmp_path)
    answer = call(Answering(), "/runbook", on=on)
    assert answer.status == 200
    assert b"No runbook is in force." in answer.body
    on.store.close()
