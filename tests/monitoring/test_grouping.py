"""Who is told what, with whom, and when: Alertmanager's grouping, held to a few laws."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.monitoring.alerts import Alert, AlertState, fingerprint_of
from watchkeeper.monitoring.grouping import Groups, Occasion, Send, decide, destinations
from watchkeeper.monitoring.labels import label_set
from watchkeeper.runbook.models.notifications import Notifications

T0 = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def policy(**more: Any) -> Notifications:
    receivers = [{"id": name, "pagerduty": {"routing_key": {"env": "K"}}} for name in ("pd", "chat")]
    return Notifications.model_validate({"receivers": receivers, **more})


def alert(name: str, *, resolved: bool = False, episode: str = "1", **labels: str) -> Alert:
    full = label_set({"alertname": name, "severity": "page", **labels}.items())
    state = AlertState.RESOLVED if resolved else AlertState.FIRING
    return Alert(full, fingerprint_of(full), state, 1.0, T0, f"{name}-{sorted(labels.items())}-{episode}", T0)


class Desk:
    """Decides at seconds after the start, and keeps what was sent."""

    def __init__(self, notifications: Notifications) -> None:
        self.policy = notifications
        self.groups: Groups = {}

    def at(self, second: float, *alerts: Alert, quiet: Sequence[Alert] = ()) -> list[tuple[str, int]]:
        hidden = {one.fingerprint for one in quiet}
        now = T0 + timedelta(seconds=second)
        self.groups, sends = decide(self.groups, alerts, hidden, self.policy, now)
        self.sends: tuple[Send, ...] = sends
        return [(send.occasion.value, len(send.alerts)) for send in sends]


# -- routes -------------------------------------------------------------------------------------


def test_the_first_route_that_matches_decides_unless_it_continues() -> None:
    routes = [
        {"match": {"service": ["a", "b"]}, "receivers": "chat", "continue": True},
        {"match": {"severity": "page"}, "receivers": "pd", "repeat_interval": "1h"},
        {"match": {}, "receivers": ["pd", "chat"]},
    ]
    notifications = policy(routes=routes)

    def where(**labels: str) -> list[tuple[str, ...]]:
        return [one.receivers for one in destinations(label_set(labels.items()), notifications)]

    assert where(severity="page", service="a") == [("chat",), ("pd",)]
    assert where(severity="page") == [("pd",)]
    assert where(severity="warn", service="c") == [("pd", "chat")]


def test_an_alert_that_no_route_matches_is_told_to_the_default_or_to_everybody() -> None:
    routes = [{"match": {"severity": "page"}, "receivers": "pd"}]
    warn = label_set({"severity": "warn"}.items())
    assert [one.receivers for one in destinations(warn, policy(routes=routes))] == [("pd", "chat")]
    some = policy(routes=routes, default_receivers=["chat"])
    assert [one.receivers for one in destinations(warn, some)] == [("chat",)]


# -- groups -------------------------------------------------------------------------------------


def test_alerts_of_one_group_share_one_incident() -> None:
    desk = Desk(policy(grouping={"by": ["alertname"], "wait": "0s", "interval": "1m"}))
    one, two = alert("X", pod="1"), alert("X", pod="2")
    assert desk.at(0, one) == [("trigger", 1)]
    key = desk.sends[0].group.dedup_key
    assert desk.at(15, one, two) == []
    assert desk.at(60, one, two) == [("update", 2)]
    assert desk.at(75, alert("X", pod="1", resolved=True), two) == []
    assert desk.at(120, alert("X", pod="1", resolved=True), two) == [("update", 1)]
    ended = alert("X", pod="2", resolved=True)
    assert desk.at(135, ended) == [("resolve", 1)]
    assert desk.sends[0].alerts == (ended,)
    assert desk.sends[0].group.dedup_key == key
    assert desk.at(150, ended) == []


def test_the_first_notification_waits_for_company() -> None:
    desk = Desk(policy(grouping={"by": ["alertname"], "wait": "30s"}))
    one, two = alert("X", pod="1"), alert("X", pod="2")
    assert desk.at(0, one) == []
    assert desk.at(15, one, two) == []
    assert desk.at(30, one, two) == [("trigger", 2)]


def test_what_is_over_before_anybody_was_told_is_told_to_nobody() -> None:
    desk = Desk(policy(grouping={"by": ["alertname"], "wait": "30s"}))
    assert desk.at(0, alert("X")) == []
    assert desk.at(15, alert("X", resolved=True)) == []
    assert desk.at(60) == []


def test_a_receiver_is_reminded_at_its_repeat_interval() -> None:
    desk = Desk(policy(repeat_interval="1h"))
    desk.at(0, alert("X"))
    assert desk.at(3585, alert("X")) == []
    assert desk.at(3600, alert("X")) == [("repeat", 1)]
    assert desk.at(3615, alert("X")) == []


def test_an_inhibited_alert_is_not_told_but_the_end_of_a_told_one_is() -> None:
    desk = Desk(policy())
    one = alert("X")
    assert desk.at(0, one, quiet=[one]) == []
    assert desk.at(15, one) == [("trigger", 1)]
    assert desk.at(30, one, quiet=[one]) == []
    assert desk.at(45, alert("X", resolved=True)) == [("resolve", 1)]


def test_a_reload_that_routes_elsewhere_tells_the_new_receiver_and_ends_at_the_old() -> None:
    desk = Desk(policy(default_receivers=["pd"]))
    desk.at(0, alert("X"))
    desk.policy = policy(default_receivers=["chat"])
    assert desk.at(15, alert("X")) == [("trigger", 1)]
    assert desk.sends[0].group.receivers == ("chat",)
    assert desk.at(30, alert("X", resolved=True)) == [("resolve", 1), ("resolve", 1)]
    assert sorted(send.group.receivers for send in desk.sends) == [("chat",), ("pd",)]


def test_the_end_is_told_even_when_the_alert_itself_is_forgotten() -> None:
    desk = Desk(policy())
    desk.at(0, alert("X"))
    assert desk.at(4000) == [("resolve", 0)]


# -- storms -------------------------------------------------------------------------------------


def many(count: int, *, first: int = 0, resolved: bool = False, severity: str = "page") -> list[Alert]:
    return [
        alert("X", pod=str(number), severity=severity, resolved=resolved)
        for number in range(first, first + count)
    ]


def stormy(limit: int = 3, **grouping: Any) -> Desk:
    by = {"by": ["pod"], "interval": "1m", "storm": limit, **grouping}
    return Desk(policy(default_receivers=["pd"], grouping=by))


def test_as_many_groups_as_allowed_are_told_one_by_one() -> None:
    assert stormy().at(0, *many(3)) == [("trigger", 1)] * 3


def test_more_at_once_are_one_incident_until_the_last_of_them_ends() -> None:
    desk = stormy()
    assert desk.at(0, *many(10)) == [("trigger", 10)]
    storm = desk.sends[0].group
    assert storm.storm
    assert desk.at(15, *many(10)) == []
    assert desk.at(60, *many(4), *many(6, first=4, resolved=True)) == [("update", 4)]
    assert desk.at(75, *many(10, resolved=True)) == [("resolve", 4)]
    assert desk.sends[0].group.dedup_key == storm.dedup_key
    assert desk.groups == {}


def test_what_fires_later_in_small_numbers_is_told_by_itself() -> None:
    desk = stormy()
    desk.at(0, *many(10))
    assert desk.at(300, *many(11)) == [("trigger", 1)]
    assert not desk.sends[0].group.storm
    assert desk.at(315, *many(10), *many(1, first=10, resolved=True)) == [("resolve", 1)]


def test_a_second_burst_joins_the_storm_that_is_open() -> None:
    desk = stormy()
    desk.at(0, *many(10))
    assert desk.at(60, *many(20)) == [("update", 20)]
    assert desk.at(75, *many(20)) == []


def test_pages_and_warnings_are_storms_of_their_own() -> None:
    desk = stormy()
    alerts = [*many(5), *many(6, first=50, severity="warn")]
    assert sorted(desk.at(0, *alerts)) == [("trigger", 5), ("trigger", 6)]


def test_a_storm_waits_no_longer_than_the_first_of_it() -> None:
    desk = stormy(wait="30s")
    assert desk.at(0, *many(2)) == []
    assert desk.at(15, *many(10)) == []
    assert desk.at(30, *many(10)) == [("trigger", 10)]


def test_a_receiver_of_its_own_has_its_own_storm() -> None:
    routes = [
        {"match": {"severity": "page"}, "receivers": "pd", "continue": True},
        {"match": {}, "receivers": "chat"},
    ]
    desk = Desk(policy(routes=routes, grouping={"by": ["pod"], "storm": 3}))
    assert desk.at(0, *many(5)) == [("trigger", 5)] * 2
    assert sorted(send.group.receivers for send in desk.sends) == [("chat",), ("pd",)]
    assert len({send.group.dedup_key for send in desk.sends}) == 2


# -- laws ---------------------------------------------------------------------------------------

steps = st.lists(
    st.tuples(
        st.sampled_from([15, 15, 15, 30, 60, 300, 4000]),
        st.lists(st.sampled_from(["-", "firing", "quiet", "resolved"]), min_size=3, max_size=3),
    ),
    min_size=1,
    max_size=30,
)


@given(steps, st.sampled_from(["0s", "30s"]), st.sampled_from(["alertname", "pod"]), st.sampled_from([2, 30]))
def test_every_told_incident_ends_once_and_nothing_is_told_too_often(
    script: list[tuple[int, list[str]]], wait: str, by: str, storm: int
) -> None:
    notifications = policy(
        default_receivers=["pd"],
        grouping={"by": [by], "wait": wait, "interval": "1m", "storm": storm},
        repeat_interval="1h",
    )
    desk = Desk(notifications)
    second = 0
    lives = [0, 0, 0]
    was = ["-", "-", "-"]
    open_since: dict[str, float] = {}
    last_news: dict[str, float] = {}
    ended: set[str] = set()
    for gap, states in [*script, (15, ["resolved"] * 3), (15, ["-"] * 3)]:
        second += gap
        alerts, hidden = [], []
        for number, state in enumerate(states):
            if state in ("firing", "quiet") and was[number] not in ("firing", "quiet"):
                lives[number] += 1
            was[number] = state
            if state == "-" or (state == "resolved" and lives[number] == 0):
                continue
            one = alert("X", pod=str(number), episode=str(lives[number]), resolved=state == "resolved")
            alerts.append(one)
            if state == "quiet":
                hidden.append(one)
        desk.at(second, *alerts, quiet=hidden)
        for send in desk.sends:
            key = send.group.dedup_key
            assert key not in ended, "an incident that has ended is never spoken of again"
            if send.occasion is Occasion.RESOLVE:
                assert key in open_since
                ended.add(key)
            elif send.occasion is Occasion.TRIGGER:
                assert key not in open_since
                open_since[key] = second
            else:
                waited = second - last_news[key]
                assert waited >= (60 if send.occasion is Occasion.UPDATE else 3600)
            last_news[key] = second
        told = {episode for group in desk.groups.values() for episode in group.told}
        audible = {one.episode for one in alerts if one.state is AlertState.FIRING and one not in hidden}
        if wait == "0s" and by == "pod" and storm == 30:
            assert audible <= told, "what fires and is not hidden has been told"
    assert set(open_since) == ended
