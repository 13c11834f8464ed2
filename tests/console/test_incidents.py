"""The list of incidents: the open ones first, filters, opening one by hand; and what leads there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.asgi import Grounds
from tests.console.ground import HOSTILE, put
from tests.console.incident_ground import (
    ADA,
    Watching,
    baseline,
    burning,
    clocked,
    furnish_incidents,
    runbook_of,
)
from watchkeeper.access.models import Role
from watchkeeper.incidents import reading, service


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Grounds]:
    found, _ = clocked(tmp_path)
    yield found
    found.store.close()


@pytest.fixture
def site(on: Grounds) -> Watching:
    return Watching(on)


def numbers(html: str) -> list[int]:
    return [int(number) for number in re.findall(r'<a href="/incidents/(\d+)"><strong>', html)]


def test_what_is_open_stands_first_the_worst_first(on: Grounds, site: Watching) -> None:
    furnish_incidents(on)
    with on.store.write() as conn:
        service.set_severity(conn, on.clock.now(), runbook_of(on), 6, ADA, "SEV-1")
    html = site.page("/incidents")
    assert numbers(html) == [6, 1, 4, 5, 7, 3, 2]
    assert html.index(">Open</h2>") < html.index(">Recent</h2>")
    assert html.count("data-clock ") == 5


def test_filters_narrow_the_list_and_stand_in_the_address(on: Grounds, site: Watching) -> None:
    furnish_incidents(on)
    burning(on, labels={"service": "checkout"})
    assert numbers(site.page("/incidents?state=live&service=check")) == [8]
    assert numbers(site.page("/incidents?severity=none")) == [8]
    assert numbers(site.page("/incidents?state=closed")) == [3]
    assert numbers(site.page("/incidents?state=resolved")) == [2]
    assert "No incident fits these filters" in site.page("/incidents?severity=SEV-9")


def test_an_empty_list_says_what_would_fill_it(on: Grounds, site: Watching) -> None:
    html = site.page("/incidents")
    assert "No incident is open" in html
    assert "watchkeeper demo break api" in html


def test_more_than_a_page_goes_on(on: Grounds, site: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchkeeper.console.pages.incidents.PAGE_ROWS", 4)
    with on.store.write() as conn:
        for number in range(6):
            made = service.open_by_hand(conn, on.clock.now(), runbook_of(on), ADA, f"thing {number}")
            service.resolve(conn, on.clock.now(), runbook_of(on), made.id, ADA)
    html = site.page("/incidents")
    assert numbers(html) == [6, 5, 4, 3]
    assert "before=3" in html
    assert numbers(site.page("/incidents?before=3")) == [2, 1]


def test_somebody_opens_one_by_hand_and_leads_it(on: Grounds, site: Watching) -> None:
    answer = site.send(
        "/incidents", title="Checkout is slow", severity="SEV-3", impact="It takes long.", service="shop"
    )
    assert (answer.status, answer.headers["location"]) == (303, "/incidents/1")
    with on.store.read() as conn:
        one = reading.one(conn, 1)
    assert (one.title, one.severity, one.commander, one.service) == (
        "Checkout is slow", "SEV-3", "responder", "shop"
    )  # fmt: skip


def test_one_that_cannot_be_opened_comes_back_as_it_was_typed(on: Grounds, site: Watching) -> None:
    wrong: list[dict[str, str]] = [
        {"title": " "},
        {"title": "x", "severity": "SEV-9"},
        {"title": "x" * 301},
        {"title": "x", "scope": "y" * 1001},
    ]
    for fields in wrong:
        answer = site.send("/incidents", impact=f"felt {HOSTILE}", **fields)
        html = answer.body.decode()
        assert answer.status == 400
        assert 'role="alert"' in html
        assert "felt &lt;script&gt;" in html
    with on.store.read() as conn:
        assert reading.listed(conn) == []


def test_a_viewer_has_no_form_and_may_not_open_one(on: Grounds, site: Watching) -> None:
    assert "Open one by hand" not in site.page("/incidents", Role.VIEWER)
    assert site.send("/incidents", Role.VIEWER, title="x").status == 403


def test_the_banner_and_the_alert_lead_to_the_incident(on: Grounds, site: Watching) -> None:
    burning(on)
    overview = (
        b'{"alerts": [{"state": "firing", "severity": "page", "inhibited_by": "", "fingerprint": "f1", '
        b'"summary": "bad", "alertname": "A", "fired_ms": 1, "active_ms": 1}], "layers": []}'
    )
    site.roles.answers["overview"] = overview
    home = site.page("/")
    assert 'href="/incidents/1">incident 1' in home
    assert 'href="/incidents/1"' in site.page("/alerts/f1")
    # On its own page nothing says a second time that it burns.
    assert 'class="banner is-page"' not in site.page("/incidents/1")


def test_an_incident_that_no_page_burns_for_has_a_banner_of_its_own(on: Grounds, site: Watching) -> None:
    burning(on)
    baseline(on)
    assert 'class="banner is-incident"' in site.page("/")
    assert 'class="banner is-incident"' not in site.page("/incidents")
    with on.store.write() as conn:
        service.resolve(conn, on.clock.now(), runbook_of(on), 1, ADA)
    assert 'class="banner is-incident"' not in site.page("/")


def test_an_alert_without_an_incident_leads_to_none(on: Grounds, site: Watching) -> None:
    put(on, "ApiErrorRatePage", "f9")
    assert "/incidents/" not in site.page("/alerts/f9")
