"""The compiled runbook as rule groups for a Prometheus: one group for each layer.

Always true: the rules stand in the runbook's order, with the expressions, labels and annotations that
our own engine evaluates; nothing that a rule file cannot say is put into it.
"""

from __future__ import annotations

from datetime import timedelta

from watchkeeper.monitoring.compile import Compiled, CompiledRule
from watchkeeper.monitoring.rulefile import Rule, RuleGroup


def rule_groups(compiled: Compiled, interval: timedelta | None = None) -> list[RuleGroup]:
    """The groups of ``compiled``, evaluated every ``interval`` (None: as often as their reader likes)."""
    by_layer: dict[str, list[Rule]] = {}
    for rule in compiled.rules:
        by_layer.setdefault(rule.layer, []).append(_rule(rule))
    interval_ms = None if interval is None else _ms(interval)
    return [
        RuleGroup(name=f"watchkeeper.{layer}", rules=tuple(rules), interval_ms=interval_ms)
        for layer, rules in by_layer.items()
    ]


def _rule(rule: CompiledRule) -> Rule:
    return Rule(
        expr=rule.expr,
        alert=rule.name,
        for_ms=_ms(rule.hold),
        keep_firing_for_ms=_ms(rule.keep_firing_for),
        labels=tuple(sorted(rule.labels)),
        annotations=tuple(sorted(rule.annotations)),
    )


def _ms(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)
