"""Who has an alert: said here, every receiver that was told hears it; said there, it comes home once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update

from tests.fakes.pagerduty import FakePagerDuty
from tests.notify.deliveries import deliverer_of, pagerduty, put
from watchkeeper.monitoring.acknowledgements import Acknowledged, acknowledge, record
from watchkeeper.notify.models import Kind, Notification
from watchkeeper.notify.pagerduty_webhook import Happened, Inbound
from watchkeeper.store import journal
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store, open_store
from watchkeeper.store.models import alerts, outbox

NOW = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
KEY = "watchkeeper/abc/1"


@pytest.fixture
def store(place: Path | str) -> Iterator[Store]:
    with open_store(place) as opened:
        with opened.write() as conn:
            for fingerprint, group in (("one", KEY), ("two", KEY), ("other", "watchkeeper/def/1")):
                conn.execute(
                    insert(alerts).values(
                        fingerprint=fingerprint,
                        rule="R",
                        alertname="ApiErrorRatePage",
                        severity="page",
                        labels={"alertname": "ApiErrorRatePage"},
                        annotations={},
                        state="firing",
                        group_key=group,
                        episode="e1",
                    )
                )
        yield opened


def _event(happened: Happened, number: int = 1, key: str = KEY) -> Inbound:
    return Inbound(f"ev-{number}", happened, key, NOW - timedelta(seconds=5), "Ada", "PD1")


def _take(store: Store, event: Inbound) -> int:
    with store.write() as conn:
        return record(conn, NOW, "pagerduty", event)


def _acked(store: Store) -> dict[str, str | None]:
    with store.read() as conn:
        return {row.fingerprint: row.acked_by for row in conn.execute(select(alerts))}


def _kinds(store: Store) -> list[str]:
    with store.read() as conn:
        return [entry.kind for entry in journal.tail(conn, 0)]


def test_an_acknowledgement_names_who_and_when_on_every_alert_of_the_group(store: Store) -> None:
    assert _take(store, _event(Happened.ACKNOWLEDGED)) == 2
    assert _acked(store) == {"one": "Ada", "two": "Ada", "other": None}
    assert _kinds(store) == ["alert.acknowledged"] * 2


def test_an_acknowledgement_that_comes_late_is_not_one_of_what_fired_after_it(store: Store) -> None:
    """PagerDuty delivers again for hours what we could not take at once."""
    with store.write() as conn:
        fired = {"one": NOW - timedelta(minutes=5), "two": NOW + timedelta(minutes=5)}
        for fingerprint, at in fired.items():
            conn.execute(update(alerts).where(alerts.c.fingerprint == fingerprint).values(fired_at=at))
    assert _take(store, _event(Happened.ACKNOWLEDGED)) == 2
    assert _acked(store) == {"one": "Ada", "two": None, "other": None}
    assert _kinds(store) == ["alert.acknowledged"]


def test_nobody_acknowledges_later_than_we_hear_of_it(store: Store) -> None:
    """Our clock was set back: by it the receiver's lies in the future, and the page would count as missed."""
    ahead = Inbound("ev-1", Happened.ACKNOWLEDGED, KEY, NOW + timedelta(minutes=9), "Ada", "PD1")
    assert _take(store, ahead) == 2
    with store.read() as conn:
        assert conn.execute(select(alerts.c.acked_at).where(alerts.c.fingerprint == "one")).scalar() == NOW


def test_the_same_event_delivered_again_changes_nothing(store: Store) -> None:
    _take(store, _event(Happened.ACKNOWLEDGED))
    _take(store, _event(Happened.UNACKNOWLEDGED, 2))
    _take(store, _event(Happened.ACKNOWLEDGED))
    assert _acked(store)["one"] is None
    assert len(_kinds(store)) == 4


def test_resolving_at_the_receiver_leaves_the_alert_firing(store: Store) -> None:
    _take(store, _event(Happened.RESOLVED))
    with store.read() as conn:
        assert {row.state for row in conn.execute(select(alerts))} == {"firing"}
    assert _kinds(store) == ["alert.resolved_at_receiver"] * 2


def test_an_event_about_something_unknown_changes_nothing(store: Store) -> None:
    assert _take(store, _event(Happened.ACKNOWLEDGED, key="somebody else's")) == 0
    assert _kinds(store) == []


def test_whoever_acknowledged_first_stays_named_until_it_is_taken_back(store: Store) -> None:
    _ack(store, "one")
    _take(store, _event(Happened.ACKNOWLEDGED))  # the receiver tells us what we told it
    assert _acked(store)["one"] == "Grace"
    _take(store, _event(Happened.UNACKNOWLEDGED, 2))
    _take(store, _event(Happened.ACKNOWLEDGED, 3))
    assert _acked(store)["one"] == "Ada"


def _notification(kind: Kind = Kind.TRIGGER) -> Notification:
    return Notification(
        kind=kind,
        dedup_key=KEY,
        order_key=KEY,
        subject="alert:one",
        alertname="ApiErrorRatePage",
        severity="page",
        summary="7 % of requests fail",
        starts_at=NOW,
    )


def _ack(store: Store, *fingerprints: str, note: str = "") -> Acknowledged:
    with store.write() as conn:
        return acknowledge(conn, NOW, fingerprints, "Grace", note)


def _waiting(store: Store) -> list[tuple[str, str, str]]:
    with store.read() as conn:
        rows = conn.execute(select(outbox).where(outbox.c.state == "pending").order_by(outbox.c.id)).all()
    return [(row.receiver, row.payload["kind"], row.payload["note"]) for row in rows]


def test_acknowledging_one_alert_takes_its_group_and_tells_all_who_were_told(store: Store) -> None:
    put(store, NOW, _notification(), receiver="pagerduty")
    put(store, NOW, _notification(), receiver="bridge")
    done = _ack(store, "one", note="rolling back")
    assert done == Acknowledged(("ApiErrorRatePage",), ("bridge", "pagerduty"))
    assert _acked(store) == {"one": "Grace", "two": "Grace", "other": None}
    said = "acknowledged by Grace: rolling back"
    heard = [row for row in _waiting(store) if row[1] == "acknowledge"]
    assert sorted(heard) == [("bridge", "acknowledge", said), ("pagerduty", "acknowledge", said)]
    with store.read() as conn:
        entries = journal.entries(conn, journal.Filter(kind="alert.acknowledged"))
    assert [(entry.actor, entry.subject) for entry in entries] == [
        ("person:Grace", "alert:one"),
        ("person:Grace", "alert:two"),
    ]


def test_acknowledging_again_changes_nothing_and_says_who_has_it(store: Store) -> None:
    put(store, NOW, _notification())
    _ack(store, "one")
    before = (_waiting(store), _kinds(store))
    assert _ack(store, "two") == Acknowledged((), (), ("Grace",))
    assert (_waiting(store), _kinds(store)) == before


def test_what_does_not_fire_or_was_told_as_over_is_not_told_of(store: Store) -> None:
    with store.write() as conn:
        conn.execute(update(alerts).where(alerts.c.fingerprint == "other").values(state="resolved"))
    put(store, NOW, _notification(), _notification(Kind.RESOLVE))
    assert _ack(store, "other", "unheard of") == Acknowledged((), ())
    assert _ack(store, "one") == Acknowledged(("ApiErrorRatePage",), ())


def test_pagerduty_shows_its_incident_as_acknowledged(store: Store) -> None:
    clock = ManualClock(NOW)
    with FakePagerDuty(limit_per_minute=120, now=lambda: clock.now().timestamp()) as fake:
        deliverer = deliverer_of(store, clock, pagerduty(fake))
        put(store, NOW, _notification())
        deliverer.run_once()
        _ack(store, "one")
        deliverer.run_once()
        incident = fake.incident(KEY)
        assert incident is not None
        assert incident.status == "acknowledged"
        assert fake.actions(KEY) == ["trigger", "acknowledge"]
