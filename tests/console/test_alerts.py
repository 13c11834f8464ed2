"""The list of alerts: what is in it, in which order, what is found in it, and that nothing breaks it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.console.asgi import Answer, Answering, Grounds, call
from tests.console.ground import HOSTILE, LABELS, NOW, PAGE, end, grounds_with_runbook, put
from watchkeeper.access.models import Role


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Grounds]:
    found = grounds_with_runbook(tmp_path)
    yield found
    found.store.close()


def listed(on: Grounds, query: str = "", as_: Role | None = Role.RESPONDER) -> Answer:
    return call(Answering(), f"/alerts{query}", on=on, as_=as_, headers={"Accept": "text/html"})


def order(answer: Answer, *names: str) -> list[str]:
    text = answer.body.decode()
    main = text[text.index("<main") :]
    return sorted((name for name in names if name in main), key=main.index)


def test_pages_stand_first_and_the_oldest_of_them_before_the_others(on: Grounds) -> None:
    put(on, "Warned", "f1", severity="warn", active_at=NOW - timedelta(hours=3))
    put(on, "Young", "f2", active_at=NOW - timedelta(minutes=1))
    put(on, "Old", "f3", active_at=NOW - timedelta(minutes=50))
    put(on, "Hushed", "f4", inhibited_by="f3")
    put(on, "Soon", "f5", state="pending", fired_at=None)
    put(on, "Gone", "f6", state="resolved", resolved_at=NOW - timedelta(minutes=2))
    said = [f"{name} is bad" for name in ("Old", "Young", "Warned", "Hushed", "Soon", "Gone")]
    assert order(listed(on), *said) == said
    assert "Old speaks for it" in listed(on).body.decode()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?state=firing", ["Api", "Queue"]),
        ("?state=pending", ["Soon"]),
        ("?state=quiet", ["Hushed"]),
        ("?severity=warn", ["Queue"]),
        ("?q=qUEUe", ["Queue"]),
        ("?q=region%3Dus", ["Queue"]),
        ("?match=region%3Deu,service!%3Dworker", ["Api", "Hushed", "Soon"]),
        ("?match=" + quote('alertname=~"A.*" severity=page'), ["Api"]),
        ("?state=nonsense&severity=nonsense", ["Api", "Hushed", "Queue", "Soon"]),
    ],
)
def test_filters_narrow_the_list(on: Grounds, query: str, found: list[str]) -> None:
    put(on, "Api", "f1")
    put(on, "Queue", "f2", severity="warn", labels={**LABELS, "service": "worker", "region": "us"})
    put(on, "Hushed", "f3", inhibited_by="silence:7")
    put(on, "Soon", "f4", state="pending", fired_at=None)
    names = ("Api", "Queue", "Hushed", "Soon")
    answer = listed(on, query)
    assert answer.status == 200
    assert sorted(order(answer, *(f"{name} is bad" for name in names))) == [
        f"{name} is bad" for name in found
    ]


def test_a_matcher_that_is_none_is_said_and_kept(on: Grounds) -> None:
    answer = listed(on, "?match=" + quote('se<b>rvice ~ "('))
    text = answer.body.decode()
    assert answer.status == 400
    assert "is not a matcher; write service=api" in text
    assert 'value="se&lt;b&gt;rvice ~ &#34;("' in text


def test_thousands_of_alerts_are_shown_fifty_at_a_time(on: Grounds) -> None:
    for number in range(120):
        put(on, f"Alert{number:03}", f"f{number}", active_at=NOW - timedelta(minutes=number + 1))
    first, last = listed(on).body.decode(), listed(on, "?page=99").body.decode()
    assert first.count("data-row") == 50
    assert "1 to 50 of 120" in first
    assert "101 to 120 of 120" in last
    assert "Alert119 is bad" in first[first.index("<main") :]
    assert "Alert000 is bad" in last[last.index("<main") :]
    assert 'rel="next"' not in last


def test_history_comes_from_the_journal_and_leads_to_that_life_of_the_alert(on: Grounds) -> None:
    end(on, PAGE, "f1", "first", NOW - timedelta(days=3))
    end(on, PAGE, "f1", "second", NOW - timedelta(days=1))
    assert f"{PAGE} was bad" not in listed(on).body.decode()
    text = listed(on, "?state=history").body.decode()
    assert order(listed(on, "?state=history"), "episode=first", "episode=second") == [
        "episode=second",
        "episode=first",
    ]
    assert "fired for 18 min" in text
    assert order(listed(on, "?state=history&q=nothing"), "episode=first") == []


def test_what_comes_from_outside_is_shown_as_text_and_cut(on: Grounds) -> None:
    labels = {**LABELS, "big": "x" * 1_000_000, "bad": HOSTILE, **{f"label{n}": "v" for n in range(300)}}
    for number in range(50):
        put(on, HOSTILE, f"f{number}", labels=labels, summary=HOSTILE + "y" * 1_000_000)
    answer = listed(on)
    text = answer.body.decode()
    assert len(answer.body) < 600_000
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u001b[2J\\u202e" in text
    assert "(1,000,000 characters)" in text
    assert "more labels" in text


def test_only_who_may_respond_is_offered_to_acknowledge(on: Grounds) -> None:
    put(on, "Api", "f1")
    for role, offered in ((Role.VIEWER, False), (Role.RESPONDER, True), (Role.ADMIN, True)):
        assert ('action="/alerts/f1/acknowledge"' in listed(on, as_=role).body.decode()) is offered
    assert listed(on, as_=None).headers["location"] == "/sign-in?next=%2Falerts"


@pytest.mark.parametrize("state", ["now", "firing", "quiet", "pending", "resolved", "history"])
def test_an_empty_list_says_what_fills_it_and_how(on: Grounds, state: str) -> None:
    text = listed(on, f"?state={state}").body.decode()
    assert 'class="empty"' in text
    assert "<code>watchkeeper " in text
