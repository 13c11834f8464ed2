"""One evaluation, decided: from what the source answered to what changes, is told and is proved. Pure.

Always true after :func:`decide`: a rule without an answer leaves its alerts exactly as they were and is
itself an alert (``WatchkeeperRuleFailed``, or one ``WatchkeeperMetricsUnreachable`` where nothing could be
asked); as long as the runbook says that silence means nothing (``missing.after``), the alerts of a service
that fell silent neither end nor come closer to firing; the alerts of a rule that is gone from the runbook
resolve; a clause whose rule failed is unknown (tests/monitoring/test_evaluation.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from watchkeeper.monitoring import clauses, grouping
from watchkeeper.monitoring.alerts import (
    Alert,
    AlertError,
    Alerts,
    AlertState,
    Element,
    Timing,
    Transition,
    clock_step,
    fingerprint_of,
    moved,
    step,
)
from watchkeeper.monitoring.clauses import Recorded, Standing
from watchkeeper.monitoring.compile import METRICS_UNREACHABLE, RULE_FAILED, Compiled, CompiledRule
from watchkeeper.monitoring.grouping import Groups, Send
from watchkeeper.monitoring.inhibition import Inhibited, inhibited
from watchkeeper.monitoring.labels import METRIC_NAME, Labels, label_set
from watchkeeper.monitoring.maintenance import in_maintenance
from watchkeeper.monitoring.missing import WHOLE, Observed, Presence, observe, project
from watchkeeper.monitoring.silences import Silence, silenced
from watchkeeper.monitoring.source import Answer, Failure, Vector
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.models.waivers import Waiver

NOT_ASKED = Failure("it was not evaluated")


@dataclass(frozen=True)
class Policy:
    """What decides, fixed until the runbook is loaded anew."""

    runbook: Runbook
    compiled: Compiled
    interval: timedelta
    failure_hold: timedelta = timedelta(0)
    """How long a rule must fail before that is an alert; zero where failing cannot be a passing thing."""

    @property
    def required_labels(self) -> tuple[str, ...]:
        """The labels that tell one service from another."""
        return self.runbook.monitoring.hygiene.required_labels

    @cached_property
    def patience(self) -> Mapping[str, timedelta]:
        """How long each signal may be silent before that means anything, by ``layer.signal``."""
        return {signal.identity: signal.missing.after for signal in self.compiled.signals}

    @cached_property
    def waivers(self) -> Mapping[str, Waiver]:
        """The waivers by clause."""
        return {waiver.clause: waiver for waiver in self.runbook.waivers}

    @cached_property
    def rule_queries(self) -> tuple[str, ...]:
        """What must be asked for the rules and for the signals that have some, each text once."""
        wanted: dict[str, None] = {}
        for rule in self.compiled.rules:
            if rule.kind == "threshold":
                wanted.update(dict.fromkeys(queries_of(rule)))
                wanted[rule.value_expr] = None
        for signal in self.compiled.signals:
            if signal.has_rules:
                wanted[signal.expr] = None
        return tuple(wanted)

    @cached_property
    def queries(self) -> tuple[str, ...]:
        """Everything that can be asked: also for the signals that are only shown."""
        return tuple(dict.fromkeys([*self.rule_queries, *(one.expr for one in self.compiled.signals)]))


def queries_of(rule: CompiledRule) -> tuple[str, ...]:
    """What is asked for the rule itself. Hysteresis is judged by our own alerts, which a restart keeps."""
    return (rule.line_expr,) if rule.clear_expr is None else (rule.line_expr, rule.clear_expr)


@dataclass(frozen=True, slots=True)
class State:
    """What is known between evaluations; all of it survives a restart."""

    alerts: Mapping[str, Alerts] = field(default_factory=dict)
    """By rule name."""
    presence: Mapping[str, Presence] = field(default_factory=dict)
    """By ``layer.signal``."""
    groups: Groups = field(default_factory=dict)
    recorded: Mapping[str, Recorded] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    """The rules that could not be evaluated the last time, and why."""
    evaluated_at: datetime | None = None

    def every_alert(self) -> Iterable[Alert]:
        """All alerts of all rules."""
        for alerts in self.alerts.values():
            yield from alerts.values()


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen at ``at``: an answer per query, or why nothing could be asked."""

    at: datetime
    answers: Mapping[str, Answer] = field(default_factory=dict)
    unreachable: str | None = None
    watched: timedelta | None = None
    """Time that really passed since the observation before; None after a start."""
    silences: tuple[Silence, ...] = ()
    """Those whose end the journal has not seen."""

    def answer(self, query: str) -> Answer:
        """The answer to one query."""
        if self.unreachable is not None:
            return Failure(self.unreachable)
        return self.answers.get(query, NOT_ASKED)


@dataclass(frozen=True, slots=True)
class Decision:
    """What an evaluation changed. ``state`` holds from now on; the rest is to be recorded and told."""

    state: State
    transitions: tuple[tuple[str, Transition], ...]
    observed: Mapping[str, Observed]
    standings: Mapping[str, Standing]
    evidence: Mapping[str, Standing]
    sends: tuple[Send, ...]
    quiet: Mapping[str, Inhibited]
    failed: Mapping[str, str]
    """The rules that have no result this time, and why; ``newly_failed`` had one the time before."""
    newly_failed: Mapping[str, str]
    recovered: tuple[str, ...]
    clock_step: timedelta


def decide(
    state: State, seen: Observation, policy: Policy, others: Mapping[str, Standing] | None = None
) -> Decision:
    """What becomes of ``state`` after ``seen``. ``others`` are clauses that no sample can prove."""
    shift = clock_step(state.evaluated_at, seen.at, policy.interval, seen.watched)
    before = {name: moved(alerts, shift) for name, alerts in state.alerts.items()}
    presence = {name: known.moved(shift) for name, known in state.presence.items()}
    observed = _observe(presence, seen, policy)
    presence = {
        signal.identity: presence.get(signal.identity, Presence()) for signal in policy.compiled.signals
    }
    presence |= {name: found.presence for name, found in observed.items()}

    elapsed = timedelta(0) if state.evaluated_at is None else seen.at - state.evaluated_at - shift
    after, transitions, failed = _step_rules(before, presence, seen, policy, elapsed)
    _step_meta(before, after, transitions, failed, seen, policy)
    for name in before:
        if name not in after:  # gone from the runbook
            after[name], changes = step(before[name], (), Timing(), seen.at)
            transitions += [(name, change) for change in changes]

    everything = [alert for alerts in after.values() for alert in alerts.values()]
    quiet = inhibited(everything, policy.runbook.monitoring.inhibition)
    quiet |= in_maintenance(everything, policy.runbook.monitoring.maintenance, seen.at)
    quiet |= silenced(everything, seen.silences, seen.at)
    moved_groups = {key: group.moved(shift) for key, group in state.groups.items()}
    groups, sends = grouping.decide(moved_groups, everything, quiet, policy.runbook.notifications, seen.at)

    standings = _standings(after, presence, failed, seen, policy, others or {})
    evidence = clauses.due(standings, state.recorded, seen.at)
    known_failed = state.failed if seen.unreachable else failed  # unreachable says nothing of single rules
    recorded = dict(state.recorded)
    recorded.update((clause, Recorded(standing.verdict, seen.at)) for clause, standing in evidence.items())
    return Decision(
        state=State(
            alerts={name: alerts for name, alerts in after.items() if alerts},
            presence=presence,
            groups=groups,
            recorded=recorded,
            failed=known_failed,
            evaluated_at=seen.at,
        ),
        transitions=tuple(transitions),
        observed=observed,
        standings=standings,
        evidence=evidence,
        sends=sends,
        quiet=quiet,
        failed=failed,
        newly_failed={name: why for name, why in known_failed.items() if name not in state.failed},
        recovered=tuple(name for name in state.failed if name not in known_failed),
        clock_step=shift,
    )


def _observe(presence: Mapping[str, Presence], seen: Observation, policy: Policy) -> dict[str, Observed]:
    observed = {}
    for signal in policy.compiled.signals:
        answer = seen.answer(signal.expr)
        if isinstance(answer, Failure):
            continue
        there = (
            project(labels, policy.required_labels)
            for labels, value in answer.items()
            if signal.guarded or not math.isnan(value)
        )
        observed[signal.identity] = observe(presence.get(signal.identity, Presence()), there, seen.at)
    return observed


def _step_rules(
    before: Mapping[str, Alerts],
    presence: Mapping[str, Presence],
    seen: Observation,
    policy: Policy,
    elapsed: timedelta,
) -> tuple[dict[str, Alerts], list[tuple[str, Transition]], dict[str, str]]:
    after: dict[str, Alerts] = {}
    transitions: list[tuple[str, Transition]] = []
    failed: dict[str, str] = {}
    for rule in policy.compiled.rules:
        alerts = before.get(rule.name, {})
        result = _result(rule, alerts, presence, seen)
        if isinstance(result, Failure):
            after[rule.name], failed[rule.name] = alerts, result.message
            continue
        silent = _silent(rule, alerts, result, presence, policy)
        held = [Element(a.labels, a.value) for a in silent.values() if a.state is AlertState.FIRING]
        waiting = {key: a for key, a in silent.items() if a.state is AlertState.PENDING}
        heard = {key: a for key, a in alerts.items() if key not in waiting}
        try:
            stepped, changes = step(heard, [*result, *held], Timing(rule.hold, rule.keep_firing_for), seen.at)
        except AlertError as error:
            after[rule.name], failed[rule.name] = alerts, str(error)
            continue
        after[rule.name] = {**stepped, **moved(waiting, elapsed)}
        transitions += [(rule.name, change) for change in changes]
    return after, transitions, failed


def _silent(
    rule: CompiledRule,
    alerts: Alerts,
    result: Sequence[Element],
    presence: Mapping[str, Presence],
    policy: Policy,
) -> Alerts:
    """The alerts that the rule does not return because their service fell silent a moment ago."""
    if rule.kind == "missing" or not alerts:
        return {}
    known, patience = presence[rule.identity], policy.patience[rule.identity]
    quiet = {
        key: alert
        for key, alert in alerts.items()
        if known.excused(project(alert.labels, policy.required_labels), patience)
    }
    returned = {fingerprint_of(element.labels) for element in result} if quiet else set()
    return {key: alert for key, alert in quiet.items() if key not in returned}


def _result(
    rule: CompiledRule, alerts: Alerts, presence: Mapping[str, Presence], seen: Observation
) -> list[Element] | Failure:
    if rule.kind == "missing":
        if isinstance(unread := seen.answer(rule.value_expr), Failure):
            return unread
        missing = presence[rule.identity].missing()
        silent = (() if labels == WHOLE else labels for labels in missing)
        return [Element(alert_labels(rule, labels), 1.0) for labels in silent]
    line, *clear = (seen.answer(query) for query in queries_of(rule))
    if isinstance(line, Failure):
        return line
    elements = {alert_labels(rule, labels): value for labels, value in line.items()}
    if len(elements) != len(line):
        return Failure("two elements of the result differ only in labels that the rule sets")
    for held in clear:
        if isinstance(held, Failure):
            return held
        elements = _latched(rule, held, alerts) | elements
    return [Element(labels, value) for labels, value in elements.items()]


def _latched(rule: CompiledRule, held: Vector, alerts: Alerts) -> dict[Labels, float]:
    """The elements that are not back beyond the figure at which their firing alert may end."""
    found = {}
    for element, value in held.items():
        labels = alert_labels(rule, element)
        alert = alerts.get(fingerprint_of(labels))
        if alert is not None and alert.state is AlertState.FIRING:
            found[labels] = value
    return found


def alert_labels(rule: CompiledRule, element: Labels) -> Labels:
    """The labels of the alert for one element of the rule's result: the rule's own win over the element's."""
    merged = dict(element)
    merged.pop(METRIC_NAME, None)
    merged.update(rule.labels)
    merged["alertname"] = rule.name
    return label_set(merged.items())


def _step_meta(
    before: Mapping[str, Alerts],
    after: dict[str, Alerts],
    transitions: list[tuple[str, Transition]],
    failed: Mapping[str, str],
    seen: Observation,
    policy: Policy,
) -> None:
    """The alerts about the watching itself."""
    timing = Timing(hold=policy.failure_hold)
    unreachable = [Element(label_set([("alertname", METRICS_UNREACHABLE), ("severity", "page")]), 1.0)]
    after[METRICS_UNREACHABLE], changes = step(
        before.get(METRICS_UNREACHABLE, {}), unreachable if seen.unreachable else (), timing, seen.at
    )
    transitions += [(METRICS_UNREACHABLE, change) for change in changes]
    if seen.unreachable is not None:  # one alert says it; what failed before is not known to be well
        after[RULE_FAILED] = before.get(RULE_FAILED, {})
        return
    elements = [Element(failure_labels(rule), 1.0) for rule in policy.compiled.rules if rule.name in failed]
    after[RULE_FAILED], changes = step(before.get(RULE_FAILED, {}), elements, timing, seen.at)
    transitions += [(RULE_FAILED, change) for change in changes]


def failure_labels(rule: CompiledRule) -> Labels:
    """The labels of the alert that says ``rule`` could not be evaluated; as severe as the rule itself."""
    return label_set(
        [("alertname", RULE_FAILED), ("layer", rule.layer), ("rule", rule.name), ("severity", rule.severity)]
    )


def _standings(
    after: Mapping[str, Alerts],
    presence: Mapping[str, Presence],
    failed: Mapping[str, str],
    seen: Observation,
    policy: Policy,
    others: Mapping[str, Standing],
) -> dict[str, Standing]:
    standings: dict[str, Standing] = dict(others)
    overdue: dict[str, Sequence[Labels]] = {
        signal.identity: presence[signal.identity].overdue(signal.missing.after)
        for signal in policy.compiled.signals
    }
    for rule in policy.compiled.rules:
        if rule.kind == "threshold":
            standings[rule.clause] = clauses.of_threshold(
                rule,
                failed.get(rule.name),
                seen.answer(rule.value_expr),
                after[rule.name].values(),
                overdue[rule.identity],
            )
    for signal in policy.compiled.signals:
        for clause in signal.clauses:
            if clause not in standings:
                standings[clause] = clauses.of_presence(
                    signal, seen.answer(signal.expr), overdue[signal.identity]
                )
    waivers, today = policy.waivers, seen.at.date()
    return {
        clause: clauses.waived(standing, clause, waivers, today) for clause, standing in standings.items()
    }
