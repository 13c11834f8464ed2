"""One incident's page: what is broken, the clock, the next action; acting, being refused, losing nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.console.asgi import Grounds
from tests.console.ground import HOSTILE, NOW
from tests.console.incident_ground import (
    ADA,
    BEN,
    Watching,
    asking_run,
    baseline,
    burning,
    clocked,
    complete,
    joined,
    layers,
    paged,
    runbook_of,
)
from watchkeeper.access.models import Role
from watchkeeper.incidents import reading, service
from watchkeeper.incidents.models import Incident, Status
from watchkeeper.launches import changes as launches
from watchkeeper.launches.changes import Change
from watchkeeper.store import journal

MARKUP = "<script>alert(1)</script>"


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Grounds]:
    found, _ = clocked(tmp_path)
    yield found
    found.store.close()


@pytest.fixture
def site(on: Grounds) -> Watching:
    return Watching(on, overview=layers())


def now_is(on: Grounds, number: int = 1) -> Incident:
    with on.store.read() as conn:
        return reading.one(conn, number)


def flat(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def primaries(html: str) -> list[str]:
    """What the first screen's primary buttons say."""
    first = html[html.index('class="first"') : html.index('class="jump"')]
    return re.findall(r'class="(?:button )?primary"[^>]*>([^<]+)<', first)


def test_the_first_screen_says_what_is_broken_who_leads_which_clock_runs_and_what_to_do(
    on: Grounds, site: Watching
) -> None:
    burning(on)
    paged(on, ago=timedelta(minutes=4, seconds=30))
    with on.store.write() as conn:
        at = NOW - timedelta(hours=2)
        deploy = Change("d1", "deploy", "Faster uploads", at, "ci", service="api", version="1.42")
        launches.record(conn, NOW, deploy)
        old = Change("d0", "deploy", "long ago", NOW - timedelta(hours=40), "ci", service="api")
        launches.record(conn, NOW, old)
    html = site.page("/incidents/1")
    said = flat(html)
    assert "<h1>HTTP error rate is 7.2 %, above 5 %</h1>" in html
    assert "What customers feel is not said yet" in said
    assert "Nobody leads yet" in said
    assert "is-warn-clock" in html  # 80 % of five minutes are gone
    assert re.search(r'data-as="left">0:30 left<', html)
    assert primaries(html) == ["Acknowledge"]
    assert "api 1.42: Faster uploads" in said
    assert "same service" in said
    assert "long ago" not in said
    assert "2 h before" in said
    assert "7.2 %" in said and "error rate (5xx)" in said  # noqa: PT018 - the signal's tile


def test_resolve_and_close_are_there_with_the_reason_why_not_yet(on: Grounds, site: Watching) -> None:
    burning(on)
    html = site.page("/incidents/1")
    assert re.search(r"<button disabled[^>]*>Resolve</button>", html)
    assert re.search(r"<button disabled[^>]*>Close</button>", html)
    assert "ApiErrorRatePage: it fires" in flat(html)
    said = flat(html)
    assert "Before it can be closed" in said
    assert "root cause : write this section of the document" in said


def test_the_next_action_leads_through_the_whole_life(on: Grounds, site: Watching) -> None:
    burning(on)
    said = []

    def step(form: str, **fields: str) -> None:
        said.append(primaries(site.page("/incidents/1"))[0])
        answer = site.send(f"/incidents/1/{form}", **fields)
        assert answer.status == 303, flat(answer.body.decode())[:2000]

    step("acknowledge", note="looking")
    step("severity", severity="SEV-2")
    step("update", status="identified", impact="Some checkouts fail.", eta="12:30", do="post")
    step("mitigated", note="rolled back")
    baseline(on)
    step("resolve")
    said.append(primaries(site.page("/incidents/1"))[0])
    for name in ("timeline", "root cause"):
        assert site.send("/incidents/1/section", name=name, text="It was **the migration**.").status == 303
    follow_up = {"title": "Limit migrations", "owner": "ben", "due": "2026-01-12"}
    assert site.send("/incidents/1/follow-up", **follow_up).status == 303
    step("close")
    assert said == [
        "Acknowledge", "Set severity", "Post an update", "Mark as mitigated", "Resolve",
        "Complete the document", "Close the incident",
    ]  # fmt: skip
    assert now_is(on).state == "closed"
    html = site.page("/incidents/1")
    assert primaries(html) == []
    assert "<strong>the migration</strong>" in html
    assert "Before it can be closed" not in html
    assert "before it can be closed" not in site.page("/incidents/1/document")


def test_the_acknowledgement_takes_the_alert_too(on: Grounds, site: Watching) -> None:
    burning(on)
    site.send("/incidents/1/acknowledge", note="looking")
    with on.store.read() as conn:
        entries = journal.entries(conn, journal.Filter(subject="alert:f1", kind="alert.acknowledged"))
    assert [entry.actor for entry in entries] == ["person:responder"]
    assert now_is(on).commander == "responder"


def test_a_viewer_reads_everything_and_acting_is_refused_and_journaled(on: Grounds, site: Watching) -> None:
    burning(on)
    html = site.page("/incidents/1", Role.VIEWER)
    main = html[html.index("<main") : html.index("</main>")]
    assert "<form" not in main
    assert "acting needs the role responder" in html
    answer = site.send("/incidents/1/acknowledge", Role.VIEWER)
    assert answer.status == 403
    assert now_is(on).acknowledged_at is None
    with on.store.read() as conn:
        (entry,) = journal.entries(conn, journal.Filter(kind="access.refused"))
    assert (entry.actor, entry.facts["path"]) == ("person:viewer", "/incidents/1/acknowledge")


def test_who_changed_it_meanwhile_is_named_and_nothing_typed_is_lost(on: Grounds, site: Watching) -> None:
    burning(on)
    seen = str(now_is(on).revision)
    with on.store.write() as conn:
        service.describe(conn, on.clock.now(), runbook_of(on), 1, BEN, scope="only checkout")
    typed = "Nobody can check out & pay.\n\nAnd <b>nobody</b> can log in."
    answer = site.send(
        "/incidents/1/describe", title="Checkout is down", scope="all of it", impact=typed, revision=seen
    )
    html = answer.body.decode()
    assert answer.status == 409
    assert "was changed meanwhile (ben at 12:00:00 UTC" in html
    assert "Nobody can check out &amp; pay.\n\nAnd &lt;b&gt;nobody&lt;/b&gt; can log in.</textarea>" in html
    assert 'value="Checkout is down"' in html
    assert 'value="all of it"' in html
    assert 'href="#about"' in html
    assert now_is(on).scope == "only checkout"
    # The form that came back has the newest revision: sending it again says that it is meant.
    about = html[html.index('action="/incidents/1/describe') :]
    found = re.search(r'name="revision" value="(\d+)"', about)
    assert found is not None
    again = site.send(
        "/incidents/1/describe", title="Checkout is down", scope="all of it", impact=typed, revision=found[1]
    )
    assert again.status == 303
    assert now_is(on).scope == "all of it"


def test_a_form_that_came_back_is_not_taken_away_by_what_happens_meanwhile(
    on: Grounds, site: Watching
) -> None:
    burning(on)
    html = site.page("/incidents/1")
    assert re.search(r'<div id="about" data-live>', html)
    answer = site.send("/incidents/1/describe", title="", scope="x")
    assert answer.status == 400
    assert re.search(r'<div id="about">', answer.body.decode())


def test_the_document_is_typed_whole_and_comes_back_whole(on: Grounds, site: Watching) -> None:
    burning(on)
    seen = str(now_is(on).revision)
    with on.store.write() as conn:
        service.describe(conn, on.clock.now(), runbook_of(on), 1, BEN, scope="only checkout")
    text = "line\n" * 3000 + "the end"
    answer = site.send("/incidents/1/section", name="root cause", text=text, revision=seen)
    assert answer.status == 409
    assert text in answer.body.decode()


def test_resolving_before_the_baseline_needs_a_reason_which_stands_in_the_journal(
    on: Grounds, site: Watching
) -> None:
    burning(on)
    answer = site.send("/incidents/1/resolve")
    assert answer.status == 409
    assert "something is missing" in flat(answer.body.decode())
    assert "ApiErrorRatePage" in answer.body.decode()
    assert site.send("/incidents/1/resolve", override="the target is gone for good").status == 303
    assert now_is(on).state == "resolved"
    with on.store.read() as conn:
        (entry,) = journal.entries(conn, journal.Filter(kind="incident.resolved"))
    assert entry.facts["override"] == "the target is gone for good"
    assert ("incidents.resolve", "waived") in entry.evidence


def test_a_preview_shows_each_audience_its_words_and_sends_nothing(on: Grounds, site: Watching) -> None:
    burning(on)
    update = {"status": "identified", "impact": "Some checkouts fail.", "eta": "12:30 UTC", "next_in": "30"}
    answer = site.send("/incidents/1/update", **update, note="the pool is full", do="preview")
    html = answer.body.decode()
    assert answer.status == 200
    assert "Some checkouts fail. We are working on it. Next update: 12:30 UTC." in html
    assert "severity not set: identified. Impact: Some checkouts fail." in html
    with on.store.read() as conn:
        assert not reading.story(conn, on.clock.now(), runbook_of(on), 1).updates
    assert site.send("/incidents/1/acknowledge").status == 303
    found = dict(re.findall(r'name="(made\.\w+|previewed)" value="([^"]*)"', html))
    said = {name.replace("made.", "said."): text for name, text in found.items() if name != "previewed"}
    said["said.customers"] = "Checkout works again for most."
    posted = site.send(
        "/incidents/1/update", **update, note="the pool is full", **found, **said, to="customers", do="post"
    )
    assert posted.status == 303
    with on.store.read() as conn:
        (one,) = reading.story(conn, on.clock.now(), runbook_of(on), 1).updates
    assert one.said == {"customers": "Checkout works again for most."}
    assert one.next_update_at == NOW + timedelta(minutes=30)


def test_an_update_that_was_changed_after_its_preview_is_shown_again_first(
    on: Grounds, site: Watching
) -> None:
    burning(on)
    html = site.send("/incidents/1/update", status="identified", impact="One.", do="preview").body.decode()
    found = dict(re.findall(r'name="(made\.\w+|previewed)" value="([^"]*)"', html))
    said = {name.replace("made.", "said."): text for name, text in found.items() if name != "previewed"}
    said["said.customers"] = "Mine, typed by hand."
    answer = site.send("/incidents/1/update", status="identified", impact="Two.", **found, **said, do="post")
    again = answer.body.decode()
    assert "changed the update after its preview" in again
    assert "Impact: Two." in again
    assert "Mine, typed by hand." in again
    with on.store.read() as conn:
        assert not reading.story(conn, on.clock.now(), runbook_of(on), 1).updates


def test_an_update_says_what_became_of_it(on: Grounds, site: Watching) -> None:
    burning(on)
    with on.store.write() as conn:
        service.set_severity(conn, on.clock.now(), runbook_of(on), 1, ADA, "SEV-1")
        service.post_update(
            conn, on.clock.now(), runbook_of(on), 1, ADA, status=Status.IDENTIFIED, impact="It is down.",
            next_update_at=NOW + timedelta(minutes=20),
        )  # fmt: skip
    said = flat(site.page("/incidents/1"))
    assert "Identified · SEV-1" in said
    assert "next update 12:20:00 UTC" in said
    assert "Nobody was told by Watchkeeper" in said or "on its way" in said


def test_people_and_machines_are_told_apart_by_shape_and_word(on: Grounds, site: Watching) -> None:
    burning(on)
    site.send("/incidents/1/acknowledge", note="looking")
    html = site.page("/incidents/1")
    assert re.search(r'who is-of-person"><span class="shape" aria-hidden="true">R</span>.*?person', html)
    assert re.search(r'who is-of-component"><span class="shape" aria-hidden="true">M</span>.*?machine', html)
    people = flat(site.page("/incidents/1?show=people"))
    assert "incident.acknowledged" in people
    assert "incident.opened" not in people


def test_a_star_puts_an_entry_into_the_document_and_takes_it_out(on: Grounds, site: Watching) -> None:
    burning(on)
    with on.store.read() as conn:
        opened = journal.entries(conn, journal.Filter(kind="incident.opened"))[0].seq
    assert site.send("/incidents/1/unpick", seq=str(opened)).status == 303
    assert f"#{opened}<" not in site.page("/incidents/1?show=key")
    assert site.send("/incidents/1/pick", seq=str(opened)).status == 303
    assert f"#{opened}<" in site.page("/incidents/1?show=key")
    assert site.send("/incidents/1/pick", seq="x" * 10).status == 400


def test_an_alert_is_rated_and_a_follow_up_is_done(on: Grounds, site: Watching) -> None:
    burning(on)
    assert site.send("/incidents/1/rate", fingerprint="f1", episode="e1", useful="no").status == 303
    assert "noise, says responder" in flat(site.page("/incidents/1"))
    site.send("/incidents/1/follow-up", title="Fix it", owner="ben", due="2026-01-12")
    assert site.send("/incidents/1/done", follow_up="1").status == 303
    assert "done now by responder" in flat(site.page("/incidents/1")) or "done" in flat(
        site.page("/incidents/1")
    )
    burning(on, "f2", labels={"service": "db"})
    assert site.send("/incidents/2/done", follow_up="1").status == 400  # it belongs to the other incident


def test_incidents_are_merged_split_and_reopened(on: Grounds, site: Watching) -> None:
    burning(on)
    burning(on, "f2", labels={"service": "db"})
    merged = site.send("/incidents/2/merge", into="1")
    assert (merged.status, merged.headers["location"]) == (303, "/incidents/1")
    assert "part of" in site.page("/incidents/2")
    split = site.send("/incidents/1/split", alert="f2 e1", title="the database")
    assert (split.status, split.headers["location"]) == (303, "/incidents/3")
    assert site.send("/incidents/3/resolve", override="it is gone").status == 303
    assert site.send("/incidents/3/reopen", reason="").status == 400
    assert site.send("/incidents/3/reopen", reason="it is back").status == 303
    assert now_is(on, 3).state == "open"


def test_a_playbook_is_started_answered_and_taken_back(on: Grounds, site: Watching) -> None:
    burning(on)
    offered = site.page("/incidents/1")
    assert "Review recent deploys" in offered
    assert re.search(r'name="input.service" maxlength="1000" value="api" required', offered)
    assert site.send("/incidents/1/run", playbook="api-errors").status == 400  # its service is not given
    begun = site.send("/incidents/1/run", playbook="api-errors", **{"input.service": "api"})
    assert begun.status == 303
    with on.store.write() as conn:
        asking_run(conn, on.clock.now(), runbook_of(on), 1, "run-1")
        asking_run(conn, on.clock.now(), runbook_of(on), 1, "run-2")
    said = flat(site.page("/incidents/1"))
    assert "look at the deploys of api, then confirm" in said
    assert "backend 1.42, 11:52" in said
    answer = {"run": "run-1", "step": "deploys"}
    assert site.send("/incidents/1/answer", verdict="skip", **answer).status == 400  # without a word why
    assert site.send("/incidents/1/answer", verdict="perhaps", **answer).status == 400
    assert site.send("/incidents/1/answer", verdict="skip", note="none today", **answer).status == 303
    assert site.send("/incidents/1/abort", run="run-2", reason="").status == 400
    assert site.send("/incidents/1/abort", run="run-2", reason="the wrong one").status == 303
    burning(on, "f2", labels={"service": "db"})
    assert site.send("/incidents/2/abort", run="run-1", reason="not mine").status == 400
    with on.store.read() as conn:
        found = journal.entries(conn, journal.Filter(subject="run:run-2"))
        found += journal.entries(conn, journal.Filter(subject="run:run-1"))
    assert [entry.actor for entry in found] == ["person:responder"] * 2


def test_the_document_is_read_and_taken_along(on: Grounds, site: Watching) -> None:
    burning(on)
    with on.store.write() as conn:
        text = f"It was **full**. {MARKUP}"
        service.write_section(conn, on.clock.now(), runbook_of(on), 1, ADA, "root cause", text)
    html = site.page("/incidents/1/document", Role.VIEWER)
    assert "<strong>full</strong>" in html
    assert MARKUP not in html
    taken = site.get("/incidents/1/document.md", Role.VIEWER)
    assert taken.headers["content-type"] == "text/markdown; charset=utf-8"
    assert taken.headers["content-disposition"] == 'attachment; filename="incident-1.md"'
    assert "# Incident 1: HTTP error rate" in taken.body.decode()


def test_a_clock_is_waived_by_a_person_with_a_reason(on: Grounds, site: Watching) -> None:
    burning(on)
    site.send("/incidents/1/severity", severity="SEV-1")
    with on.store.read() as conn:
        clocks = reading.story(conn, on.clock.now(), runbook_of(on), 1).clocks
    one = next(clock for clock in clocks if clock.clause == "incidents.update" and clock.running)
    assert site.send("/incidents/1/waive", deadline=str(one.deadline_id), reason="").status == 400
    waived = site.send("/incidents/1/waive", deadline=str(one.deadline_id), reason="a drill")
    assert waived.status == 303
    assert "a drill" in site.page("/incidents/1")


def test_what_people_and_alerts_say_is_text_never_markup(on: Grounds, site: Watching) -> None:
    burning(on, summary=HOSTILE)
    with on.store.write() as conn:
        now, runbook = on.clock.now(), runbook_of(on)
        service.describe(conn, now, runbook, 1, ADA, title=HOSTILE, scope=HOSTILE, impact=HOSTILE)
        service.acknowledge(conn, now, runbook, 1, ADA, lambda *_: None, HOSTILE)
        service.post_update(
            conn, now, runbook, 1, ADA, status=Status.IDENTIFIED, impact=HOSTILE, eta=HOSTILE, note=HOSTILE
        )
        text = f"{MARKUP}\n\n[a](javascript:alert(1)) ![b](//evil.example/x) <img src=x onerror=alert(1)>"
        service.write_section(conn, now, runbook, 1, ADA, "root cause", text)
        service.add_follow_up(conn, now, runbook, 1, ADA, HOSTILE, owner=HOSTILE)
    html = site.page("/incidents/1")
    assert MARKUP not in html
    assert "<img" not in html
    assert 'href="javascript:' not in html
    shown = re.sub(r"<textarea.*?</textarea>|value=\"[^\"]*\"", "", html, flags=re.DOTALL)
    assert "\u202e" not in shown  # but where it is edited, it is what it is
    typed = site.send("/incidents/1/describe", title="", scope='"><script>alert(1)</script>').body.decode()
    assert MARKUP not in typed


WRONG: list[tuple[str, dict[str, str]]] = [
    ("acknowledge", {"note": "x" * 501}),
    ("severity", {"severity": "SEV-9"}),
    ("severity", {}),
    ("update", {"status": "fine", "impact": "x"}),
    ("update", {"status": "identified", "impact": "x" * 4001}),
    ("update", {"status": "identified", "impact": "x", "next_in": "-3"}),
    ("update", {"status": "identified", "impact": "x", "next_in": "99999999"}),
    ("update", {"status": "identified", "impact": "x", "said.nobody": "y", "to": "nobody"}),
    ("follow-up", {"title": "x", "due": "tomorrow"}),
    ("follow-up", {"title": "x", "url": "javascript:alert(1)"}),
    ("section", {"name": "nothing", "text": "x"}),
    ("rate", {"fingerprint": "f1", "episode": "e1", "useful": "perhaps"}),
    ("merge", {"into": "99"}),
    ("merge", {"into": "1"}),
    ("split", {"title": "x", "alert": "f1 e1"}),
    ("waive", {"deadline": "77", "reason": "x"}),
    ("describe", {"title": "x", "revision": "no number"}),
]
"""Forms that cannot be taken."""


def test_what_cannot_be_used_changes_nothing_and_says_why(on: Grounds, site: Watching) -> None:
    burning(on)
    before = now_is(on)
    for form, fields in WRONG:
        answer = site.send(f"/incidents/1/{form}", **fields)
        assert answer.status in (400, 404, 409), (form, fields, answer.status)
        assert 'role="alert"' in answer.body.decode() or answer.status == 404, (form, fields)
        assert now_is(on) == before


def test_an_incident_that_is_not_there_and_a_form_that_is_none(on: Grounds, site: Watching) -> None:
    missing = site.get("/incidents/99")
    assert missing.status == 404
    assert "there is no incident 99" in missing.body.decode()
    burning(on)
    assert site.send("/incidents/1/explode").status == 404
    assert site.send("/incidents/99/acknowledge").status == 404
    back = site.get("/incidents/1/update")
    assert (back.status, back.headers["location"]) == (303, "/incidents/1")


def test_an_alert_of_an_incident_that_nobody_watches_is_unknown_not_well(on: Grounds, site: Watching) -> None:
    burning(on)
    site.roles.answers.clear()
    html = site.page("/incidents/1")
    assert "nobody watches it now" in html
    assert "is-unknown-tile" in html


def test_many_alerts_and_entries_are_bounded_on_the_page(on: Grounds, site: Watching) -> None:
    burning(on)
    with on.store.write() as conn:
        for number in range(80):
            joined(conn, 1, f"more{number}", NOW)
            facts = {"summary": f"word {number}"}
            journal.append(conn, NOW, "incident.noted", "person:ben", "incident:1", facts)
        complete(conn, NOW, runbook_of(on), 1)
    html = site.page("/incidents/1")
    assert html.count('class="joined"') == 50
    assert "and 31 more" in html
    assert html.count('class="what"') <= 100
