"""Which alerts share a notification, and when one is due. Pure.

Always true after :func:`decide`, for every group that was told of:

- its ``dedup_key`` is that of its first notification until the one that says it is resolved, through any
  restart, reload or clock step; a group that is told of has exactly one resolve to come;
- an alert that fires, is not inhibited and is routed is told of once, at the latest ``wait`` (first of its
  group) or ``interval`` (later ones) after it fired, and again only every ``repeat_interval``;
- inhibition and routes decide what is told anew, never whether the end of what was told is told;
- a storm (more new groups at once than ``storm``) is one group of its own, to which its alerts belong until
  they end; what fires later, in smaller numbers, is told as always.

Grouping is Alertmanager's, except that the end of the last alert is told at once
(tests/monitoring/test_grouping.py).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from watchkeeper.monitoring.alerts import Alert, AlertState, fingerprint_of
from watchkeeper.monitoring.labels import Labels, label_set
from watchkeeper.notify.models import dedup_key
from watchkeeper.runbook.models.notifications import Grouping, Notifications, Route
from watchkeeper.store.clock import to_ms


class Occasion(StrEnum):
    """Why a notification is sent."""

    TRIGGER = "trigger"
    UPDATE = "update"
    REPEAT = "repeat"
    RESOLVE = "resolve"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an alert goes, with whom, and when; ``by`` are the labels that make a group."""

    receivers: tuple[str, ...]
    by: tuple[str, ...]
    wait: timedelta
    interval: timedelta
    repeat: timedelta
    storm: int


@dataclass(frozen=True, slots=True)
class Group:
    """Alerts that share notifications to the same receivers. ``told`` are the episodes told as firing."""

    key: str
    receivers: tuple[str, ...]
    labels: Labels
    dedup_key: str
    opened_at: datetime
    sent_at: datetime | None = None
    told: frozenset[str] = frozenset()
    storm: bool = False

    def moved(self, by: timedelta) -> Group:
        """The same after a step of the clock: what is measured goes with it."""
        if not by:
            return self
        sent_at = self.sent_at + by if self.sent_at else None
        return replace(self, opened_at=self.opened_at + by, sent_at=sent_at)


@dataclass(frozen=True, slots=True)
class Send:
    """A notification that is due: the group as it is after it, and the alerts that it is about.

    For a resolve these are the alerts that ended; there are none where all of them are forgotten already.
    """

    occasion: Occasion
    group: Group
    alerts: tuple[Alert, ...]


Groups = Mapping[str, Group]


def destinations(labels: Labels, policy: Notifications) -> Iterator[Destination]:
    """Where an alert with ``labels`` goes: the first route that matches, and further ones if it continues."""
    known = dict(labels)
    matched = False
    for route in policy.routes:
        if not _matches(route, known):
            continue
        matched = True
        grouping = route.grouping or policy.grouping
        repeat = route.repeat_interval or policy.repeat_interval
        yield _destination(route.receivers, grouping, repeat)
        if not route.continue_:
            return
    fallback = policy.default_receivers or tuple(receiver.id for receiver in policy.receivers)
    if not matched and fallback:
        yield _destination(fallback, policy.grouping, policy.repeat_interval)


def _destination(receivers: tuple[str, ...], grouping: Grouping, repeat: timedelta) -> Destination:
    return Destination(receivers, grouping.by, grouping.wait, grouping.interval, repeat, grouping.storm)


def _matches(route: Route, labels: Mapping[str, str]) -> bool:
    return all(labels.get(name, "") in wanted for name, wanted in route.match.items())


@dataclass
class _Gathered:
    destination: Destination
    labels: Labels
    alerts: list[Alert]
    storm: bool = False
    waiting_since: datetime | None = None
    """When the first of a storm's groups began to wait for company."""


def decide(
    groups: Groups, alerts: Iterable[Alert], quiet: Collection[str], policy: Notifications, now: datetime
) -> tuple[Groups, tuple[Send, ...]]:
    """What is to be told now about ``alerts`` (all there are); ``quiet`` are the inhibited fingerprints."""
    known = {alert.episode: alert for alert in alerts}
    firing = {name: alert for name, alert in known.items() if alert.state is AlertState.FIRING}
    audible = (alert for alert in firing.values() if alert.fingerprint not in quiet)
    gathered = _with_storms(_gather(audible, policy, groups), groups)
    after: dict[str, Group] = {}
    sends: list[Send] = []
    for key in [*groups, *(key for key in gathered if key not in groups)]:
        found = gathered.get(key)
        group = groups.get(key) or (_opened(key, found, now) if found else None)
        assert group is not None
        if group.sent_at is None:
            if found is None:
                continue  # it was over before anybody was told
            send = _first(group, found, now)
        else:
            send = _next(group, found, known, now)
        if send is not None:
            sends.append(send)
            group = send.group
        if send is None or send.occasion is not Occasion.RESOLVE:
            after[key] = group
    return after, tuple(sends)


def _gather(alerts: Iterable[Alert], policy: Notifications, groups: Groups) -> dict[str, _Gathered]:
    storms = {
        (group.receivers, episode): group
        for group in groups.values()
        if group.storm
        for episode in group.told
    }
    gathered: dict[str, _Gathered] = {}
    for alert in alerts:
        for where in destinations(alert.labels, policy):
            storm = storms.get((where.receivers, alert.episode))
            if storm is not None:
                key, labels = storm.key, storm.labels
            else:
                labels = label_set(pair for pair in alert.labels if pair[0] in where.by)
                key = group_key(where.receivers, labels)
            gathered.setdefault(key, _Gathered(where, labels, [], storm is not None)).alerts.append(alert)
    return gathered


def _with_storms(gathered: dict[str, _Gathered], groups: Groups) -> dict[str, _Gathered]:
    """``gathered``, where too many groups that nobody was told of yet are put together."""
    fresh: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for key, found in gathered.items():
        known = groups.get(key)
        if not found.storm and (known is None or known.sent_at is None):
            severities = {dict(alert.labels).get("severity", "page") for alert in found.alerts}
            severity = "page" if "page" in severities else min(severities)
            fresh.setdefault((found.destination.receivers, severity), []).append(key)
    for (receivers, severity), keys in fresh.items():
        where = gathered[keys[0]].destination
        if len(keys) <= where.storm:
            continue
        labels = label_set([("severity", severity), ("storm", "true")])
        storm_key = group_key(receivers, labels)
        storm = gathered.setdefault(storm_key, _Gathered(where, labels, [], storm=True))
        for key in keys:
            storm.alerts += gathered.pop(key).alerts
        storm.waiting_since = min((groups[key].opened_at for key in keys if key in groups), default=None)
    return gathered


def group_key(receivers: Collection[str], labels: Labels) -> str:
    """The name of a group: its receivers and its labels, as JSON."""
    return json.dumps([list(receivers), [list(pair) for pair in labels]], separators=(",", ":"))


def _opened(key: str, found: _Gathered, now: datetime) -> Group:
    name = fingerprint_of((("group", key),))
    dedup = dedup_key(name, f"{to_ms(now):x}")
    began = found.waiting_since or now
    return Group(key, found.destination.receivers, found.labels, dedup, began, storm=found.storm)


def _first(group: Group, found: _Gathered, now: datetime) -> Send | None:
    if now - group.opened_at < found.destination.wait:
        return None
    return _send(Occasion.TRIGGER, group, found.alerts, now)


def _next(group: Group, found: _Gathered | None, known: Mapping[str, Alert], now: datetime) -> Send | None:
    assert group.sent_at is not None
    told = [known[episode] for episode in sorted(group.told) if episode in known]
    still = [alert for alert in told if alert.state is AlertState.FIRING]
    audible = found.alerts if found else []
    if not still and not audible:
        return Send(Occasion.RESOLVE, replace(group, sent_at=now, told=frozenset()), tuple(told))
    if found is None:
        return None
    everything = list({alert.episode: alert for alert in (*still, *audible)}.values())
    since = now - group.sent_at
    changed = {alert.episode for alert in everything} != group.told
    if changed and since >= found.destination.interval:
        return _send(Occasion.UPDATE, group, everything, now)
    if since >= found.destination.repeat:
        return _send(Occasion.REPEAT, group, everything, now)
    return None


def _send(occasion: Occasion, group: Group, alerts: list[Alert], now: datetime) -> Send:
    told = frozenset(alert.episode for alert in alerts)
    return Send(occasion, replace(group, sent_at=now, told=told), tuple(alerts))
