"""Many notifications and many failures: within the budget, in order, all arrive."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.pagerduty import FakePagerDuty
from tests.notify.conftest import NOW, Make
from tests.notify.deliveries import deliverer_of, entries, pagerduty, put, until_empty
from tests.postgresql import long_on_postgresql
from watchkeeper.notify.delivery import Deliverer, Summary
from watchkeeper.notify.lane import MOST_UNDER_WAY
from watchkeeper.notify.models import Kind, Notification
from watchkeeper.store.clock import ManualClock
from watchkeeper.store.database import Store, open_store


def _busiest_minute(fake: FakePagerDuty) -> int:
    times = [event.received_at for event in fake.events]
    return max(
        (sum(start <= at < start + 60 for at in times[n:]) for n, start in enumerate(times)), default=0
    )


def test_a_storm_stays_within_the_budget_and_pages_go_first(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    put(store, clock.now(), *(make(f"warn-{n}", severity="warn") for n in range(150)))
    put(store, clock.now(), *(make(f"page-{n}") for n in range(100)))
    deliverer = deliverer_of(store, clock, pagerduty(fake))
    assert deliverer.run_once() == Summary(delivered=120)
    pages = ["/page-" in event.dedup_key for event in fake.events]
    assert sum(pages) == 100
    assert all(pages[: 100 - MOST_UNDER_WAY])  # the last of them are under way beside the first warnings
    restarted = deliverer_of(store, clock, pagerduty(fake))  # the budget is not forgotten
    clock.advance(59)
    assert restarted.run_once() == Summary()
    until_empty(restarted, store, clock, 1, 130)
    assert fake.refused == []
    assert _busiest_minute(fake) == 120


@long_on_postgresql
def test_a_thousand_alerts_with_five_percent_errors_all_arrive_once_and_in_order(
    store: Store, clock: ManualClock, fake: FakePagerDuty, make: Make
) -> None:
    alerts = [make(f"alert-{n}") for n in range(1000)]
    put(store, clock.now(), *alerts)
    put(store, clock.now(), *(make(f"alert-{n}", Kind.RESOLVE) for n in range(0, 1000, 10)))
    fake.random_faults(11, {"500": 2, "drop": 1, "drop_after": 1, "503": 0.5, "429": 0.5})
    deliverer = deliverer_of(store, clock, pagerduty(fake))
    until_empty(deliverer, store, clock, 5, 400)
    assert [r for r in fake.refused if r[0] == 400] == []
    assert all(len(incidents) == 1 for incidents in fake.incidents.values())
    assert len(fake.incidents) == 1000
    resolved = {key for key, (incident,) in fake.incidents.items() if incident.status == "resolved"}
    assert resolved == {f"watchkeeper/alert-{n}/e1" for n in range(0, 1000, 10)}
    for key in resolved:
        assert fake.actions(key)[0] == "trigger"
        assert fake.actions(key)[-1] == "resolve"
    assert len(entries(store, "notification.delivered")) == 1100
    assert len(entries(store, "receiver.*")) <= 20
    assert _busiest_minute(fake) <= 120


OF_ALERTS = (Kind.TRIGGER, Kind.ACKNOWLEDGE, Kind.RESOLVE)
KINDS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(OF_ALERTS)), min_size=1, max_size=10)
FAULTS = st.lists(st.sampled_from([None, "500", "drop", "drop_after", "429", "sign_in"]), max_size=12)


@settings(max_examples=20, deadline=None)
@given(KINDS, FAULTS, st.integers(0, 1000))
def test_whatever_fails_each_alert_is_told_in_order_and_ends_as_it_should(
    told: list[tuple[str, Kind]], faults: list[str | None], seed: int
) -> None:
    clock = ManualClock(NOW)
    with TemporaryDirectory() as where, open_store(Path(where)) as store, FakePagerDuty() as fake:
        fake.plan(*faults)
        for alert, kind in told:
            put(store, clock.now(), Notification(kind, alert, alert, alert, "A", "page", "s", NOW))
        deliverer = Deliverer(store, [pagerduty(fake)], clock, owner="test", chance=random.Random(seed))
        until_empty(deliverer, store, clock, 30, 60)
        for alert in "abc":
            expected = [kind.value for name, kind in told if name == alert]
            assert _without_repeats(fake.actions(alert)) == _without_repeats(expected)
            if "drop_after" not in faults:
                assert fake.actions(alert) == expected


def _without_repeats(actions: list[str]) -> list[str]:
    """A lost answer makes the same event arrive twice in a row, which changes nothing."""
    return [action for n, action in enumerate(actions) if n == 0 or actions[n - 1] != action]
