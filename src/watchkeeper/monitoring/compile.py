"""The runbook's monitoring section as alerting rules: one standard Prometheus rule for each threshold.

Always true: every threshold and every ``missing: {as: warn|page}`` has exactly one rule; rule names are
unique; a rule's ``expr`` is plain PromQL that means the same in our engine, in Prometheus and in an
exported file. What such a file cannot say stands beside it in :class:`CompiledRule`.
(tests/monitoring/test_compile.py)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from watchkeeper.monitoring import expressions
from watchkeeper.monitoring.promql.ast import PromQLError
from watchkeeper.monitoring.promql.parser import parse
from watchkeeper.runbook.clauses import threshold_clause_id, threshold_words
from watchkeeper.runbook.models.monitoring import (
    SEVERITIES,
    Layer,
    Missing,
    Severity,
    Signal,
    Threshold,
    Unit,
)
from watchkeeper.runbook.models.quantities import Duration
from watchkeeper.runbook.models.references import fill_window
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.rendering import playbook_anchor
from watchkeeper.runbook.sentences import Loc, fill

Pairs = tuple[tuple[str, str], ...]
RULE_FAILED = "WatchkeeperRuleFailed"
"""The alert that says a rule could not be evaluated; its severity is the rule's own."""
METRICS_UNREACHABLE = "WatchkeeperMetricsUnreachable"
"""The alert that says nothing could be asked at all, so that no rule was evaluated; it pages."""
RESERVED = frozenset({RULE_FAILED, METRICS_UNREACHABLE})
_NO_TIME = timedelta(0)


class CompileError(ValueError):
    """A signal of the runbook cannot become a rule; says which, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """One alerting rule, and what a rule file cannot say about it.

    ``expr`` is the whole rule. ``value_expr`` is the signal alone, without comparison: where it has no
    element the clause is *unknown*. ``line_expr`` and ``clear_expr`` are the two halves of hysteresis for a
    source that has no ``ALERTS`` series of ours. ``annotations`` are Prometheus templates.
    """

    name: str
    clause: str
    layer: str
    signal: str
    severity: Severity
    expr: str
    value_expr: str
    line_expr: str
    title: str
    words: str
    unit: Unit
    rises: bool
    """Whether it is a high value that is bad."""
    hold: timedelta = _NO_TIME
    keep_firing_for: timedelta = _NO_TIME
    labels: Pairs = ()
    annotations: Pairs = ()
    guard_expr: str | None = None
    clear_expr: str | None = None
    playbook: str | None = None
    kind: Literal["threshold", "missing"] = "threshold"
    loc: Loc = ()
    """Where the threshold stands in the runbook, for messages about the rule."""

    @property
    def identity(self) -> str:
        """``layer.signal``, as the runbook refers to it."""
        return f"{self.layer}.{self.signal}"


@dataclass(frozen=True, slots=True)
class CompiledSignal:
    """A signal as it is shown and as its absence is judged. ``clauses`` are all that need it."""

    layer: str
    signal: str
    title: str
    unit: Unit
    expr: str
    guarded: bool
    """Whether a guard judges its traffic; then a value of NaN means no traffic, not no data."""
    missing: Missing
    clauses: tuple[str, ...]
    has_rules: bool
    loc: Loc = ()

    @property
    def identity(self) -> str:
        """``layer.signal``"""
        return f"{self.layer}.{self.signal}"


@dataclass(frozen=True, slots=True)
class Compiled:
    """The whole monitoring section, compiled."""

    rules: tuple[CompiledRule, ...]
    signals: tuple[CompiledSignal, ...]
    _by_name: dict[str, CompiledRule] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._by_name.update((rule.name, rule) for rule in self.rules)

    def rule(self, name: str) -> CompiledRule | None:
        """The rule of that alert name, if there is one."""
        return self._by_name.get(name)


def compile_runbook(runbook: Runbook, external_url: str = "") -> Compiled:
    """The rules and signals of ``runbook``, in its order; links that begin with ``/`` go to ``external_url``.

    Raises :class:`CompileError` for an expression that cannot be read.
    """
    compiler = _Compiler(runbook, external_url.rstrip("/"))
    rules: list[CompiledRule] = []
    signals: list[CompiledSignal] = []
    for layer_index, layer in enumerate(runbook.monitoring.layers):
        for signal_index, signal in enumerate(layer.signals):
            loc: Loc = ("monitoring", "layers", layer_index, "signals", signal_index)
            made = list(compiler.signal(layer, signal, loc))
            rules += made
            signals.append(compiler.shown(layer, signal, loc, made))
    return Compiled(tuple(rules), tuple(signals))


class _Compiler:
    def __init__(self, runbook: Runbook, external_url: str) -> None:
        self._runbook = runbook
        self._external_url = external_url
        self._names: set[str] = set(RESERVED)

    def signal(self, layer: Layer, signal: Signal, loc: Loc) -> Iterator[CompiledRule]:
        for severity in SEVERITIES:
            for index, threshold in enumerate(signal.thresholds(severity)):
                yield self._threshold(layer, signal, severity, index, threshold, (*loc, severity, index))
        policy = self._runbook.monitoring.missing_policy(signal)
        if policy.as_ != "unknown":
            yield self._missing(layer, signal, policy.as_, policy, loc)

    def shown(self, layer: Layer, signal: Signal, loc: Loc, rules: list[CompiledRule]) -> CompiledSignal:
        own = tuple(rule.clause for rule in rules if rule.kind == "threshold")
        return CompiledSignal(
            layer=layer.id,
            signal=signal.id,
            title=f"{layer.title}: {signal.title}",
            unit=signal.unit,
            expr=self._value(layer, signal, self._runbook.monitoring.window_of(signal), loc),
            guarded=bool(signal.guard),
            missing=self._runbook.monitoring.missing_policy(signal),
            clauses=own or (f"monitoring.{layer.id}.{signal.id}.present",),
            has_rules=bool(rules),
            loc=loc,
        )

    def _threshold(
        self, layer: Layer, signal: Signal, severity: Severity, index: int, threshold: Threshold, loc: Loc
    ) -> CompiledRule:
        window = self._runbook.monitoring.window_of(signal, threshold)
        value = self._value(layer, signal, window, loc)
        guard = self._filled(signal.guard, window, loc) if signal.guard else None
        suffix = threshold.id or (str(index + 1) if index else "")
        name = self._unique(camel_case(layer.id, signal.id, severity, suffix))
        labels = (("layer", layer.id), ("severity", severity), ("signal", signal.id))
        line = expressions.compared(value, threshold.operator, threshold.figure)
        keep = None
        if threshold.clear is not None:
            keep = expressions.compared(value, threshold.operator, threshold.clear)
        whole = line if keep is None else expressions.latched(line, keep, name, [key for key, _ in labels])
        clause = threshold_clause_id(layer, signal, severity, index)
        words = threshold_words(threshold)
        return CompiledRule(
            name=name,
            clause=clause,
            layer=layer.id,
            signal=signal.id,
            severity=severity,
            expr=expressions.guarded(whole, guard, value),
            value_expr=value,
            line_expr=expressions.guarded(line, guard, value),
            clear_expr=None if keep is None else expressions.guarded(keep, guard, value),
            guard_expr=guard,
            title=f"{layer.title}: {signal.title}",
            words=words,
            unit=signal.unit,
            rises=threshold.rises,
            hold=threshold.for_ or _NO_TIME,
            keep_firing_for=threshold.keep_firing_for or _NO_TIME,
            labels=labels,
            annotations=self._annotations(
                layer, signal, threshold, clause, self._summary(layer, signal, threshold, value, words)
            ),
            playbook=self._runbook.monitoring.playbook_of(layer, signal, threshold),
            loc=loc,
        )

    def _missing(
        self, layer: Layer, signal: Signal, severity: Severity, policy: Missing, loc: Loc
    ) -> CompiledRule:
        value = self._value(layer, signal, self._runbook.monitoring.window_of(signal), loc)
        clause = self._clause_of_missing(layer, signal)
        summary = f"{layer.title}: {signal.title} has no data, so nobody knows whether it is well"
        expr = expressions.absent(value)
        return CompiledRule(
            name=self._unique(camel_case(layer.id, signal.id, "missing")),
            clause=clause,
            layer=layer.id,
            signal=signal.id,
            severity=severity,
            expr=expr,
            value_expr=value,
            line_expr=expr,
            title=f"{layer.title}: {signal.title}",
            words=f"no data for {policy.after.words}",
            unit=signal.unit,
            rises=True,
            hold=policy.after,
            labels=(("layer", layer.id), ("severity", severity), ("signal", signal.id)),
            annotations=self._annotations(layer, signal, None, clause, summary),
            playbook=self._runbook.monitoring.playbook_of(layer, signal),
            kind="missing",
            loc=loc,
        )

    @staticmethod
    def _clause_of_missing(layer: Layer, signal: Signal) -> str:
        for severity in reversed(SEVERITIES):
            if signal.thresholds(severity):
                return threshold_clause_id(layer, signal, severity, 0)
        return f"monitoring.{layer.id}.{signal.id}.present"

    def _value(self, layer: Layer, signal: Signal, window: Duration, loc: Loc) -> str:
        return self._filled(signal.expr, window, loc)

    def _filled(self, alternatives: tuple[str, ...], window: Duration, loc: Loc) -> str:
        texts = [fill_window(text, window.text) for text in alternatives]
        try:
            for text in texts:
                parse(text)
            return expressions.first_with_data(texts)
        except PromQLError as error:
            layer, signal = self._runbook.monitoring.layers[_index(loc, 2)], ""
            signal = layer.signals[_index(loc, 4)].id
            raise CompileError(f"monitoring.{layer.id}.{signal}: bad PromQL: {error.message}") from error

    def _unique(self, name: str) -> str:
        unique, number = name, 2
        while unique in self._names:
            unique, number = f"{name}{number}", number + 1
        self._names.add(unique)
        return unique

    def _annotations(
        self, layer: Layer, signal: Signal, threshold: Threshold | None, clause: str, summary: str
    ) -> Pairs:
        hygiene = self._runbook.monitoring.hygiene
        playbook = self._runbook.monitoring.playbook_of(layer, signal, threshold)
        anchor = playbook_anchor(playbook) if playbook else clause
        pairs = [
            ("clause", clause),
            ("runbook_url", f"{self._absolute(hygiene.runbook_url)}#{anchor}"),
            ("summary", summary),
        ]
        dashboard = signal.dashboard or layer.dashboard
        if hygiene.dashboard_url is not None:
            base = self._absolute(hygiene.dashboard_url).rstrip("/")
            pairs.append(("dashboard_url", f"{base}/{dashboard.lstrip('/')}" if dashboard else base))
        return tuple(sorted(pairs))

    def _absolute(self, url: str) -> str:
        return f"{self._external_url}{url}" if url.startswith("/") else url

    def _summary(self, layer: Layer, signal: Signal, threshold: Threshold, value: str, words: str) -> str:
        if threshold.summary is not None:
            scopes = (threshold, signal, layer, self._runbook.monitoring, self._runbook)
            return fill(threshold.summary, scopes)
        names = expressions.result_labels(parse(value))
        common = self._runbook.monitoring.hygiene.required_labels
        own = sorted(names - set(common)) if names is not None else []
        kept = [name for name in common if names is None or name in names]
        where = ", ".join(f"{name} {{{{ $labels.{name} }}}}" for name in (*own, *kept))
        return f"{signal.title}: {_HUMANIZED[signal.unit]}, {words}" + (f"; {where}" if where else "")


_HUMANIZED = {
    "ratio": "{{ $value | humanizePercentage }}",
    "seconds": "{{ $value | humanizeDuration }}",
    "bytes": "{{ $value | humanize1024 }}B",
    "count": "{{ $value | humanize }}",
    "per_second": "{{ $value | humanize }}/s",
    "score": "{{ $value | humanize }}",
    "cores": "{{ $value | humanize }} cores",
    "state": "{{ $value | humanize }}",
}


def camel_case(*ids: str) -> str:
    """Ids as one name: ``api``, ``error-rate``, ``page`` is ``ApiErrorRatePage``."""
    words = (word for part in ids for word in re.split(r"[-_]", part) if word)
    return "".join(word[0].upper() + word[1:] for word in words)


def _index(loc: Loc, position: int) -> int:
    index = loc[position]
    assert isinstance(index, int)
    return index
