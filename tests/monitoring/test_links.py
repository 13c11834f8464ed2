"""The links of alerts: followed where that is ours to do, unknown where it is not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.monitoring.stage import default_runbook, load_text
from watchkeeper.monitoring.compile import compile_runbook
from watchkeeper.monitoring.links import Page, check, fetch_page, is_loopback, judge
from watchkeeper.runbook.loading import default_text
from watchkeeper.runbook.models.runbook import Runbook

RUNBOOK = default_runbook().runbook
COMPILED = compile_runbook(RUNBOOK, "http://here")
ANCHORS = frozenset(dict(rule.annotations)["runbook_url"].partition("#")[2] for rule in COMPILED.rules)


def elsewhere(url: str) -> Runbook:
    return load_text(default_text().replace("runbook_url: /runbook", f"runbook_url: {url}")).runbook


def nobody(url: str) -> Page:
    raise AssertionError(f"{url} was asked")


@pytest.fixture
def wiki() -> Iterator[str]:
    """A wiki on loopback with a page of playbooks, one that leads on, and nothing else."""

    class Wiki(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = "".join(f"<h2 id='{anchor}'>x</h2>" for anchor in sorted(ANCHORS))
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/rb")
                self.end_headers()
                return
            self.send_response(200 if self.path == "/rb" else 404)
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Wiki)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_links_into_our_own_runbook_are_judged_by_the_document_without_asking_anybody() -> None:
    assert check(RUNBOOK, "http://here/", nobody).verdict == "met"
    ours = elsewhere("https://watch.example.com/runbook")
    assert check(ours, "https://watch.example.com", nobody).verdict == "met"


def test_a_link_without_its_anchor_is_missed_and_named() -> None:
    standing = judge(COMPILED, {"http://here/runbook": ANCHORS - {"playbook-api-errors"}})
    assert standing.verdict == "missed"
    assert "ApiErrorRateWarn: there is no #playbook-api-errors" in standing.facts["broken"]


def test_an_alert_without_a_link_is_missed() -> None:
    bare = replace(COMPILED.rules[0], annotations=())
    standing = judge(replace(COMPILED, rules=(bare,)), {})
    assert (standing.verdict, standing.facts["broken"]) == ("missed", [f"{bare.name} has no link"])


def test_links_to_the_world_are_not_followed_and_unknown() -> None:
    standing = check(elsewhere("https://wiki.example.com/rb"), "http://here", nobody)
    assert standing.verdict == "unknown"
    assert "https://wiki.example.com/rb, which was not looked at" in standing.summary


def test_links_to_this_machine_are_followed(wiki: str) -> None:
    assert check(elsewhere(f"{wiki}/rb"), "http://here", fetch_page).verdict == "met"
    gone = check(elsewhere(f"{wiki}/gone"), "http://here", fetch_page)
    assert gone.verdict == "missed"
    assert "answered 404" in gone.summary
    assert "answered 302" in check(elsewhere(f"{wiki}/moved"), "http://here", fetch_page).summary
    assert "cannot be read" in check(elsewhere("http://127.0.0.1:1/rb"), "http://here", fetch_page).summary


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("http://127.0.0.1:8321/x", True),
        ("https://[::1]/x", True),
        ("http://localhost/x", True),
        ("http://localhost.example.com/x", False),
        ("http://10.0.0.1/x", False),
        ("file:///etc/passwd", False),
        ("http://[", False),
    ],
)
def test_what_this_machine_is(url: str, ours: bool) -> None:
    assert is_loopback(url) is ours
