"""PagerDuty events: what is built, how large, what the answers mean, and where the routing key never is."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.pagerduty import ROUTING_KEY, FakePagerDuty, change_problems, problems
from tests.notify.conftest import Make
from tests.notify.test_models import NOTIFICATIONS
from watchkeeper.notify.answers import Said
from watchkeeper.notify.models import Kind, Link, Member, Notification
from watchkeeper.notify.pagerduty import (
    MAX_EVENT_BYTES,
    PagerDutyReceiver,
    change_event,
    change_url,
    essential,
    event,
    judge,
    source,
)
from watchkeeper.notify.transport import HttpTransport, Response
from watchkeeper.runbook.models.secrets import Secret

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
KEY = Secret(env="PD_KEY")


def _receiver(fake: FakePagerDuty, key: Secret = KEY, value: str = ROUTING_KEY) -> PagerDutyReceiver:
    return PagerDutyReceiver(
        "pagerduty", key, HttpTransport(), {"PD_KEY": value}, fake.url, client_url="http://127.0.0.1:8321"
    )


def test_a_trigger_says_what_is_broken_and_what_to_do(make: Make) -> None:
    built = event(make(), "Watchkeeper (Treazr Island)", "http://127.0.0.1:8321")
    assert built == {
        "event_action": "trigger",
        "dedup_key": "watchkeeper/alert-1/e1",
        "client": "Watchkeeper (Treazr Island)",
        "client_url": "http://127.0.0.1:8321",
        "links": [{"href": "https://wk.example/playbooks/api-errors", "text": "Playbook"}],
        "payload": {
            "summary": "alert-1: 7.3 % of requests fail",
            "source": "api (prod, eu-1)",
            "severity": "critical",
            "timestamp": "2026-01-05T03:00:00Z",
            "group": "api",
            "class": "ApiErrorRatePage",
            "custom_details": {
                "value": 0.073,
                "clause": "monitoring.api.error-rate.page",
                "playbook": "api-errors",
                "labels": {"service": "api", "env": "prod", "region": "eu-1", "severity": "page"},
                "annotations": {"summary": "7.3 % of requests fail"},
            },
        },
    }


@pytest.mark.parametrize("kind", [Kind.ACKNOWLEDGE, Kind.RESOLVE])
def test_other_events_name_the_incident_and_nothing_more(make: Make, kind: Kind) -> None:
    assert event(make(kind=kind), "w") == {"event_action": kind.value, "dedup_key": "watchkeeper/alert-1/e1"}


@pytest.mark.parametrize(("severity", "word"), [("page", "critical"), ("warn", "warning"), ("odd", "error")])
def test_severity_in_pagerdutys_words(make: Make, severity: str, word: str) -> None:
    assert event(make(severity=severity), "w")["payload"]["severity"] == word


def test_links_that_pagerduty_would_refuse_are_left_out(make: Make) -> None:
    links = (Link("javascript:alert(1)", "x"), Link("docs/runbook.md", "x"), Link("https://ok.example", "x"))
    assert [link["href"] for link in event(make(links=links), "w")["links"]] == ["https://ok.example"]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"service": "api", "env": "prod", "region": "eu"}, "api (prod, eu)"),
        ({"service": "api"}, "api"),
        ({"env": "prod"}, "prod"),
        ({"instance": "db:5432", "job": "pg"}, "db:5432"),
        ({}, ""),
    ],
)
def test_the_source_is_what_is_affected(labels: dict[str, str], words: str) -> None:
    assert source(labels) == words


@settings(max_examples=60, deadline=None)
@given(NOTIFICATIONS)
def test_pagerduty_takes_every_trigger_that_is_built(notification: Notification) -> None:
    if notification.kind is Kind.CHANGE:
        body = {**change_event(notification, "w"), "routing_key": ROUTING_KEY}
        assert change_problems(json.dumps(body).encode(), body, (ROUTING_KEY,)) == []
        return
    for built in (event(notification, "w", "http://x"), essential(event(_trigger(notification), "w"))):
        body = {**built, "routing_key": ROUTING_KEY}
        found = [p for p in problems(json.dumps(body).encode(), body, (ROUTING_KEY,)) if "dedup_key" not in p]
        assert found == []


def test_a_change_goes_where_changes_go_and_opens_no_incident(fake: FakePagerDuty, make: Make) -> None:
    told = make(kind=Kind.CHANGE, severity="info", summary="deploy: api 2.4", annotations={"by": "ci"})
    assert _receiver(fake).send(told, "k", NOW).said is Said.ACCEPTED
    (seen,) = fake.changes
    assert seen["payload"]["summary"] == "deploy: api 2.4"
    assert seen["payload"]["source"] == "api (prod, eu-1)"
    assert seen["payload"]["custom_details"]["by"] == "ci"
    assert fake.incidents == {}
    assert _receiver(fake, value="wrong").send(told, "k", NOW).said is Said.TRY_AGAIN
    assert "wrong" not in _receiver(fake, value="wrong").send(told, "k", NOW).reason


@pytest.mark.parametrize(
    ("events", "changes"),
    [
        ("https://events.pagerduty.com/v2/enqueue", "https://events.pagerduty.com/v2/change/enqueue"),
        ("https://events.eu.pagerduty.com/v2/enqueue/", "https://events.eu.pagerduty.com/v2/change/enqueue"),
    ],
)
def test_where_changes_go_is_beside_where_events_go(events: str, changes: str) -> None:
    assert change_url(events) == changes


def _trigger(notification: Notification) -> Notification:
    return Notification.from_json({**notification.to_json(), "kind": "trigger"})


LARGE = st.fixed_dictionaries(
    {
        "members": st.integers(0, 3000),
        "labels": st.integers(0, 400),
        "size": st.integers(0, 5000),
        "text": st.sampled_from(["x", "ü", "\U0001f525", '"', "\n"]),
    }
)


@settings(max_examples=15, deadline=None)
@given(LARGE)
def test_an_event_is_never_larger_than_pagerduty_takes(given_sizes: dict[str, int | str]) -> None:
    text = str(given_sizes["text"]) * int(given_sizes["size"])
    labels = {f"label-{number}": text for number in range(int(given_sizes["labels"]))}
    few = {"pod": text[:200]}
    members = tuple(
        Member(f"f{n}", "firing", few, NOW, 1.0, text[:300]) for n in range(int(given_sizes["members"]))
    )
    notification = Notification(
        Kind.TRIGGER, "d", "o", "s", "A", "page", text or "s", NOW, labels=labels, annotations=labels,
        members=members, links=tuple(Link("https://x/" + "a" * 2000, "t") for _ in range(30)),
    )  # fmt: skip
    built = event(notification, "w")
    raw = json.dumps({**built, "routing_key": ROUTING_KEY}).encode()
    assert len(raw) <= MAX_EVENT_BYTES
    assert problems(raw, {**built, "routing_key": ROUTING_KEY}, (ROUTING_KEY,)) == []


def test_a_large_group_says_how_many_alerts_it_does_not_show(make: Make) -> None:
    members = tuple(Member(f"f{n}", "firing", {"pod": "x" * 900}, NOW, 1.0, "y" * 900) for n in range(1000))
    details = event(make(members=members), "w")["payload"]["custom_details"]
    assert len(details["alerts"]) + details["alerts_not_shown"] == 1000
    assert len(details["alerts"]) >= 10


def _said(status: int, body: object = "", **headers: str) -> Said:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return judge(Response(status, headers, raw), ROUTING_KEY, NOW).said


def test_only_202_is_accepted() -> None:
    assert _said(202, {"status": "success"}) is Said.ACCEPTED
    for status in (200, 201, 204, 301, 302):
        assert _said(status, "<html>please sign in</html>") is Said.TRY_AGAIN


def test_an_invalid_event_is_rejected_for_good() -> None:
    invalid = {"status": "invalid event", "message": "Event object is invalid", "errors": ["'x' is blank"]}
    answer = judge(Response(400, {}, json.dumps(invalid).encode()), ROUTING_KEY, NOW)
    assert answer.said is Said.REJECTED
    assert answer.reason == "PagerDuty finds the event invalid: Event object is invalid; 'x' is blank"
    assert _said(413) is Said.REJECTED


def test_a_wrong_routing_key_is_ours_to_correct_and_the_page_waits_for_that() -> None:
    invalid = {
        "status": "invalid event",
        "message": "Event object is invalid",
        "errors": ["'routing_key' bad"],
    }
    assert _said(400, invalid) is Said.TRY_AGAIN


@pytest.mark.parametrize("status", [400, 401, 403, 404, 407, 408, 500, 502, 503, 504, 530])
def test_what_is_not_pagerdutys_word_about_the_event_passes(status: int) -> None:
    assert _said(status, "<html>Bad Request</html>") is Said.TRY_AGAIN


def test_too_many_events_are_tried_again_when_pagerduty_says() -> None:
    assert judge(Response(429, {"retry-after": "17"}), ROUTING_KEY, NOW).retry_after == 17


def test_sent_events_become_incidents(make: Make, now: datetime) -> None:
    with FakePagerDuty() as fake:
        receiver = _receiver(fake)
        assert receiver.send(make(), "k1", now).said is Said.ACCEPTED
        incident = fake.incident("watchkeeper/alert-1/e1")
        assert incident is not None
        assert (incident.status, incident.title) == ("triggered", "alert-1: 7.3 % of requests fail")
        receiver.send(make(kind=Kind.ACKNOWLEDGE), "k2", now)
        assert incident.status == "acknowledged"
        receiver.send(make(kind=Kind.RESOLVE), "k3", now)
        assert incident.status == "resolved"


def test_a_page_that_is_found_invalid_goes_out_without_its_details(make: Make, now: datetime) -> None:
    with FakePagerDuty() as fake:
        fake.plan("400")
        assert _receiver(fake).send(make(), "k", now).said is Said.ACCEPTED
        assert fake.events[0].body["payload"] == {
            "summary": "alert-1: 7.3 % of requests fail",
            "source": "api (prod, eu-1)",
            "severity": "critical",
        }
        fake.plan("400", "400")
        assert _receiver(fake).send(make(), "k", now).said is Said.REJECTED
        fake.plan("400", "500")
        assert _receiver(fake).send(make(), "k", now).said is Said.TRY_AGAIN


@pytest.mark.parametrize(
    "fault", [None, "500", "503", "429", "400", "drop", "drop_after", "sign_in", "hang", "drip"]
)
def test_the_routing_key_is_in_no_answer_log_or_exception(
    make: Make, now: datetime, fault: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with FakePagerDuty() as fake:
        fake.always(fault)
        receiver = _receiver(fake)
        receiver = PagerDutyReceiver(
            "pagerduty", KEY, HttpTransport(), receiver.environ, fake.url, timeout_seconds=0.3
        )
        answer = receiver.send(make(), "k", now)
        assert answer.said is (
            Said.ACCEPTED if fault is None else Said.REJECTED if fault == "400" else Said.TRY_AGAIN
        )
    assert ROUTING_KEY not in answer.reason + caplog.text + repr(receiver).replace(repr(receiver.environ), "")


def test_a_key_that_the_server_echoes_is_masked(make: Make, now: datetime) -> None:
    secret = "R0UT1NGKEY-SOMEBODY-ELSES-000001"
    said = {"status": "invalid event", "message": f"{secret} is no routing_key", "errors": []}
    assert secret not in judge(Response(400, {}, json.dumps(said).encode()), secret, NOW).reason


def test_a_missing_key_is_tried_again_and_names_its_place(make: Make, now: datetime, tmp_path: Path) -> None:
    with FakePagerDuty() as fake:
        for place, words in (
            (Secret(env="NOT_SET"), "NOT_SET"),
            (Secret(file=str(tmp_path / "key")), "/key"),
        ):
            answer = _receiver(fake, place).send(make(), "k", now)
            assert answer.said is Said.TRY_AGAIN
            assert words in answer.reason
        assert fake.requests == 0
        (tmp_path / "key").write_text(ROUTING_KEY + "\n")
        assert (
            _receiver(fake, Secret(file=str(tmp_path / "key"))).send(make(), "k", now).said is Said.ACCEPTED
        )
