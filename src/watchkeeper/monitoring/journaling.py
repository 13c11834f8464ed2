"""What an evaluation leaves in the journal and the outbox, as part of one transaction with the alerts' rows.

Always true: every change of an alert that a person would ask about has its entry; an entry cites the clause
it speaks of, with the verdict that held after it; what is told is put in the outbox in the transaction that
changed the alert (tests/monitoring/test_service.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from watchkeeper.monitoring.alerts import Alert, Transition, TransitionKind
from watchkeeper.monitoring.clauses import Standing
from watchkeeper.monitoring.compile import CompiledRule
from watchkeeper.monitoring.evaluation import Decision, Observation, Policy, alert_labels
from watchkeeper.monitoring.grouping import Occasion, Send
from watchkeeper.monitoring.labels import Labels
from watchkeeper.monitoring.missing import WHOLE
from watchkeeper.monitoring.source import Failure
from watchkeeper.monitoring.wording import Wording, number, severity, subject
from watchkeeper.notify.enqueue import enqueue_notification, enqueue_notifications
from watchkeeper.notify.models import Notification
from watchkeeper.store import journal
from watchkeeper.store.journal import Draft

ACTOR = "component:monitoring"
LISTED = 20


@dataclass(frozen=True, slots=True)
class Context:
    """What entries are written from."""

    policy: Policy
    wording: Wording
    seen: Observation
    _measured: dict[str, frozenset[Labels]] = field(default_factory=dict)

    def measured(self, rule: CompiledRule) -> frozenset[Labels] | None:
        """The alerts' labels for which the rule's signal has a value now; None: it could not be read."""
        value = self.seen.answer(rule.value_expr)
        if isinstance(value, Failure):
            return None
        if rule.name not in self._measured:  # once, not for each of ten thousand alerts that end
            self._measured[rule.name] = frozenset(alert_labels(rule, labels) for labels in value)
        return self._measured[rule.name]


def record(conn: Connection, decision: Decision, context: Context) -> None:
    """Write the entries and outbox rows of ``decision``."""
    told = _Clauses(decision.standings)
    entries: list[Draft] = []
    if decision.clock_step:
        seconds = decision.clock_step.total_seconds()
        facts = {
            "summary": f"{seconds:+.0f} s were not watched (the clock was set, or nothing ran); "
            "they do not count for any alert",
            "seconds": seconds,
        }
        entries.append(Draft("monitoring.gap", ACTOR, "monitoring", facts))
    entries += _rules(decision, context, told)
    entries += _signals(decision)
    for name, change in decision.transitions:
        entries += _transition(name, change, decision, context, told)
    entries += _send(conn, decision.sends, context)
    for clause, standing in decision.evidence.items():
        if clause not in told.cited:
            facts = {"summary": standing.summary, **standing.facts}
            evidence = [(clause, standing.verdict)]
            entries.append(Draft("clause.checked", ACTOR, f"clause:{clause}", facts, evidence))
    if entries:
        journal.append_all(conn, context.seen.at, entries)


class _Clauses:
    """The verdicts of this evaluation, and which of them an entry has told already."""

    def __init__(self, standings: Mapping[str, Standing]) -> None:
        self._standings = standings
        self.cited: set[str] = set()

    def evidence(self, clause: str | None) -> list[tuple[str, str]]:
        standing = self._standings.get(clause or "")
        if clause is None or standing is None:
            return []
        self.cited.add(clause)
        return [(clause, standing.verdict)]


def _rules(decision: Decision, context: Context, told: _Clauses) -> Iterator[Draft]:
    compiled = context.policy.compiled
    for name, why in decision.newly_failed.items():
        rule = compiled.rule(name)
        facts = {"summary": f"the rule {name} cannot be evaluated: {why}", "error": why}
        evidence = told.evidence(rule.clause if rule else None)
        yield Draft("rule.failed", ACTOR, f"rule:{name}", facts, evidence)
    for name in decision.recovered:
        rule = compiled.rule(name)
        facts = {"summary": f"the rule {name} is evaluated again" if rule else f"the rule {name} is gone"}
        evidence = told.evidence(rule.clause if rule else None)
        yield Draft("rule.recovered", ACTOR, f"rule:{name}", facts, evidence)


def _signals(decision: Decision) -> Iterator[Draft]:
    words = (("lost", "gives no data any more"), ("back", "gives data again"), ("forgotten", "is forgotten"))
    for name, found in decision.observed.items():
        for what, said in words:
            elements = [labels for labels in getattr(found, what) if labels != WHOLE]
            if elements:
                facts = {
                    "summary": f"{name}: {len(elements)} element(s): {said}",
                    "elements": [dict(labels) for labels in elements[:LISTED]],
                    "count": len(elements),
                }
                yield Draft(f"signal.{what}", ACTOR, f"signal:{name}", facts)


def _transition(
    name: str, change: Transition, decision: Decision, context: Context, told: _Clauses
) -> Iterator[Draft]:
    alert = change.alert
    if change.kind not in (TransitionKind.FIRING, TransitionKind.RESOLVED):
        return
    clause = context.wording.clause(alert)
    facts: dict[str, Any] = {
        "summary": context.wording.annotations(alert).get("summary", name),
        "alertname": dict(alert.labels).get("alertname", name),
        "severity": severity(alert.labels),
        "labels": dict(alert.labels),
        "value": number(alert.value),
        "episode": alert.episode,
        "active_at": alert.active_at,
    }
    if change.kind is TransitionKind.FIRING:
        quiet = decision.quiet.get(alert.fingerprint)
        if quiet is not None:
            facts |= {"inhibited_by": quiet.by_name, "inhibited_because": quiet.reason}
    else:
        because, measured_well = why_resolved(name, alert, context)
        facts |= {"fired_at": alert.fired_at, "because": because, "measured_well": measured_well}
    yield Draft(f"alert.{change.kind.value}", ACTOR, subject(alert), facts, told.evidence(clause))


def why_resolved(name: str, alert: Alert, context: Context) -> tuple[str, bool]:
    """Why an alert ended: measured well, no data any more, or its rule is gone; and whether it is well."""
    rule = context.policy.compiled.rule(name)
    if rule is None:
        ours = name.startswith("Watchkeeper")
        return ("the watching works again" if ours else "its rule is gone"), ours
    if rule.kind == "missing":
        return "the signal gives data again, or its element was forgotten", True
    measured = context.measured(rule)
    if measured is None:
        return "unknown: the signal could not be read", False
    if alert.labels in measured:
        return "it is back within the line", True
    return "it gives no data any more, so nobody knows whether it is well", False


def _send(conn: Connection, sends: Sequence[Send], context: Context) -> list[Draft]:
    """Put what is told in the outbox; the entries that say so."""
    known = {receiver.id: receiver for receiver in context.policy.runbook.notifications.receivers}
    now: datetime = context.seen.at
    told: list[tuple[list[str], Notification]] = []
    entries: list[Draft] = []
    for send in sends:
        receivers = [name for name in send.group.receivers if name in known]
        if send.occasion is Occasion.RESOLVE:
            receivers = [name for name in receivers if known[name].send_resolved]
        if not receivers:
            continue
        notification = context.wording.notification(send, now)
        if send.occasion is Occasion.REPEAT:  # of another group than all others: their order does not matter
            enqueue_notification(conn, now, receivers, notification, repeat=True)
            continue
        told.append((receivers, notification))
        facts = {
            "summary": f"{notification.kind}: {notification.summary}",
            "occasion": send.occasion.value,
            "receivers": receivers,
            "dedup_key": notification.dedup_key,
            "severity": notification.severity,
            "alerts": [alert.fingerprint for alert in send.alerts[:LISTED]],
        }
        entries.append(Draft("notification.queued", ACTOR, notification.subject, facts))
    enqueue_notifications(conn, now, told)
    return entries
