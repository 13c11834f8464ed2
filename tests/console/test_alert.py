"""One alert: its story from the store and the journal, and taking it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from sqlalchemy import select

from tests.console.asgi import Answer, Answering, Grounds, call
from tests.console.ground import EPISODE, HOSTILE, LABELS, NOW, PAGE, end, grounds_with_runbook, put, tell
from watchkeeper.access.models import Role
from watchkeeper.store import journal
from watchkeeper.store.models import alerts

FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Grounds]:
    found = grounds_with_runbook(tmp_path)
    yield found
    found.store.close()


def shown(on: Grounds, path: str, as_: Role | None = Role.RESPONDER) -> Answer:
    return call(Answering(), path, on=on, as_=as_, headers={"Accept": "text/html"})


def take(
    on: Grounds, fingerprint: str, as_: Role = Role.RESPONDER, token: bool = False, **form: str
) -> Answer:
    return call(
        Answering(), f"/alerts/{fingerprint}/acknowledge", method="POST", on=on, as_=as_, token=token,
        body=urlencode(form).encode(), headers=FORM,
    )  # fmt: skip


def acknowledged_by(on: Grounds, fingerprint: str) -> str | None:
    with on.store.read() as conn:
        query = select(alerts.c.acked_by).where(alerts.c.fingerprint == fingerprint)
        found: str | None = conn.execute(query).scalar_one()
    return found


def entries(on: Grounds, kind: str) -> list[journal.Entry]:
    with on.store.read() as conn:
        return journal.entries(conn, journal.Filter(kind=kind))


def test_an_alert_says_how_bad_it_is_what_it_breaks_and_what_to_do(on: Grounds) -> None:
    put(on, PAGE, "f1", clause="monitoring.api.error-rate.page", group_key="k1")
    tell(on, PAGE, "f1", "k1")
    with on.store.write() as conn:
        for hours, digest in ((50, "x"), (40, "y"), (2, "z")):
            said = "runbook abc is in force" if digest == "z" else "too long ago"
            facts = {"summary": said, "digest": digest}
            at = NOW - timedelta(hours=hours)
            journal.append(conn, at, "runbook.loaded", "person:ada", "runbook", facts)
    text = shown(on, "/alerts/f1").body.decode()
    assert "7.2 %, page above 5% over 2 minutes" in text
    assert 'href="/clauses/monitoring.api.error-rate.page"' in text
    assert 'href="/signals/api/error-rate"' in text
    assert "Review recent deploys" in text
    assert 'href="/runbook#playbook-api-errors"' in text
    assert "runbook abc is in force" in text
    assert "too long ago" not in text
    assert "pager</strong> trigger" in text
    assert "matcher=service%3D%22api%22" in text


def test_an_alert_that_is_over_long_since_is_told_from_the_journal_one_life_at_a_time(on: Grounds) -> None:
    end(on, PAGE, "f1", "first", NOW - timedelta(days=3), summary="the first time")
    end(on, PAGE, "f1", "second", NOW - timedelta(days=1), summary="the second time")
    newest, other = shown(on, "/alerts/f1").body.decode(), shown(on, "/alerts/f1?episode=first").body.decode()
    assert "the second time" in newest
    assert "the first time" not in newest
    assert "?episode=first" in newest
    assert "the first time" in other
    assert "because: it is back within the line" in other
    assert "the second time" not in other
    assert "/acknowledge" not in newest


@pytest.mark.parametrize("path", ["/alerts/nobody", "/alerts/" + "x" * 5000, "/alerts/f1?episode=other"])
def test_an_alert_that_nobody_knows_is_a_page_that_says_so(on: Grounds, path: str) -> None:
    put(on, PAGE, "f1")
    answer = shown(on, path)
    assert answer.status == 404
    assert "No alert of this fingerprint is known" in answer.body.decode()


def test_what_comes_from_outside_is_shown_as_text_and_cut(on: Grounds) -> None:
    labels = {**LABELS, "big": "x" * 1_000_000, "bad": HOSTILE, **{f"label{n}": "v" for n in range(3000)}}
    annotations = {"summary": HOSTILE + "y" * 1_000_000, "link": "javascript:alert(1)", "bad": HOSTILE}
    put(on, HOSTILE, "f1", labels=labels, annotations=annotations)
    answer = shown(on, "/alerts/f1")
    text = answer.body.decode()
    assert answer.status == 200
    assert len(answer.body) < 120_000
    assert "<script>alert" not in text
    assert "\\u001b" in text
    assert 'href="javascript' not in text


def test_who_acknowledges_has_it_and_the_journal_and_the_receivers_know(on: Grounds) -> None:
    put(on, PAGE, "f1", group_key="k1")
    tell(on, PAGE, "f1", "k1")
    answer = take(on, "f1", note="looking\x1b", next="/alerts?state=firing")
    assert (answer.status, answer.headers["location"]) == (303, "/alerts?state=firing")
    assert acknowledged_by(on, "f1") == "responder"
    entry = entries(on, "alert.acknowledged")[0]
    assert (entry.actor, entry.facts["note"], entry.facts["episode"]) == (
        "person:responder",
        "looking",
        EPISODE,
    )
    text = shown(on, "/alerts/f1").body.decode()
    assert "<strong>responder</strong> has it" in text
    assert "pager</strong> acknowledge" in text


def test_a_program_acknowledges_under_its_own_name(on: Grounds) -> None:
    put(on, PAGE, "f1")
    assert take(on, "f1", token=True).status == 303
    assert entries(on, "alert.acknowledged")[0].actor == "token:responder"


def test_nobody_is_sent_to_another_site_afterwards(on: Grounds) -> None:
    put(on, PAGE, "f1")
    assert take(on, "f1", next="//evil.example/").headers["location"] == "/"


def test_an_alert_that_somebody_has_stays_theirs_and_that_is_said(on: Grounds) -> None:
    put(on, PAGE, "f1", acked_at=NOW, acked_by="bob")
    answer = take(on, "f1", note="mine now")
    assert answer.status == 409
    assert "bob has it already; nothing was changed" in answer.body.decode()
    assert acknowledged_by(on, "f1") == "bob"


def test_an_alert_that_is_over_is_not_acknowledged_and_that_is_said(on: Grounds) -> None:
    put(on, PAGE, "f1", state="resolved", resolved_at=NOW)
    answer = take(on, "f1")
    assert answer.status == 409
    assert "no longer fires" in answer.body.decode()
    assert acknowledged_by(on, "f1") is None
    assert take(on, "nobody").status == 404


def test_a_note_that_is_too_long_is_kept_in_the_form(on: Grounds) -> None:
    put(on, PAGE, "f1")
    answer = take(on, "f1", note="word " * 200)
    assert answer.status == 400
    assert "999 characters; receivers are told at most 500" in answer.body.decode()
    assert 'value="word word' in answer.body.decode()
    assert acknowledged_by(on, "f1") is None


def test_a_viewer_and_another_site_change_nothing(on: Grounds) -> None:
    put(on, PAGE, "f1")
    assert take(on, "f1", as_=Role.VIEWER).status == 403
    foreign = {**FORM, "Sec-Fetch-Site": "cross-site"}
    answer = call(
        Answering(), "/alerts/f1/acknowledge", method="POST", on=on, as_=Role.ADMIN, headers=foreign
    )
    assert answer.status == 403
    assert acknowledged_by(on, "f1") is None
    assert shown(on, "/alerts/f1", as_=Role.VIEWER).body.count(b"acknowledge") == 0
