"""``/oncall``: who has the watch, the weeks to come, and standing in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.signed_in import Site, said, site, text_of
from watchkeeper.access.models import Role, Scope
from watchkeeper.oncall import overrides
from watchkeeper.oncall.overrides import Stored

NASTY = '<script>alert(1)</script>\x1b[2J"\u202e'
GOOD = {"rota": "platform", "contact": "ben", "end": "2026-03-06T18:00", "reason": "Ada is ill"}


@pytest.fixture
def here(tmp_path: Path, place: Path | str) -> Iterator[Site]:
    with site(tmp_path, place=place) as it:
        yield it


def stored(here: Site) -> list[Stored]:
    with here.store.read() as conn:
        return overrides.upcoming(conn, here.clock.now())


def test_every_rota_says_who_has_the_watch_until_when_and_how_they_are_reached(here: Site) -> None:
    page = here.get("/oncall")
    text = text_of(page)
    assert "Ada <b> until Mon 09 Mar 09:00 Europe/Berlin" in text
    assert 'href="tel:+49301"' in page.text
    assert 'href="mailto:ada@example.org"' in page.text
    assert "then Ben until Mon 16 Mar 09:00" in text
    assert "Cleo until Wed 04 Mar 17:00" in text
    assert 'title="2026-03-09 08:00 UTC"' in page.text


def test_the_calendar_has_six_weeks_of_the_rota_asked_for(here: Site) -> None:
    page = here.get("/oncall")
    assert page.text.count('class="days"') == 6
    assert page.text.count('aria-current="date"') == 1
    assert "2026-03-02 08:00 to 2026-03-09 08:00 UTC" in page.text
    assert page.text.count("bar-of") == 12  # each week has the end of one shift and the next one
    office = here.get("/oncall?rota=office")
    assert "is-nobody" in office.text
    assert "is-nobody" not in page.text
    assert here.get("/oncall?rota=nothing").text.count('class="days"') == 6


def test_somebody_stands_in_and_it_is_taken_back(here: Site) -> None:
    made = here.post("/oncall/overrides", GOOD)
    assert (made.status_code, made.headers["location"]) == (303, "/oncall?rota=platform")
    assert said(made) == "Ben stands in on Platform on call."
    (one,) = stored(here)
    assert one.override.end.isoformat() == "2026-03-06T17:00:00+00:00"  # 18:00 in Berlin
    (entry,) = here.entries("oncall.*")
    assert (entry.kind, entry.actor) == ("oncall.override_created", "person:ada")
    page = here.get("/oncall")
    assert "◇ Ada is ill" in text_of(page)
    assert "is-override" in page.text
    gone = here.post(f"/oncall/overrides/{one.id}/cancel")
    assert "is cancelled" in said(gone)
    assert stored(here) == []
    assert "was cancelled before" in said(here.post(f"/oncall/overrides/{one.id}/cancel"))
    assert "no override 99" in said(here.post("/oncall/overrides/99/cancel"))
    assert here.post(f"/oncall/overrides/{2**70}/cancel").status_code == 400


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"contact": "zoe"}, "there is no contact `zoe`"),
        ({"rota": "night"}, "There is no rota `night`"),
        ({"end": ""}, "Say until when"),
        ({"end": "soon"}, "is not a time"),
        ({"end": "9999-12-31T23:59"}, "is not a time"),
        ({"end": "2026-03-01T00:00"}, "before it starts"),
        ({"start": "2026-03-01T00:00", "end": "2026-03-02T00:00"}, "would have ended"),
        ({"end": "2026-12-01T00:00"}, "longer than 90 days"),
        ({"reason": "r" * 501}, "longer than 500 characters"),
    ],
)
def test_what_cannot_be_comes_back_with_a_sentence(here: Site, change: dict[str, str], says: str) -> None:
    answer = here.post("/oncall/overrides", {**GOOD, **change})
    assert answer.status_code == 400
    assert says.lower() in text_of(answer).lower()
    assert f'value="{({**GOOD, **change})["reason"]}"' in answer.text
    assert stored(here) == []


def test_every_field_is_shown_escaped_and_visible(here: Site) -> None:
    back = here.post("/oncall/overrides", dict.fromkeys(("rota", "contact", "start", "end", "reason"), NASTY))
    assert back.status_code == 400
    assert here.post("/oncall/overrides", {**GOOD, "reason": NASTY}).status_code == 303
    for answer in (back, here.get("/oncall")):
        assert "<script>alert" not in answer.text
        assert "\x1b" not in answer.text
        assert "\u202e" not in answer.text
        assert "&lt;script&gt;" in answer.text
        assert "Ada <b>" not in answer.text  # her name in the runbook


def test_a_viewer_sees_and_changes_nothing(here: Site) -> None:
    here.post("/oncall/overrides", GOOD)
    page = here.get("/oncall")
    assert "Ada is ill" in text_of(page)
    assert "/oncall/overrides" not in page.text
    assert here.post("/oncall/overrides", GOOD, Role.VIEWER).status_code == 403
    assert here.post("/oncall/overrides/1/cancel", as_=Role.VIEWER).status_code == 403
    assert len(stored(here)) == 1
    assert here.get("/oncall", None).status_code == 303


def test_a_form_of_another_site_is_refused(here: Site) -> None:
    assert here.post("/oncall/overrides", GOOD, sec_fetch_site="cross-site").status_code == 403
    assert stored(here) == []


def test_a_token_acts_under_its_own_name(here: Site) -> None:
    token = here.token(Scope.RESPOND)
    assert here.post("/oncall/overrides", GOOD, None, authorization=f"Bearer {token}").status_code == 303
    assert here.entries("oncall.*")[0].actor == "token:calendar"


@pytest.mark.parametrize("runbook", ["", "runbook: 1\nplatform: Bare\n"])
def test_without_a_rota_the_page_says_how_to_have_one(tmp_path: Path, runbook: str) -> None:
    with site(tmp_path, runbook) as it:
        assert "watchkeeper oncall schedule" in text_of(it.get("/oncall"))
        assert it.post("/oncall/overrides", GOOD).status_code == 400
