"""The targets' page: what is down comes first with its error whole, and thousands stay readable."""

from __future__ import annotations

import pytest

from tests.console.asgi import Answer, Answering, call
from tests.console.platform import target, watching
from watchkeeper.access.models import Role

EVIL = "<script>alert(1)</script>\x1b[2J"
MANY = watching(
    *(target(number) for number in range(2500)),
    *(target(number, "down", f"connection refused by backend{number}") for number in range(2500, 2510)),
    target(3000, "unknown"),
    target(3001, "down", EVIL * 30, job=EVIL),
)


def page(path: str, roles: Answering = MANY, as_: Role | None = Role.VIEWER) -> Answer:
    return call(roles, path, as_=as_, headers={"Accept": "text/html"})


def test_what_is_down_comes_first_with_its_error_whole() -> None:
    text = page("/targets?job=platform").body.decode()
    assert "connection refused by backend2509" in text
    assert text.index("http://backend2509:9100") < text.index("http://backend3000:9100")
    assert text.index("http://backend3000:9100") < text.index("http://backend0:9100")


def test_each_job_has_its_counts_and_they_are_of_all() -> None:
    text = page("/targets?text=backend2509").body.decode()
    assert '<span class="figure">2500</span> up' in text
    assert '<span class="figure">10</span> down' in text
    assert "1 to 1 of 1 (of 2,512 in all)" in text


def test_thousands_of_targets_make_pages() -> None:
    seen = 0
    for number in range(1, 14):
        answer = page(f"/targets?page={number}")
        seen += answer.body.count(b"<tr data-row>")
        assert len(answer.body) < 400_000
        assert (b'rel="next"' in answer.body) is (number < 13)
    assert seen == 2512
    assert b"No target fits." in page("/targets?page=14").body


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("state=down", 11),
        ("state=unknown", 1),
        ("text=REFUSED", 10),
        ("text=nowhere", 0),
        ("state=down&text=2501", 1),
    ],
)
def test_filters(query: str, rows: int) -> None:
    assert page(f"/targets?{query}").body.count(b"<tr data-row>") == rows


def test_what_came_from_outside_does_nothing() -> None:
    text = page("/targets?state=down").body.decode()
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text
    assert "\x1b" not in text


def test_where_nobody_watches_it_says_so() -> None:
    answer = page("/targets", Answering(overview=b'{"alerts": [], "layers": []}'))
    assert answer.status == 503
    assert b"The targets are not known now: the role is not running." in answer.body


def test_where_nothing_is_scraped_it_says_what_would() -> None:
    assert b"metrics.scrape_configs" in page("/targets", watching()).body


@pytest.mark.parametrize("query", ["state=burning", "page=0", "page=x", f"text={'x' * 300}"])
def test_what_cannot_be_asked_is_refused(query: str) -> None:
    assert page(f"/targets?{query}").status == 400


def test_the_api_says_the_same() -> None:
    answer = call(MANY, "/api/targets?state=down&limit=3&offset=1", as_=Role.VIEWER, token=True)
    assert answer.status == 200
    assert (len(answer.json["targets"]), answer.json["total"]) == (3, 11)
    assert {job["name"]: job["down"] for job in answer.json["jobs"]} == {"platform": 10, EVIL: 1}
    assert answer.json["targets"][1]["health"] == "down"
    assert call(Answering(), "/api/targets").status == 503
    assert call(Answering(), "/api/targets").json["errorType"] == "unavailable"
