"""The life of an alert, decided: inactive, pending, firing, resolved. Pure: no clock, no store, no engine.

Always true after :func:`step`, for every alert it returns:

- *pending*: its element was in the result at ``now`` and in every evaluation since ``active_at``, and
  ``now - active_at < for``; *firing*: it was pending for at least ``for``, and since then was never absent
  for ``keep_firing_for`` or longer; *resolved*: it fired, and it is kept for 15 minutes to be told so.
- ``episode`` names one life from pending to resolved; it stays the same through restarts and clock steps.

This is Prometheus' ``AlertingRule.Eval`` to the letter (tests/monitoring/test_alerts.py holds it against a
naive model). On top of it stands :func:`moved`: ``now - active_at`` counts only time that was watched. When
the wall clock jumps, or this process was not there, :func:`clock_step` says by how much, and ``active_at`` is
moved along: nothing fires, resolves or is sent because of the jump itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from watchkeeper.monitoring.labels import Labels
from watchkeeper.store.clock import to_ms

RESOLVED_RETENTION = timedelta(minutes=15)
"""How long a resolved alert is kept, as in Prometheus."""
_ZERO = timedelta(0)


class AlertState(StrEnum):
    """Where an alert is in its life; the names are those of Prometheus' HTTP API and ``ALERTS`` series."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class TransitionKind(StrEnum):
    """What happened to an alert in one evaluation."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"
    WITHDRAWN = "withdrawn"
    """It was pending and went away before it fired."""
    FORGOTTEN = "forgotten"
    """It was resolved and its 15 minutes are over."""


class AlertError(ValueError):
    """The result of a rule cannot be turned into alerts; the alerts stay as they were."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a rule's result: the labels of its alert (``alertname`` among them), and its value."""

    labels: Labels
    value: float


@dataclass(frozen=True, slots=True)
class Timing:
    """What a rule says about time."""

    hold: timedelta = _ZERO
    """``for``"""
    keep_firing_for: timedelta = _ZERO
    limit: int = 10_000
    """More elements than this are an error of the rule, not that many alerts."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. ``active_at`` moves with clock steps (see above); the other times are as they were seen."""

    labels: Labels
    fingerprint: str
    state: AlertState
    value: float
    active_at: datetime
    episode: str
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    keep_firing_since: datetime | None = None


Alerts = Mapping[str, Alert]
"""The alerts of one rule by fingerprint; resolved ones for 15 minutes."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of one alert, with the alert as it is after it."""

    kind: TransitionKind
    alert: Alert


def step(
    alerts: Alerts, result: Iterable[Element], timing: Timing, now: datetime
) -> tuple[Alerts, tuple[Transition, ...]]:
    """One evaluation: what becomes of a rule's alerts when ``result`` is what it returned at ``now``.

    Raises :class:`AlertError` when two elements are the same alert or there are more than ``timing.limit``.
    """
    found = _by_fingerprint(result, timing.limit)
    after: dict[str, Alert] = {}
    transitions: list[Transition] = []
    for fingerprint, alert in alerts.items():
        if fingerprint not in found:
            _fade(alert, timing, now, after, transitions)
        elif alert.state is not AlertState.RESOLVED:
            _advance(replace(alert, value=found[fingerprint].value), timing, now, after, transitions)
    for fingerprint, element in found.items():
        if fingerprint not in after:
            _begin(fingerprint, element, timing, now, after, transitions)
    return after, tuple(transitions)


def clock_step(
    before: datetime | None, now: datetime, interval: timedelta, watched: timedelta | None
) -> timedelta:
    """How much of ``now - before`` is not watched time: a step of the wall clock, or an absence of ours.

    ``before`` is the evaluation before; ``watched`` how much time really passed since it (by the monotonic
    clock), None where that is not known, after a start: then at most one ``interval`` counts. Zero
    as long as the two clocks agree to within an evaluation interval, so that aligned evaluations are
    measured exactly as Prometheus measures them.
    """
    if before is None:
        return _ZERO
    passed = now - before
    if watched is None:
        return passed - min(max(passed, _ZERO), interval)
    return _ZERO if abs(passed - watched) <= interval and passed >= _ZERO else passed - watched


def _by_fingerprint(result: Iterable[Element], limit: int) -> dict[str, Element]:
    found: dict[str, Element] = {}
    for element in result:
        key = fingerprint_of(element.labels)
        if key in found:
            raise AlertError(f"two elements of the result are the same alert: {describe(element.labels)}")
        found[key] = element
        if len(found) > limit:
            raise AlertError(f"the result has more than {limit} elements; that many alerts help nobody")
    return found


def moved(alerts: Alerts, by: timedelta) -> Alerts:
    """The same alerts after a step of the clock (see :func:`clock_step`): what is measured goes with it."""
    if not by:
        return alerts
    return {
        fingerprint: replace(
            alert,
            active_at=alert.active_at + by,
            keep_firing_since=alert.keep_firing_since + by if alert.keep_firing_since else None,
        )
        for fingerprint, alert in alerts.items()
    }


def _begin(
    fingerprint: str,
    element: Element,
    timing: Timing,
    now: datetime,
    after: dict[str, Alert],
    transitions: list[Transition],
) -> None:
    alert = Alert(
        labels=element.labels,
        fingerprint=fingerprint,
        state=AlertState.PENDING,
        value=element.value,
        active_at=now,
        episode=f"{fingerprint}-{to_ms(now):x}",
    )
    if timing.hold > _ZERO:
        transitions.append(Transition(TransitionKind.PENDING, alert))
    _advance(alert, timing, now, after, transitions)


def _advance(
    alert: Alert, timing: Timing, now: datetime, after: dict[str, Alert], transitions: list[Transition]
) -> None:
    """The element is there."""
    if alert.keep_firing_since is not None:
        alert = replace(alert, keep_firing_since=None)
    if alert.state is AlertState.PENDING and now - alert.active_at >= timing.hold:
        alert = replace(alert, state=AlertState.FIRING, fired_at=now)
        transitions.append(Transition(TransitionKind.FIRING, alert))
    after[alert.fingerprint] = alert


def _fade(
    alert: Alert, timing: Timing, now: datetime, after: dict[str, Alert], transitions: list[Transition]
) -> None:
    """The element is gone."""
    if alert.state is AlertState.PENDING:
        transitions.append(Transition(TransitionKind.WITHDRAWN, alert))
        return
    if alert.state is AlertState.RESOLVED:
        assert alert.resolved_at is not None
        if abs(now - alert.resolved_at) > RESOLVED_RETENTION:
            transitions.append(Transition(TransitionKind.FORGOTTEN, alert))
        else:
            after[alert.fingerprint] = alert
        return
    if timing.keep_firing_for > _ZERO:
        since = alert.keep_firing_since or now
        if now - since < timing.keep_firing_for:
            after[alert.fingerprint] = replace(alert, keep_firing_since=since)
            return
    alert = replace(alert, state=AlertState.RESOLVED, resolved_at=now, keep_firing_since=None)
    transitions.append(Transition(TransitionKind.RESOLVED, alert))
    after[alert.fingerprint] = alert


def fingerprint_of(labels: Labels) -> str:
    """The label set as 16 hex digits: the FNV-1a hash that Prometheus' and Alertmanager's APIs show."""
    digest = 0xCBF29CE484222325
    for pair in labels:
        for text in pair:
            for byte in text.encode("utf-8", "surrogatepass"):
                digest = (digest ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
            digest = (digest ^ 0xFF) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{digest:016x}"


def describe(labels: Labels) -> str:
    """The label set as people write it: ``ApiErrorRatePage{env="prod"}``."""
    name = dict(labels).get("alertname", "")
    pairs = ", ".join(f'{key}="{value}"' for key, value in labels if key != "alertname")
    return f"{name}{{{pairs}}}"
