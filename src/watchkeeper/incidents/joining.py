"""To which incident an alert belongs. Pure.

Always true here: only a page opens or reopens an incident, and only one that is audible (neither silenced,
nor in maintenance, nor inhibited); a warning joins or does nothing; an alert joins while an incident of its
kind is live, so that one failure is one incident (tests/incidents/test_joining.py).

Alerts are of one kind when they share a notification, else a service and environment; without a service, a
name and an environment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from watchkeeper.incidents.models import LIVE, State

PAGE = "page"


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that fires. ``quiet`` says what keeps it from telling anybody; ``group_key`` is that of the
    notification that it shares with others."""

    fingerprint: str
    episode: str
    alertname: str
    severity: str
    labels: Mapping[str, str]
    summary: str
    clause: str | None
    active_at: datetime | None
    fired_at: datetime
    quiet: str | None = None
    group_key: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """An incident that is live or was resolved not long ago, and what belongs to it."""

    id: int
    state: State
    service: str | None
    env: str | None
    opened_at: datetime
    resolved_at: datetime | None
    fingerprints: frozenset[str]
    alertnames: frozenset[str]
    group_keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class Opens:
    """It is the first of its kind."""


@dataclass(frozen=True, slots=True)
class Joins:
    """It belongs to a live incident; ``because`` is for people."""

    incident: int
    because: str


@dataclass(frozen=True, slots=True)
class Reopens:
    """It shows that a resolved incident is not over."""

    incident: int
    because: str


Decision = Opens | Joins | Reopens


def decide(alert: Firing, known: Sequence[Known], window: timedelta) -> Decision | None:
    """What becomes of ``alert``; None where it belongs to nothing. ``window``: ``incidents.join_window``."""
    if alert.quiet is not None:
        return None
    newest_first = sorted(known, key=lambda one: one.id, reverse=True)
    related = [(one, because) for one in newest_first if (because := _kinship(alert, one))]
    for one, because in sorted(related, key=lambda pair: _ORDER[pair[1]]):
        if one.state in LIVE:
            return Joins(one.id, because)
    if alert.severity != PAGE:
        return None
    for one in newest_first:
        if one.state is State.RESOLVED and alert.fingerprint in one.fingerprints:
            ended = one.resolved_at or one.opened_at
            if alert.fired_at - ended <= window:
                minutes = max(0.0, (alert.fired_at - ended).total_seconds()) / 60
                return Reopens(one.id, f"it fires again, {minutes:.0f} min after it was resolved")
    return Opens()


_AGAIN, _SHARED = "it fires again", "it shares a notification with another of its alerts"
_PLACE, _NAME = "it is of the same service and environment", "it has the same name and environment"
_ORDER = {_AGAIN: 0, _SHARED: 1, _PLACE: 2, _NAME: 3}


def _kinship(alert: Firing, one: Known) -> str:
    if alert.fingerprint in one.fingerprints:
        return _AGAIN
    if alert.group_key is not None and alert.group_key in one.group_keys:
        return _SHARED
    service, env = alert.labels.get("service"), alert.labels.get("env")
    if env != one.env:
        return ""
    if service is not None:
        return _PLACE if service == one.service else ""
    return _NAME if one.service is None and alert.alertname in one.alertnames else ""
