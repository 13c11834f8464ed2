"""The calendar feed: who may have it, without a secret in its address, and when it is another one."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from icalendar import Calendar

from tests.console.signed_in import Site, site
from watchkeeper.access.models import Role, Scope

FEED = "/oncall/platform.ics"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as it:
        yield it


def basic(password: str, user: str = "calendar") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_a_calendar_program_sends_the_token_as_its_password(here: Site) -> None:
    token = here.token(Scope.READ)
    answer = here.get(FEED, None, authorization=basic(token, "anything at all"), accept="text/calendar")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/calendar; charset=utf-8")
    calendar = Calendar.from_ical(answer.content)
    names = [str(event["summary"]) for event in calendar.walk("VEVENT")]
    assert names[0].endswith("on call: Platform on call")
    assert "+49 30 1" not in answer.text


def test_a_session_and_a_bearer_token_do_as_well(here: Site) -> None:
    assert here.get(FEED).status_code == 200
    token = here.token(Scope.READ)
    assert here.get(FEED, None, authorization=f"Bearer {token}").status_code == 200


@pytest.mark.parametrize(
    "given", [None, "Basic !!!", "Basic " + "A" * 2000, basic("wk_" + "x" * 43), basic(""), "Basic d2s="]
)
def test_anything_else_is_asked_for_a_password(here: Site, given: str | None) -> None:
    headers = {} if given is None else {"authorization": given}
    answer = here.get(FEED, None, accept="*/*", **headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic realm=")


def test_a_token_without_the_scope_and_one_in_the_address_open_nothing(here: Site) -> None:
    token = here.token(Scope.METRICS)
    assert here.get(FEED, None, authorization=basic(token)).status_code == 403
    reading = here.token(Scope.READ, name="reading")
    assert here.get(f"{FEED}?token={reading}", None, accept="*/*").status_code == 401


def test_a_password_opens_nothing_but_the_feed(here: Site) -> None:
    token = here.token(*Scope)
    for path in ("/oncall", "/silences", "/settings", "/"):
        answer = here.get(path, None, authorization=basic(token), accept="*/*")
        assert answer.status_code in (401, 404), path
    assert (
        here.post("/oncall/overrides", {}, None, authorization=basic(token), accept="*/*").status_code == 401
    )


def test_what_has_not_changed_is_not_sent_again(here: Site) -> None:
    first = here.get(FEED)
    here.clock.advance(3600)
    again = here.get(FEED)
    assert again.content == first.content
    assert first.headers["cache-control"] == "private, no-cache"
    tag, since = first.headers["etag"], first.headers["last-modified"]
    for headers in (
        {"if_none_match": tag},
        {"if_none_match": f'"other", W/{tag}'},
        {"if_modified_since": since},
    ):
        known = here.get(FEED, Role.VIEWER, **headers)
        assert (known.status_code, known.content) == (304, b"")
    assert here.get(FEED, if_none_match='"other"', if_modified_since=since).status_code == 200
    assert here.get(FEED, if_modified_since="no date").status_code == 200


def test_an_override_and_a_new_day_make_another_feed(here: Site) -> None:
    tag = here.get(FEED).headers["etag"]
    here.clock.advance(60)
    wanted = {"rota": "platform", "contact": "ben", "end": "2026-03-06T18:00"}
    assert here.post("/oncall/overrides", wanted).status_code == 303
    changed = here.get(FEED, if_none_match=tag)
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag
    assert here.get(FEED, if_none_match=changed.headers["etag"]).status_code == 304
    here.clock.advance(timedelta(days=1).total_seconds())
    # The session is over by now; a token is not.
    token = here.token(Scope.READ)
    later = here.get(FEED, None, authorization=basic(token), if_none_match=changed.headers["etag"])
    assert later.status_code == 200


def test_a_rota_that_is_not_there_and_no_runbook_are_said(here: Site, tmp_path: Path) -> None:
    assert here.get("/oncall/night.ics", accept="*/*").status_code == 404
    (tmp_path / "bare").mkdir()
    with site(tmp_path / "bare", "") as bare:
        assert bare.get(FEED, Role.VIEWER, accept="*/*").status_code == 503
