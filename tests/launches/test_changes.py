"""What changed: recorded once, told on, listed nearest first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.pagerduty import FakePagerDuty
from tests.notify.deliveries import deliverer_of, entries, pagerduty, put, waiting
from watchkeeper.app.changes import change_receivers
from watchkeeper.launches import changes
from watchkeeper.launches.changes import Change, ChangeError, Recorded, changes_recent, recent, record
from watchkeeper.runbook.models.notifications import Notifications
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store, open_store

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DEPLOY = Change(
    key="deploy-7",
    kind="deploy",
    title="Faster uploads",
    at=NOW - HOUR,
    by="ci",
    service="backend",
    env="prod",
    region="eu-1",
    version="2.4.1",
    url="https://git.example.com/deploys/7",
    details={"commit": "abc", "token": "hunter2"},
)


DEEP: Any = []
for _ in range(5000):
    DEEP = [DEEP]


@pytest.fixture
def store(place: Path | str) -> Iterator[Store]:
    with open_store(place) as opened:
        yield opened


def tell(store: Store, change: Change, *to: str) -> Recorded:
    with store.write() as conn:
        return record(conn, NOW, change, actor="token:ci", tell=to)


def listed(store: Store, **asked: Any) -> list[str]:
    with store.read() as conn:
        return [one.title for one in recent(conn, NOW, **asked)]


def test_a_change_told_twice_is_recorded_once_with_its_entry(store: Store) -> None:
    first = tell(store, DEPLOY)
    again = tell(store, replace(DEPLOY, title="Something else", at=NOW))
    assert (first.fresh, again.fresh) == (True, False)
    assert (again.id, again.change) == (first.id, first.change)
    (entry,) = entries(store, "change.recorded")
    assert (entry.actor, entry.subject) == ("token:ci", f"change:{first.id}")
    assert entry.facts["summary"] == "deploy: backend 2.4.1 (prod, eu-1): Faster uploads"
    assert "hunter2" not in str(entry.facts) + str(first.change)


def test_told_by_many_at_once_it_is_recorded_once(store: Store) -> None:
    fresh: list[bool] = []
    threads = [threading.Thread(target=lambda: fresh.append(tell(store, DEPLOY).fresh)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(fresh) == [False] * 7 + [True]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"key": " "}, "its key"),
        ({"key": "x" * 201}, "its key"),
        ({"title": "\x1b\x00"}, "its title"),
        ({"by": ""}, "its by"),
        ({"service": "x" * 201}, "service"),
        ({"version": ""}, "version"),
        ({"kind": "rumour"}, "no kind of change"),
        ({"at": NOW + 2 * HOUR}, "in the future"),
        ({"at": datetime(2026, 1, 5)}, "offset"),
        ({"url": "javascript:alert(1)"}, "http or https"),
        ({"url": "https://[/"}, "http or https"),
        ({"details": {"x": "y" * 17_000}}, "16 KiB"),
        ({"details": {"x": DEEP}}, "nested"),
        ({"details": {"x": object()}}, "cannot be recorded"),
    ],
)
def test_what_cannot_be_recorded_says_why_and_changes_nothing(
    store: Store, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ChangeError, match=said):
        tell(store, replace(DEPLOY, **given))
    assert entries(store, "change.*") == []


def test_the_nearest_comes_first_and_what_is_older_not_at_all(store: Store) -> None:
    for hours in (5, 1, 23, 25):
        tell(store, replace(DEPLOY, key=str(hours), title=f"{hours} h ago", at=NOW - hours * HOUR))
    assert listed(store) == ["1 h ago", "5 h ago", "23 h ago"]
    assert listed(store, hours=30)[-1] == "25 h ago"
    assert listed(store, limit=1) == ["1 h ago"]


def test_of_another_service_nothing_is_listed_but_what_touches_all(store: Store) -> None:
    tell(store, DEPLOY)
    tell(store, replace(DEPLOY, key="w", title="worker", service="worker"))
    tell(store, replace(DEPLOY, key="s", title="staging", env="staging"))
    tell(store, replace(DEPLOY, key="dns", title="DNS", service=None, env=None))
    assert set(listed(store, service="backend", env="prod")) == {"Faster uploads", "DNS"}
    assert set(listed(store, service="worker")) == {"worker", "DNS"}


def test_runbooks_and_maintenance_windows_are_read_from_the_journal(store: Store) -> None:
    with store.write() as conn:

        def add(hours: float, kind: str, **facts: Any) -> None:
            journal.append(conn, NOW - hours * HOUR, kind, "component:monitoring", "runbook", facts)

        add(30, "runbook.loaded", digest="a", summary="the runbook a is in force")
        add(20, "runbook.loaded", digest="a", summary="after a restart")
        add(10, "runbook.loaded", digest="b", summary="the runbook b is in force")
        add(2, "maintenance.opened", summary="the window x is open")
    assert listed(store, service="backend") == ["the window x is open", "the runbook b is in force"]
    with store.read() as conn:
        first = changes_recent(conn, NOW)[0]
    assert first["source"] == "journal"
    assert (first["kind"], first["minutes_ago"], first["seq"]) == ("maintenance", 120, 4)


def test_pagerduty_is_told_of_a_change_once_and_nobody_is_woken(store: Store) -> None:
    clock = ManualClock(NOW)
    with FakePagerDuty() as fake:
        tell(store, DEPLOY, "pagerduty")
        tell(store, DEPLOY, "pagerduty")
        fake.plan("drop")
        deliverer = deliverer_of(store, clock, pagerduty(fake))
        for _ in range(5):
            deliverer.run_once()
            clock.advance(60)
        (seen,) = fake.changes
        assert fake.incidents == {}
    assert waiting(store) == 0
    assert seen["payload"]["summary"] == "deploy: backend 2.4.1 (prod, eu-1): Faster uploads"
    assert seen["links"] == [{"href": DEPLOY.url, "text": "The change"}]
    assert entries(store, "notification.delivered")[0].subject == "change:1"


def test_a_change_that_pagerduty_never_takes_is_given_up(store: Store) -> None:
    clock = ManualClock(NOW)
    with FakePagerDuty() as fake:
        fake.always("503")
        put(store, NOW, changes.notification(1, DEPLOY))
        deliverer = deliverer_of(store, clock, pagerduty(fake))
        for _ in range(40):
            deliverer.run_once()
            clock.advance(3600)
    assert waiting(store) == 0
    assert len(entries(store, "notification.failed")) == 1


def test_which_receivers_are_told_the_runbook_says() -> None:
    def receiver(name: str, **more: object) -> dict[str, object]:
        return {"id": name, "pagerduty": {"routing_key": {"env": "KEY"}, **more}}

    hook = {"id": "hook", "webhook": {"url": "https://example.com/"}}
    section = Notifications.model_validate(
        {"receivers": [receiver("a"), receiver("b", change_events=False), hook]}
    )
    runbook = Runbook.model_validate({"runbook": 1, "platform": "P"})
    assert change_receivers(runbook.model_copy(update={"notifications": section})) == ("a",)
