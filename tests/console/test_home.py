"""Home is the runbook itself: every clause is there, and nothing is shown greener than it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests.console.asgi import Answering, Grounds, call
from watchkeeper.access.models import Role
from watchkeeper.runbook.clauses import clauses
from watchkeeper.runbook.loading import default_text
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock, to_ms
from watchkeeper.store.models import alerts

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
HOSTILE = '<img src=x onerror="alert(1)">\x1b[2J'


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grounds]:
    made = Grounds(Path(tmp_path_factory.mktemp("home")), ManualClock(NOW))
    made.put_in_force(default_text())
    yield made
    made.store.close()


def signal(**more: Any) -> dict[str, Any]:
    return {
        "id": "error-rate", "title": "HTTP error rate (5xx)", "unit": "ratio", "value": 0.072,
        "points": [0.01, None, 0.02, 0.072], "state": "page", "why": None,
        "warn": ["> 3% over 5m"], "page": ["> 5% over 2m"],
        "clauses": ["monitoring.api.error-rate.warn", "monitoring.api.error-rate.page"], **more,
    }  # fmt: skip


def alert(**more: Any) -> dict[str, Any]:
    return {
        "fingerprint": "f" * 16, "alertname": "ApiErrorRatePage", "severity": "page", "clause": None,
        "state": "firing", "labels": {"service": "backend"}, "summary": "API error rate 7.2 %",
        "value": 0.072, "active_ms": to_ms(NOW) - 240_000, "fired_ms": to_ms(NOW) - 120_000,
        "inhibited_by": None, **more,
    }  # fmt: skip


def overview(**more: Any) -> bytes:
    layers = [{"id": "api", "title": "API (backend + frontend)", "signals": [signal()]}]
    return json.dumps(
        {
            "platform": "Treazr Island",
            "time_ms": to_ms(NOW),
            "runbook": {"digest": "d", "problem": None},
            "halted": None,
            "counts": {},
            "targets": {"up": 1, "down": 0},
            "alerts": [],
            "layers": layers,
            "deliveries": [],
            **more,
        }
    ).encode()


def text_of(on: Grounds, roles: Answering, path: str = "/", as_: Role = Role.RESPONDER) -> str:
    answer = call(roles, path, on=on, as_=as_)
    assert answer.status == 200
    return answer.body.decode()


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def test_every_clause_of_the_runbook_is_on_the_page(on: Grounds) -> None:
    html = text_of(on, Answering())
    policy = on.put_in_force(default_text())
    shown = words(html)
    for clause in clauses(policy.runbook):
        signal_line = clause.id.startswith("monitoring.") and not clause.id.startswith(
            ("monitoring.hygiene", "monitoring.heartbeat")
        )
        assert signal_line or f'href="/clauses/{clause.id}"' in html, clause.id
    for compiled in {rule.title for rule in _compiled(on).signals}:
        assert compiled in shown


def _compiled(on: Grounds) -> Any:
    from watchkeeper.console.policy import PolicyInForce

    return PolicyInForce(on.settings)().compiled


def test_without_the_role_that_watches_nothing_is_shown_as_kept(on: Grounds) -> None:
    html = text_of(on, Answering())
    assert "Nothing is being watched right now" in words(html)
    assert "mark is-met" not in html
    assert "nobody watches it now" in html


def test_a_signal_has_its_value_its_lines_and_its_state(on: Grounds) -> None:
    shown = words(text_of(on, Answering(overview=overview())))
    assert "HTTP error rate (5xx) > 3% over 5m > 5% over 2m 7.2 %" in shown


def test_a_page_stands_above_everything_with_the_button_that_takes_it(on: Grounds) -> None:
    roles = Answering(overview=overview(alerts=[alert()]))
    html = text_of(on, roles)
    assert html.index("API error rate 7.2 %") < html.index("The runbook, live")
    assert "not acknowledged" in words(html)
    assert f'action="/alerts/{"f" * 16}/acknowledge"' in html
    assert "acknowledge" not in re.findall(r'action="([^"]*)"', text_of(on, roles, as_=Role.VIEWER))
    assert "■ 1" in html[html.index("<title>") : html.index("</title>")]


def test_a_page_that_somebody_has_says_who_and_asks_nobody_else(tmp_path: Path) -> None:
    on = Grounds(tmp_path, ManualClock(NOW))
    on.put_in_force(default_text())
    with on.store.write() as conn:
        conn.execute(
            alerts.insert().values(
                fingerprint="f" * 16,
                rule="r",
                alertname="A",
                severity="page",
                labels={},
                annotations={},
                state="firing",
                acked_at=NOW,
                acked_by="ada",
            )
        )
    html = text_of(on, Answering(overview=overview(alerts=[alert()])))
    assert "ada has it" in html
    assert "/acknowledge" not in html
    on.store.close()


@pytest.mark.parametrize("quiet", [{"inhibited_by": "silence 3"}, {"state": "pending"}, {"severity": "warn"}])
def test_what_wakes_nobody_is_not_above_everything(on: Grounds, quiet: dict[str, Any]) -> None:
    html = text_of(on, Answering(overview=overview(alerts=[alert(**quiet)])))
    assert 'class="banner is-page"' not in html


def test_a_hundred_pages_are_told_as_a_number(on: Grounds) -> None:
    many = [alert(fingerprint=f"{number:016}") for number in range(100)]
    html = text_of(on, Answering(overview=overview(alerts=many)))
    assert html.count("/acknowledge") == 3
    assert "and 97 more pages fire" in html


def test_proof_is_linked_and_says_when(tmp_path: Path) -> None:
    on = Grounds(tmp_path, ManualClock(NOW))
    on.put_in_force(default_text())
    with on.store.write() as conn:
        seq = journal.append(
            conn, NOW, "clause.checked", "component:test", "x", {"summary": "labels are all there"},
            [("monitoring.hygiene.labels", "met")],
        )  # fmt: skip
    html = text_of(on, Answering(overview=overview()))
    assert f'href="/journal/{seq}"' in html
    assert "labels are all there now" in words(html)
    only = text_of(on, Answering(overview=overview()), "/?verdict=met")
    assert 'id="monitoring.hygiene.labels"' in only
    assert 'id="monitoring.hygiene.dashboards"' not in only
    on.store.close()


def test_whatever_alerts_say_is_shown_as_text(on: Grounds) -> None:
    rows = [alert(summary=HOSTILE, fingerprint="a" * 16)]
    layers = [{"id": "api", "title": HOSTILE, "signals": [signal(title=HOSTILE, why=HOSTILE, value=None)]}]
    html = text_of(on, Answering(overview=overview(alerts=rows, layers=layers)))
    assert "<img" not in html
    assert "\x1b" not in html
    assert "\\u001b[2J" in html


def test_a_text_of_a_megabyte_does_not_become_a_page_of_one(on: Grounds) -> None:
    html = text_of(on, Answering(overview=overview(alerts=[alert(summary="x" * 1_000_000)])))
    assert len(html) < 120_000
    assert "1,000,000 characters in all" in html


def test_before_a_runbook_is_in_force_the_page_says_what_would_fill_it(tmp_path: Path) -> None:
    on = Grounds(tmp_path, ManualClock(NOW))
    assert "No runbook is in force." in text_of(on, Answering())
    on.store.close()


def test_the_broken_runbook_on_disk_and_halted_rules_are_said(on: Grounds) -> None:
    said = overview(halted="metrics cannot be read", runbook={"digest": "d", "problem": "line 3: bad\nmore"})
    shown = words(text_of(on, Answering(overview=said)))
    assert "Rules are not evaluated: metrics cannot be read" in shown
    assert "The runbook on disk is broken; the one loaded before runs on: line 3: bad" in shown


def test_the_first_load_is_small(on: Grounds) -> None:
    from watchkeeper.console.rendering import Pages

    page = call(Answering(overview=overview()), "/", on=on).body
    static = sum(len(Pages().static[name]) for name in ("console.css", "console.js", "icon.svg"))
    assert len(page) + static < 200_000


def test_a_page_that_burns_is_shown_also_while_no_runbook_can_be_read(tmp_path: Path) -> None:
    burning = {
        "fingerprint": "abc",
        "alertname": "ApiErrorRatePage",
        "severity": "page",
        "state": "firing",
        "inhibited_by": None,
        "summary": "7 % of requests fail",
        "fired_ms": 1_767_614_400_000,
        "active_ms": 1_767_614_400_000,
    }
    on = Grounds(tmp_path)
    roles = Answering(overview=json.dumps({"alerts": [burning]}).encode())
    for path in ("/", "/alerts", "/nowhere"):
        answer = call(roles, path, on=on, headers={"Accept": "text/html"})
        assert answer.status in (200, 404), path
        assert b"7 % of requests fail" in answer.body
        assert b"No runbook is in force yet" in answer.body
    on.store.close()
