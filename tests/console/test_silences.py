"""``/silences``: what is hidden, made with a look at what it hides, and ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.signed_in import RUNBOOK, Site, said, site, text_of
from watchkeeper.access.models import Role, Scope
from watchkeeper.monitoring import silencing
from watchkeeper.monitoring.silences import Silence

NASTY = '<script>alert(1)</script>\x1b[2J"\u202e'
GOOD = {
    "matchers": "service=api\nenv!=dev",
    "length": "2h",
    "owner": "ada",
    "reason": "rollout",
    "do": "silence",
}


@pytest.fixture
def here(tmp_path: Path, place: Path | str) -> Iterator[Site]:
    with site(tmp_path, place=place) as it:
        it.alert("ApiErrors", service="api", env="prod")
        it.alert("QueueDepth", "pending", service="jobs", env="prod", severity="warn")
        yield it


def stored(here: Site) -> tuple[Silence, ...]:
    with here.store.read() as conn:
        return silencing.everything(conn)


def test_an_empty_list_says_what_would_fill_it(here: Site) -> None:
    text = text_of(here.get("/silences"))
    assert "Nothing is silenced" in text
    assert "watchkeeper silences add service=api" in text
    assert "No silence is over yet" in text_of(here.get("/silences?state=over"))


def test_a_preview_shows_what_would_be_hidden_and_changes_nothing(here: Site) -> None:
    sent = GOOD["matchers"].replace("\n", "\r\n")  # as browsers do
    shown = here.post("/silences/new", {**GOOD, "matchers": sent, "do": "preview", "reason": ""})
    assert shown.status_code == 200
    assert "1 of 2 alerts that fire or are pending" in text_of(shown)
    assert 'href="/alerts/f-ApiErrors"' in shown.text
    assert "f-QueueDepth" not in shown.text
    assert "service=api\nenv!=dev</textarea>" in shown.text
    assert stored(here) == ()
    assert here.entries("silence.*") == []


def test_matchers_in_the_address_fill_the_form_and_show_the_preview(here: Site) -> None:
    shown = here.get("/silences/new?matcher=service%3Djobs&matcher=env%3Dprod", Role.RESPONDER)
    assert "service=jobs\nenv=prod</textarea>" in shown.text
    assert "1 of 2 alerts" in text_of(shown)
    refused = here.get("/silences/new?matcher=nonsense", Role.RESPONDER)
    assert (refused.status_code, "is not a matcher" in text_of(refused)) == (400, True)
    assert "nonsense</textarea>" in refused.text


def test_a_silence_is_made_by_who_asked_for_it_and_ended(here: Site) -> None:
    made = here.post("/silences/new", GOOD)
    assert (made.status_code, made.headers["location"]) == (303, "/silences")
    assert said(made) == 'Silence 1 is made: {service="api", env!="dev"}.'
    (entry,) = here.entries("silence.created")
    assert (entry.actor, entry.facts["reason"]) == ("person:ada", "rollout")
    page = text_of(here.get("/silences"))
    assert 'service="api"' in page
    assert "rollout" in page
    ended = here.post("/silences/1/end")
    assert "Silence 1 is ended" in said(ended)
    assert here.entries("silence.ended")[0].actor == "person:ada"
    assert "rollout" in text_of(here.get("/silences?state=over"))
    assert "no silence 1 that could be ended" in said(here.post("/silences/1/end"))
    assert here.post(f"/silences/{2**70}/end").status_code == 400


def test_a_silence_may_be_planned_on_the_clocks_of_who_makes_it(here: Site) -> None:
    wanted = {**GOOD, "length": "until", "start": "2026-03-05T02:00", "until": "2026-03-05T04:00"}
    assert here.post("/silences/new", wanted).status_code == 303
    (made,) = stored(here)
    assert made.starts_at.isoformat() == "2026-03-05T01:00:00+00:00"  # Ada's contact is in Berlin
    assert made.ends_at.isoformat() == "2026-03-05T03:00:00+00:00"
    assert "Planned" in text_of(here.get("/silences"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"matchers": "api"}, "is not a matcher"),
        ({"matchers": "service=~("}, "service=~("),
        ({"matchers": " \n"}, "at least one matcher"),
        ({"matchers": "service=~.*"}, "hold for every alert"),
        ({"matchers": "\n".join(["a=b"] * 51)}, "at most 50 matchers"),
        ({"reason": " "}, "needs its reason"),
        ({"reason": "r" * 1001}, "longer than 1000 characters"),
        ({"length": "until"}, "Say until when"),
        ({"length": "for ever"}, "Choose how long"),
        ({"length": "until", "until": "tomorrow"}, "is not a time"),
        ({"start": "2026-03-04T09:00", "length": "1h"}, "over already"),
        ({"length": "until", "until": "2026-03-04T12:00"}, "end after it begins"),
        ({"length": "until", "until": "2026-04-04T12:00"}, "at most 7d long"),
        ({"start": "0001-01-01T00:00"}, "is not a time"),
    ],
)
def test_what_cannot_be_comes_back_with_a_sentence_and_all_that_was_typed(
    here: Site, change: dict[str, str], says: str
) -> None:
    answer = here.post("/silences/new", {**GOOD, "owner": "grace", **change})
    assert answer.status_code == 400
    assert says in text_of(answer)
    assert 'role="alert"' in answer.text
    assert 'value="grace"' in answer.text
    assert stored(here) == ()


def test_every_field_is_shown_escaped_and_visible(here: Site) -> None:
    back = here.post(
        "/silences/new", dict.fromkeys(("matchers", "length", "until", "start", "owner", "reason"), NASTY)
    )
    assert back.status_code == 400
    made = here.post(
        "/silences/new", {**GOOD, "matchers": f"service={NASTY}", "owner": NASTY, "reason": NASTY}
    )
    assert made.status_code == 303
    for answer in (back, here.get("/silences")):
        assert "<script>alert" not in answer.text
        assert "\x1b" not in answer.text
        assert "\u202e" not in answer.text
        assert "&lt;script&gt;" in answer.text


def test_what_is_far_too_long_is_refused(here: Site) -> None:
    answer = here.post("/silences/new", {**GOOD, "reason": "r" * 9000})
    assert (answer.status_code, stored(here)) == (400, ())


def test_a_viewer_sees_and_changes_nothing(here: Site) -> None:
    here.post("/silences/new", GOOD)
    page = here.get("/silences")
    assert "rollout" in text_of(page)
    assert "/end" not in page.text
    assert "New silence" not in page.text
    assert here.get("/silences/new").status_code == 403
    assert here.post("/silences/new", GOOD, Role.VIEWER).status_code == 403
    assert here.post("/silences/1/end", as_=Role.VIEWER).status_code == 403
    assert here.get("/silences", None).headers["location"] == "/sign-in?next=%2Fsilences"
    assert [one.ended_at for one in stored(here)] == [None]


def test_a_form_of_another_site_is_refused(here: Site) -> None:
    assert here.post("/silences/new", GOOD, sec_fetch_site="cross-site").status_code == 403
    assert stored(here) == ()


def test_a_token_acts_under_its_own_name(here: Site) -> None:
    token = here.token(Scope.RESPOND, name="ci")
    made = here.post("/silences/new", {**GOOD, "owner": ""}, None, authorization=f"Bearer {token}")
    assert made.status_code == 303
    (entry,) = here.entries("silence.created")
    assert (entry.actor, entry.facts["owner"]) == ("token:ci", "ci")


def test_without_a_runbook_in_force_the_page_is_there(tmp_path: Path) -> None:
    with site(tmp_path, "") as it:
        assert it.get("/silences").status_code == 200
        assert it.post("/silences/new", GOOD).status_code == 303


MAINTENANCE = """\
monitoring:
  maintenance:
    - id: open
      title: Midday <b>
      match: [service=api]
      every: daily
      at: "12:30"
      for: 2h
      timezone: Europe/Berlin
      reason: now
    - {id: later, title: Nightly, match: ["job=~<i>.*"], weekday: sunday, at: "02:00", for: 2h}
"""


def test_maintenance_windows_are_listed_open_or_next(tmp_path: Path) -> None:
    with site(tmp_path, RUNBOOK + MAINTENANCE) as it:
        page = it.get("/silences", Role.RESPONDER)
        text = text_of(page)
        assert "Midday <b>" in text
        assert "open until 14:30 CET" in text
        assert "every day at 12:30 (Europe/Berlin) for 2 hours" in text
        assert "opens in 4 d" in text
        assert "/silences/new?matcher=service%3Dapi" in page.text
        assert "<i>" not in page.text
        assert "/silences/new" not in it.get("/silences").text
        assert "Midday" not in it.get("/silences?state=over").text


def test_without_a_window_the_page_says_how_to_have_one(here: Site) -> None:
    assert "no maintenance window" in text_of(here.get("/silences"))
