"""What is said about an alert: its annotations, the notification of a group, the journal's subject.

Always true: a template that cannot be filled never keeps an alert from being told; its text then says so.
Nothing here holds a secret (tests/monitoring/test_wording.py).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from watchkeeper.monitoring.alerts import Alert, AlertState
from watchkeeper.monitoring.clauses import labels_in_words
from watchkeeper.monitoring.compile import METRICS_UNREACHABLE, RULE_FAILED, Compiled, CompiledRule
from watchkeeper.monitoring.grouping import Occasion, Send
from watchkeeper.monitoring.labels import Labels
from watchkeeper.monitoring.templates import TemplateError, expand
from watchkeeper.notify.models import Kind, Link, Member, Notification

KINDS_NAMED = 4
MEMBERS_TOLD = 50
"""Alerts listed in the notification of a group; the rest is counted."""


class Wording:
    """What is said about the alerts of one compiled runbook."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled

    def rule_of(self, alert: Alert) -> CompiledRule | None:
        """The rule that an alert is of, or that it says could not be evaluated; None where it is gone."""
        labels = dict(alert.labels)
        name = (
            labels.get("rule", "") if labels.get("alertname") == RULE_FAILED else labels.get("alertname", "")
        )
        return self._compiled.rule(name)

    def clause(self, alert: Alert) -> str | None:
        """The clause that the alert is about."""
        rule = self.rule_of(alert)
        return None if rule is None else rule.clause

    def annotations(self, alert: Alert) -> dict[str, str]:
        """The alert's annotations, with its labels and value filled in."""
        labels = dict(alert.labels)
        rule = self.rule_of(alert)
        if labels.get("alertname") == METRICS_UNREACHABLE:
            return {"summary": "The metrics cannot be read, so nothing is watched: no rule can be evaluated"}
        if rule is None:
            return {"summary": f"{labels.get('alertname', 'An alert')} {labels_in_words(alert.labels)}"}
        if labels.get("alertname") == RULE_FAILED:
            own = {name: text for name, text in rule.annotations if name not in ("summary", "dashboard_url")}
            return {**own, "summary": f"{rule.title}: the rule cannot be evaluated, so nobody watches it"}
        return {name: _filled(text, labels, alert.value) for name, text in rule.annotations}

    def notification(self, send: Send, now: datetime) -> Notification:
        """What is told to the receivers of a group."""
        alerts = sorted(send.alerts, key=lambda alert: (severity(alert.labels) != "page", alert.active_at))
        ended = send.occasion is Occasion.RESOLVE
        if not alerts:
            return self._forgotten(send, now)
        first = alerts[0]
        annotations = self.annotations(first)
        rule = self.rule_of(first)
        summary = annotations.get("summary", first.fingerprint)
        if send.group.storm:
            summary = self._storm(alerts)
        elif len(alerts) > 1:
            summary = f"{len(alerts)} alerts: {summary}"
        return Notification(
            kind=Kind.RESOLVE if ended else Kind.TRIGGER,
            dedup_key=send.group.dedup_key,
            order_key=send.group.dedup_key,
            subject=subject(first),
            alertname=dict(first.labels).get("alertname", ""),
            severity=severity(first.labels),
            summary=summary,
            starts_at=min(alert.active_at for alert in alerts),
            ends_at=now if ended else None,
            clause=None if rule is None else rule.clause,
            labels=_common([alert.labels for alert in alerts]),
            annotations=annotations,
            value=number(first.value),
            playbook=None if rule is None else rule.playbook,
            links=_links(annotations),
            members=self._members(alerts) if len(alerts) > 1 else (),
            note=_NOTES[send.occasion],
            alerts=len(alerts) if len(alerts) > 1 else 0,
        )

    def _storm(self, alerts: Sequence[Alert]) -> str:
        """What is broken, with counts: ``812 alerts: HTTP error rate ×800, Queue depth ×12; 9 services``."""
        kinds: Counter[str] = Counter()
        for alert in alerts:
            rule = self.rule_of(alert)
            kinds[rule.title if rule else dict(alert.labels).get("alertname", "alert")] += 1
        named = [f"{title} ×{count:,}" for title, count in kinds.most_common(KINDS_NAMED)]
        if len(kinds) > KINDS_NAMED:
            named.append(f"{len(kinds) - KINDS_NAMED} more kinds")
        services = {dict(alert.labels).get("service", "") for alert in alerts} - {""}
        where = f"; {len(services):,} services" if len(services) > 1 else ""
        return f"{len(alerts):,} alerts: {', '.join(named)}{where}"

    def _members(self, alerts: Sequence[Alert]) -> tuple[Member, ...]:
        return tuple(
            Member(
                fingerprint=alert.fingerprint,
                state="resolved" if alert.state is AlertState.RESOLVED else "firing",
                labels=dict(alert.labels),
                starts_at=alert.active_at,
                value=number(alert.value),
                summary=self.annotations(alert).get("summary", ""),
            )
            for alert in alerts[:MEMBERS_TOLD]
        )

    def _forgotten(self, send: Send, now: datetime) -> Notification:
        labels = dict(send.group.labels)
        name = labels.get("alertname", "alert")
        return Notification(
            kind=Kind.RESOLVE,
            dedup_key=send.group.dedup_key,
            order_key=send.group.dedup_key,
            subject=f"group:{send.group.dedup_key}",
            alertname=name,
            severity=labels.get("severity", "page"),
            summary=f"{name} {labels_in_words(send.group.labels)}",
            starts_at=send.group.opened_at,
            ends_at=now,
            labels=labels,
        )


_NOTES = {
    Occasion.TRIGGER: "",
    Occasion.UPDATE: "the alerts of this group have changed",
    Occasion.REPEAT: "this still fires",
    Occasion.RESOLVE: "",
}


def subject(alert: Alert) -> str:
    """The journal's subject of an alert."""
    return f"alert:{alert.fingerprint}"


def severity(labels: Labels) -> str:
    """The severity of an alert: that of its rule; one that has none pages."""
    return dict(labels).get("severity", "page")


def number(value: float) -> float | str:
    """``value`` as JSON can say it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return value


def _filled(text: str, labels: Mapping[str, str], value: float) -> str:
    try:
        return expand(text, labels, value)
    except TemplateError as error:
        return f"{text} (this text cannot be filled in: {error})"


def _common(sets: Sequence[Labels]) -> dict[str, str]:
    common = set(sets[0]).intersection(*sets[1:])
    return dict(sorted(common))


def _links(annotations: Mapping[str, str]) -> tuple[Link, ...]:
    known = (("runbook_url", "Runbook"), ("dashboard_url", "Dashboard"))
    return tuple(Link(annotations[name], text) for name, text in known if annotations.get(name))
