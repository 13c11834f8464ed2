"""The journal's page: everything that happened, found again, and who did it told apart."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.console.asgi import Answer, Answering, Grounds, call
from watchkeeper.access.models import Role
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock

OVERVIEW = Answering(overview=b'{"alerts": [], "layers": []}')
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
EVIL = "<script>alert(1)</script>\x1b[2J"


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Grounds]:
    grounds = Grounds(tmp_path, ManualClock(NOW))
    with grounds.store.write() as conn:
        for number in range(120):
            journal.append(
                conn,
                NOW + timedelta(seconds=number),
                "alert.firing" if number % 2 else "alert.acknowledged",
                "component:monitoring" if number % 2 else "person:ada",
                f"alert:{number}",
                {"summary": f"something number-{number} burns", "labels": {"service": "api"}},
                [("monitoring.api.error-rate.page", "missed")] if number == 7 else [],
            )
        journal.append(
            conn, NOW, f"evil.{EVIL}", f"token:{EVIL}", f"user:{EVIL}", {"summary": EVIL, EVIL: EVIL}
        )
    yield grounds
    grounds.store.close()


def page(on: Grounds, path: str, as_: Role | None = Role.VIEWER) -> Answer:
    return call(OVERVIEW, path, on=on, as_=as_, headers={"Accept": "text/html"})


def test_the_newest_come_first_fifty_a_page_and_all_are_found(on: Grounds) -> None:
    seen: list[str] = []
    path = "/journal?kind=alert.*"
    while path:
        text = page(on, path).body.decode()
        import re

        found = re.findall(r'class="told"><a href="/journal/(\d+)"', text)
        assert 0 < len(found) <= 50
        seen += found
        older = re.search(r'href="(/journal\?[^"]*)" rel="next"', text)
        path = older[1].replace("&amp;", "&") if older else ""
    assert len(seen) == len(set(seen)) == 120
    assert seen == sorted(seen, key=int, reverse=True)


def test_people_and_machines_are_told_apart_by_a_word(on: Grounds) -> None:
    text = page(on, "/journal?text=number-1").body.decode()
    assert '<strong class="actor">ada</strong> <span class="quiet">person</span>' in text
    assert '<span class="actor mono">monitoring</span> <span class="quiet">component</span>' in text
    assert 'class="actor">ada' not in page(on, "/journal?text=number-1&by=component").body.decode()


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ("text=number-17", 1),
        ("text=NUMBER-17+burns", 1),
        ("text=number-17+nowhere", 0),
        ("subject=alert:3", 1),
        ("clause=monitoring.api.error-rate.page", 1),
        ("kind=alert.firing&subject=alert:3", 1),
        ("kind=alert.firing&subject=alert:2", 0),
        ("since=2026-03-02T12:01:58%2B00:00", 2),
        ("kind=alert.*&until=2026-03-02T12:00:02", 2),
        ("kind=alert.*&by=token", 0),
    ],
)
def test_filters(on: Grounds, query: str, fits: int) -> None:
    text = page(on, f"/journal?{query}").body.decode()
    assert text.count('<article class="entry"') == fits
    assert ("No entry fits." in text) is (fits == 0)


def test_a_time_that_is_none_is_said_and_what_was_typed_is_kept(on: Grounds) -> None:
    answer = page(on, "/journal?since=yesterday&text=burns")
    text = answer.body.decode()
    assert answer.status == 400
    assert 'role="alert"' in text
    assert "yesterday" in text
    assert 'value="burns"' in text


def test_an_entry_whole(on: Grounds) -> None:
    with on.store.read() as conn:
        entry = next(e for e in journal.entries(conn, limit=200) if e.subject == "alert:7")
        before = next(e for e in journal.entries(conn, limit=200) if e.seq == entry.seq - 1)
    text = page(on, f"/journal/{entry.seq}").body.decode()
    for shown in (
        entry.hash,
        before.hash,
        "something number-7 burns",
        'href="/alerts/7"',
        'href="/clauses/monitoring.api.error-rate.page"',
        f'href="/journal/{entry.seq - 1}"',
        f'href="/journal/{entry.seq + 1}"',
        "<dt>labels</dt>",
    ):
        assert shown in text


def test_there_is_no_such_entry(on: Grounds) -> None:
    assert page(on, "/journal/9999").status == 404
    assert page(on, "/journal/0").status == 400
    assert page(on, "/journal/99999999999999999999").status == 400


def test_what_came_from_outside_does_nothing(on: Grounds) -> None:
    for path in ("/journal", "/journal?text=alert(1)", "/journal/130"):
        text = page(on, path).body.decode()
        assert "<script>alert" not in text
        assert "\x1b" not in text
    with on.store.read() as conn:
        evil = journal.head(conn).seq
    text = page(on, f"/journal/{evil}").body.decode()
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text
    assert "\x1b" not in text


def test_nobody_reads_it_without_signing_in(on: Grounds) -> None:
    answer = page(on, "/journal", as_=None)
    assert (answer.status, answer.headers["location"]) == (303, "/sign-in?next=%2Fjournal")


def test_an_empty_search_that_ended_early_says_where_to_go_on(
    on: Grounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    from watchkeeper.store import journal_search

    monkeypatch.setattr(journal_search, "WITH_WORDS", 20)
    text = page(on, "/journal?text=number-3").body.decode()
    assert "Searched back to" in text
    assert "go on</a>" in text
    assert "No entry fits." not in text
