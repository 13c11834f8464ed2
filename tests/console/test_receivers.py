"""``/settings/receivers``: how those who are told fare, and a test message."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.console.signed_in import NOW, Site, said, site, text_of
from watchkeeper.access.models import Role, Scope
from watchkeeper.notify import health, state
from watchkeeper.notify.answers import try_again
from watchkeeper.notify.budget import Budget
from watchkeeper.store import outbox as box
from watchkeeper.store.models import outbox

NASTY = '<script>alert(1)</script>\x1b[2J"\u202e'


@pytest.fixture
def here(tmp_path: Path, place: Path | str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("PAGER_SECRET", "SECRETOFTHEPAGER")
    with site(tmp_path, place=place) as it:
        yield it


def rows(here: Site) -> list[tuple[str, str, str]]:
    with here.store.read() as conn:
        found = conn.execute(select(outbox).order_by(outbox.c.id)).all()
    return [(row.receiver, row.payload["kind"], row.dedup_key) for row in found]


def fail(here: Site, receiver: str, why: str) -> None:
    with here.store.write() as conn:
        changed, _ = health.after_failure(health.Health(), try_again(why), NOW, 0.5)
        state.save(conn, receiver, Budget(), changed)


def test_the_page_has_every_receiver_and_no_secret(here: Site) -> None:
    fail(here, "duty", f"it answered 503 {NASTY}")
    page = here.get("/settings/receivers")
    text = text_of(page)
    assert "The pager" in text
    assert "nothing was ever sent to it" in text
    assert "failing for 0 s" in text
    assert "it answered 503 <script>" in text
    assert "<script>alert" not in page.text
    assert "\x1b" not in page.text
    assert "SECRET" not in page.text
    assert "Nothing was sent in the last week" in text


@pytest.mark.parametrize("role", [Role.RESPONDER, Role.ADMIN])
def test_a_test_goes_through_the_outbox_and_is_journaled(here: Site, role: Role) -> None:
    answer = here.post("/settings/receivers/pager/test", {}, role)
    assert "on its way to pager" in said(answer)
    (first, second) = rows(here)
    assert (first[:2], second[:2]) == (("pager", "trigger"), ("pager", "resolve"))
    assert first[2] == second[2]
    (entry,) = here.entries("receiver.tested")
    assert (entry.actor, entry.subject) == (
        "person:ada" if role is Role.RESPONDER else "person:root",
        "receiver:pager",
    )
    page = text_of(here.get("/settings/receivers"))
    assert "Test message from Watchkeeper to pager" in page
    assert "2 , the oldest now" in page
    assert "waits since" in page


def test_there_is_one_test_at_a_time(here: Site) -> None:
    here.post("/settings/receivers/pager/test")
    assert "A test of pager waits since" in said(here.post("/settings/receivers/pager/test"))
    assert len(rows(here)) == 2
    assert "on its way" in said(here.post("/settings/receivers/duty/test"))


def test_receipts_say_what_became_of_it(here: Site) -> None:
    here.post("/settings/receivers/pager/test")
    with here.store.write() as conn:
        (row,) = box.claim(conn, NOW, "pager", "me", box.CLOCK_STEP)
        box.settle(conn, NOW, row, box.Dead(f"it answered 400 {NASTY}"))
    page = here.get("/settings/receivers?receiver=pager")
    assert "it answered 400 <script>" in text_of(page)
    assert "<script>alert" not in page.text
    assert "it answered 400" not in here.get("/settings/receivers?receiver=duty").text
    assert "<script>alert" not in here.get("/settings/receivers?receiver=<script>alert").text


def test_a_receiver_that_is_not_there_is_said(here: Site) -> None:
    assert "There is no receiver 'nobody'" in said(here.post("/settings/receivers/nobody/test"))
    assert rows(here) == []


def test_a_receiver_that_left_the_runbook_is_shown_while_something_waits(here: Site) -> None:
    with here.store.write() as conn:
        box.enqueue(conn, NOW, "gone-pager", "k", "k", {"summary": "x"})
    page = here.get("/settings/receivers", Role.RESPONDER)
    assert "not in the runbook any more" in text_of(page)
    assert "/settings/receivers/gone-pager/test" not in page.text


def test_a_viewer_sees_and_tests_nothing(here: Site) -> None:
    assert "/test" not in here.get("/settings/receivers").text
    assert here.post("/settings/receivers/pager/test", {}, Role.VIEWER).status_code == 403
    token = here.token(Scope.READ)
    assert (
        here.post("/settings/receivers/pager/test", {}, None, authorization=f"Bearer {token}").status_code
        == 403
    )
    assert here.post("/settings/receivers/pager/test", sec_fetch_site="cross-site").status_code == 403
    assert rows(here) == []


def test_without_a_receiver_the_page_says_how_to_have_one(tmp_path: Path) -> None:
    with site(tmp_path, "runbook: 1\nplatform: Bare\n") as it:
        assert "watchkeeper receivers test NAME" in text_of(it.get("/settings/receivers"))
