"""Rules over given series, evaluation by evaluation: what alerts fire, and what the rules record.

Always true: the rules see what Prometheus' own would see: the samples up to the evaluation, what earlier
rules of it recorded, and ``ALERTS`` and ``ALERTS_FOR_STATE``; a recorded series that a rule no longer
gives ends with a staleness marker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from watchkeeper.monitoring.alerts import Alert, AlertError, Alerts, AlertState, Element, Timing, step
from watchkeeper.monitoring.labels import METRIC_NAME, Labels, label_set
from watchkeeper.monitoring.promql.ast import (
    MatrixSelector,
    PromQLError,
    Subquery,
    ValueType,
    VectorSelector,
)
from watchkeeper.monitoring.promql.engine import Engine
from watchkeeper.monitoring.promql.parser import parse
from watchkeeper.monitoring.promql.result import EvaluationError
from watchkeeper.monitoring.promql.series_notation import SeriesText, Special
from watchkeeper.monitoring.promql.traversal import walk
from watchkeeper.monitoring.rulefile import Rule, RuleGroup
from watchkeeper.monitoring.samples.frame import STALE, STALE_BITS
from watchkeeper.monitoring.samples.memory import MemoryStorage
from watchkeeper.monitoring.templates import External, TemplateError, expand

Firing = tuple[Labels, tuple[tuple[str, str], ...]]
"""The labels and the annotations of a firing alert."""
Sample = tuple[Labels, float]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_LIMIT = 2**31


class RuleEvaluationError(ValueError):
    """A rule that could not be evaluated."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


@dataclass
class _State:
    """What one rule leaves for its next evaluation."""

    rule: Rule
    group: RuleGroup
    alerts: Alerts = field(default_factory=dict)
    annotations: dict[Labels, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    written: set[Labels] = field(default_factory=set)


class Replay:
    """``groups`` over ``series``, whose values are ``interval_ms`` apart. Times count from ``start_ms``."""

    def __init__(
        self,
        groups: Sequence[RuleGroup],
        series: Iterable[SeriesText],
        interval_ms: int,
        evaluation_interval_ms: int,
        external: External,
        start_ms: int = 0,
    ) -> None:
        self._states = [_State(rule, group) for group in groups for rule in group.rules]
        self._series = tuple(series)
        self._interval_ms = interval_ms
        self._external = external
        self._start_ms = start_ms
        self._loaded_ms = -1
        self._until_ms = 0
        self._ahead = False
        self._storage = MemoryStorage()
        self._engine = Engine(self._storage, default_step_ms=evaluation_interval_ms)

    def load(self, until_ms: int, exprs: Iterable[str]) -> None:
        """There are samples up to ``until_ms``; ``exprs`` will be queried besides the rules.

        They are put into the storage at once, unless an expression could see samples ahead of its time.
        """
        self._until_ms = until_ms
        exprs = [*exprs, *(state.rule.expr for state in self._states)]
        self._ahead = any(_looks_ahead(expr) for expr in exprs)
        if not self._ahead:
            self._append(until_ms)

    def evaluate(self, at_ms: int) -> None:
        """One evaluation of all rules, in order. Raises :class:`RuleEvaluationError`."""
        if self._ahead:
            self._append(at_ms)
        for state in self._states:
            self._evaluate(state, self._start_ms + at_ms)

    def firing(self, alertname: str) -> list[Firing]:
        """The alerts of that name that fire after the last evaluation."""
        return [
            (alert.labels, state.annotations[alert.labels])
            for state in self._states
            if state.rule.alert == alertname
            for alert in state.alerts.values()
            if alert.state is AlertState.FIRING
        ]

    def query(self, expr: str, at_ms: int) -> list[Sample]:
        """What ``expr`` gives. Raises :class:`ValueError` where it cannot be evaluated."""
        return self._query(expr, self._start_ms + at_ms)

    # -- samples -------------------------------------------------------------------------------

    def _append(self, until_ms: int) -> None:
        first, last = self._loaded_ms // self._interval_ms + 1, until_ms // self._interval_ms
        for series in self._series:
            kept = [
                (position, value)
                for position, value in enumerate(series.values[first : last + 1], first)
                if value is not Special.OMITTED
            ]
            if not kept:
                continue
            times = (
                np.array([position for position, _ in kept], np.int64) * self._interval_ms + self._start_ms
            )
            values = np.array([0.0 if isinstance(value, Special) else value for _, value in kept])
            values.view(np.uint64)[[value is Special.STALE for _, value in kept]] = STALE_BITS
            self._storage.add(series.labels, times, values)
        self._loaded_ms = until_ms

    def _query(self, expr: str, at_ms: int) -> list[Sample]:
        result = self._engine.instant(expr, at_ms)
        if result.type is ValueType.SCALAR:
            return [((), result.scalar)]
        if result.type is not ValueType.VECTOR:
            raise EvaluationError("rule result is not a vector or scalar")
        return [(series.labels, series.points[-1][1]) for series in result.series]

    def _write(self, state: _State, samples: dict[Labels, float], at_ms: int) -> None:
        for labels, value in samples.items():
            self._storage.add(labels, [at_ms], [value])
        for labels in state.written - samples.keys():
            self._storage.add(labels, [at_ms], STALE)
        state.written = set(samples)

    # -- rules ---------------------------------------------------------------------------------

    def _evaluate(self, state: _State, at_ms: int) -> None:
        rule = state.rule
        try:
            result = self._query(rule.expr, at_ms - (state.group.query_offset_ms or 0))
            samples = self._alert(state, result, at_ms) if rule.alert else _recorded(state, result)
        except (PromQLError, EvaluationError, AlertError) as error:
            raise RuleEvaluationError(rule.name, str(error)) from None
        self._write(state, samples, at_ms)

    def _alert(self, state: _State, result: list[Sample], at_ms: int) -> dict[Labels, float]:
        rule = state.rule
        timing = Timing(
            hold=timedelta(milliseconds=rule.for_ms),
            keep_firing_for=timedelta(milliseconds=rule.keep_firing_for_ms),
            limit=state.group.limit or _NO_LIMIT,
        )
        elements = []
        for labels, value in result:
            mine = dict(labels)
            own = {**dict(state.group.labels), **dict(rule.labels)}
            filled = {name: self._filled(text, mine, value) for name, text in own.items()}
            merged = {**mine, **filled, "alertname": rule.alert}
            merged.pop(METRIC_NAME, None)
            element = Element(label_set(merged.items()), value)
            elements.append(element)
            state.annotations[element.labels] = tuple(
                (name, self._filled(text, mine, value)) for name, text in rule.annotations
            )
        now = _EPOCH + timedelta(milliseconds=at_ms)
        state.alerts, _ = step(state.alerts, elements, timing, now)
        samples: dict[Labels, float] = {}
        for alert in state.alerts.values():
            if alert.state is not AlertState.RESOLVED:
                samples.update(_alert_samples(alert))
        return samples

    def _filled(self, text: str, labels: dict[str, str], value: float) -> str:
        try:
            return expand(text, labels, value, self._external)
        except TemplateError as error:
            return f"<error expanding template: {error.message}>"


def _alert_samples(alert: Alert) -> dict[Labels, float]:
    pairs = dict(alert.labels)
    shown = {**pairs, METRIC_NAME: "ALERTS", "alertstate": alert.state.value}
    since = {**pairs, METRIC_NAME: "ALERTS_FOR_STATE"}
    return {
        label_set(shown.items()): 1.0,
        label_set(since.items()): float((alert.active_at - _EPOCH) // timedelta(seconds=1)),
    }


def _recorded(state: _State, result: list[Sample]) -> dict[Labels, float]:
    rule = state.rule
    limit = state.group.limit
    if limit and len(result) > limit:
        raise EvaluationError(f"exceeded limit of {limit} with {len(result)} series")
    samples: dict[Labels, float] = {}
    for labels, value in result:
        own = {**dict(state.group.labels), **dict(rule.labels), METRIC_NAME: rule.record}
        merged = label_set({**dict(labels), **own}.items())
        if merged in samples:
            raise EvaluationError("vector contains metrics with the same labelset after applying rule labels")
        samples[merged] = value
    return samples


def _looks_ahead(text: str) -> bool:
    """Could ``text`` read samples that are later than its evaluation?"""
    try:
        expr = parse(text)
    except PromQLError:
        return False
    for node in walk(expr):
        target = node.selector if isinstance(node, MatrixSelector) else node
        if isinstance(target, (VectorSelector, Subquery)) and (target.offset_ms < 0 or target.at is not None):
            return True
    return False
