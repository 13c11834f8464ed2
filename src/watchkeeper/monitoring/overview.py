"""The monitoring section as one plain document: what ``watchkeeper top`` and the console show.

Always true: a signal without data has no value and says why; its state is that of the worst alert or verdict
that its clauses have, and where rules are no longer evaluated it is unknown unless an alert says worse, so
nothing is shown greener than it stands (tests/monitoring/test_overview.py).
"""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from watchkeeper.monitoring.alerts import Alert, AlertState
from watchkeeper.monitoring.clauses import Standing
from watchkeeper.monitoring.compile import CompiledRule, CompiledSignal
from watchkeeper.monitoring.evaluation import Observation, Policy
from watchkeeper.monitoring.inhibition import Inhibited
from watchkeeper.monitoring.source import Answer, Failure
from watchkeeper.runbook.models.monitoring import Signal, Threshold
from watchkeeper.store.clock import to_ms

SPAN = timedelta(minutes=15)
MAX_POINTS = 60


class History:
    """The worst value of each signal at each evaluation of the last 15 minutes."""

    def __init__(self) -> None:
        self._values: dict[str, deque[tuple[datetime, float | None]]] = {}

    def observe(self, at: datetime, seen: Observation, policy: Policy) -> None:
        """Take in what was seen at ``at``. What could not be asked has no value then."""
        falls = {rule.identity for rule in policy.compiled.rules if not rule.rises}
        signals = {signal.identity: signal for signal in policy.compiled.signals}
        for gone in self._values.keys() - signals.keys():
            del self._values[gone]
        for identity, signal in signals.items():
            value = worst(seen.answer(signal.expr), falls=identity in falls)
            points = self._values.setdefault(identity, deque())
            while points and points[-1][0] >= at:
                points.pop()  # the clock was set back: what is ahead of it is no longer now
            points.append((at, value))
            while points[0][0] < at - SPAN:
                points.popleft()

    def last(self, identity: str) -> float | None:
        """The newest value of ``layer.signal``; None where there was no data."""
        points = list(self._values.get(identity, ()))  # another thread observes
        return points[-1][1] if points else None

    def points(self, identity: str) -> list[float | None]:
        """The values of ``layer.signal``, oldest first, at most 60."""
        values = [value for _, value in list(self._values.get(identity, ()))]
        if len(values) <= MAX_POINTS:
            return values
        step = len(values) / MAX_POINTS
        return [values[min(int((i + 1) * step) - 1, len(values) - 1)] for i in range(MAX_POINTS)]


def worst(answer: Answer, *, falls: bool) -> float | None:
    """The value furthest on the bad side; None where there is no data. A NaN counts as no data."""
    if isinstance(answer, Failure):
        return None
    values = [value for value in answer.values() if not math.isnan(value)]
    if not values:
        return None
    return number(min(values) if falls else max(values))


def number(value: float) -> float | None:
    """``value`` as JSON can say it: an infinite one as the largest there is, no number as None."""
    if math.isnan(value):
        return None
    return max(-sys.float_info.max, min(value, sys.float_info.max))


def layers(
    policy: Policy,
    history: History,
    alerts: Sequence[Alert],
    standings: Mapping[str, Standing],
    halted: str | None = None,
) -> list[dict[str, Any]]:
    """Every layer with its signals, in the runbook's order. ``halted``: why rules are not evaluated now."""
    rules: dict[str, list[CompiledRule]] = {}
    for rule in policy.compiled.rules:
        rules.setdefault(rule.identity, []).append(rule)
    by_rule: dict[str, list[Alert]] = {}
    for alert in alerts:
        by_rule.setdefault(dict(alert.labels).get("alertname", ""), []).append(alert)
    compiled = {signal.identity: signal for signal in policy.compiled.signals}
    rows = []
    for layer in policy.runbook.monitoring.layers:
        signals = []
        for line in layer.signals:
            signal = compiled[f"{layer.id}.{line.id}"]
            state, why = _state(signal, rules.get(signal.identity, ()), by_rule, standings, halted)
            value = None if halted else history.last(signal.identity)
            signals.append(_signal(line, signal, value, history.points(signal.identity), state, why))
        rows.append({"id": layer.id, "title": layer.title, "signals": signals})
    return rows


def _signal(
    line: Signal,
    signal: CompiledSignal,
    value: float | None,
    points: list[float | None],
    state: str,
    why: str | None,
) -> dict[str, Any]:
    return {
        "id": signal.signal,
        "title": line.title,
        "unit": signal.unit,
        "value": value,
        "points": points,
        "state": state,
        "why": why if value is None else None,
        "warn": [_short(threshold) for threshold in line.warn],
        "page": [_short(threshold) for threshold in line.page],
        "clauses": list(signal.clauses),
    }


def _short(threshold: Threshold) -> str:
    """The threshold as the runbook writes it: ``> 3% over 5m``."""
    text = f"{threshold.operator} {threshold.figure.text}"
    if threshold.over is not None:
        text += f" over {threshold.over.text}"
    if threshold.for_ is not None:
        text += f" for {threshold.for_.text}"
    return text


def _state(
    signal: CompiledSignal,
    rules: Sequence[CompiledRule],
    alerts: Mapping[str, Sequence[Alert]],
    standings: Mapping[str, Standing],
    halted: str | None,
) -> tuple[str, str | None]:
    found: set[str] = set()
    for rule in rules:
        for alert in alerts.get(rule.name, ()):
            if alert.state is AlertState.FIRING:
                found.add(rule.severity)
            elif alert.state is AlertState.PENDING:
                found.add("pending")
    for state in ("page", "warn", "pending"):
        if state in found:
            return state, halted
    if halted:
        return "unknown", halted
    for clause in signal.clauses:
        standing = standings.get(clause)
        if standing is None:
            return "unknown", "not evaluated yet"
        if standing.verdict in ("unknown", "missed"):
            return standing.verdict, standing.summary.removeprefix(f"{signal.title}: ")
    return ("ok" if rules else "shown"), None


def alert_rows(
    alerts: Iterable[Alert], quiet: Mapping[str, Inhibited], summaries: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The alerts that are pending or firing; ``summaries`` are what they say, by fingerprint."""
    rows = []
    for alert in alerts:
        if alert.state is AlertState.RESOLVED:
            continue
        labels = dict(alert.labels)
        inhibited = quiet.get(alert.fingerprint)
        rows.append(
            {
                "fingerprint": alert.fingerprint,
                "alertname": labels.pop("alertname", ""),
                "severity": labels.pop("severity", ""),
                "clause": labels.pop("clause", None),
                "state": alert.state.value,
                "labels": labels,
                "summary": summaries[alert.fingerprint],
                "value": number(alert.value),
                "active_ms": to_ms(alert.active_at),
                "fired_ms": to_ms(alert.fired_at) if alert.fired_at else None,
                "inhibited_by": inhibited.by_name if inhibited else None,
            }
        )
    return rows
