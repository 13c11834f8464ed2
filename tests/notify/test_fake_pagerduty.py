"""The fake itself: it treats events as PagerDuty does, and runs on its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from typing import Any

import pytest

from tests.fakes.pagerduty import ROUTING_KEY, FakePagerDuty
from watchkeeper.notify.transport import HttpTransport


def _event(action: str = "trigger", **changes: Any) -> dict[str, Any]:
    payload = {"summary": "it is down", "source": "api", "severity": "critical"}
    return {
        "routing_key": ROUTING_KEY,
        "event_action": action,
        "dedup_key": "k",
        "payload": payload,
        **changes,
    }


def _send(url: str, event: Any) -> int:
    return HttpTransport().post(url, {}, json.dumps(event).encode(), 5).status


def test_events_of_one_key_are_one_incident_until_it_is_resolved() -> None:
    with FakePagerDuty() as fake:
        for action in ("resolve", "trigger", "trigger", "acknowledge", "resolve", "acknowledge", "trigger"):
            assert _send(fake.url, _event(action)) == 202
        first, second = fake.incidents["k"]
        assert (first.status, first.history) == ("resolved", ["trigger", "trigger", "acknowledge", "resolve"])
        assert (second.status, second.history) == ("triggered", ["trigger"])
        assert fake.open_incidents() == [second]


@pytest.mark.parametrize(
    "changes",
    [
        {"routing_key": "another"},
        {"event_action": "shout"},
        {"dedup_key": "k" * 256},
        {"payload": None},
        {"payload": {"summary": " ", "source": "api", "severity": "critical"}},
        {"payload": {"summary": "x" * 1025, "source": "api", "severity": "critical"}},
        {"payload": {"summary": "x", "source": "api", "severity": "page"}},
        {"payload": {"summary": "x", "source": "api", "severity": "info", "timestamp": "noon"}},
        {"links": [{"href": "runbook.md"}]},
        {"client": "x" * 512_000},
    ],
)
def test_what_pagerduty_refuses_is_refused(changes: dict[str, Any]) -> None:
    with FakePagerDuty() as fake:
        assert _send(fake.url, _event(**changes)) == 400
        assert fake.incidents == {}


def test_more_than_the_limit_in_a_minute_is_refused_until_the_minute_is_over() -> None:
    now = [0.0]
    with FakePagerDuty(limit_per_minute=2, now=lambda: now[0]) as fake:
        assert [_send(fake.url, _event()) for _ in range(3)] == [202, 202, 429]
        now[0] = 60.0
        assert _send(fake.url, _event()) == 202


def test_it_runs_on_its_own() -> None:
    command = [sys.executable, "-u", "-m", "tests.fakes.pagerduty", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        url = child.stdout.readline().split()[3]
        assert _send(url, _event()) == 202
        assert child.stdout.readline().split()[:2] == ["trigger", "k"]
        base = url.removesuffix("/v2/enqueue")
        assert HttpTransport().post(f"{base}/incidents/k/acknowledge", {}, b"", 5).status == 200
        with urllib.request.urlopen(f"{base}/incidents", timeout=5) as answer:
            assert json.load(answer)[0]["status"] == "acknowledged"
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 0
