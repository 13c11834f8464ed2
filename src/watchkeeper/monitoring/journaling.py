"""What an evaluation leaves in the journal and the outbox, as part of one transaction with the alerts' rows.

Always true: every change of an alert that a person would ask about has its entry; an entry cites the clause
it speaks of, with the verdict that held after it; what is told is put in the outbox in the transaction that
changed the alert (tests/monitoring/test_service.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from watchkeeper.monitoring.alerts import Alert, Transition, TransitionKind
from watchkeeper.monitoring.clauses import Standing
from watchkeeper.monitoring.evaluation import Decision, Observation, Policy, alert_labels
from watchkeeper.monitoring.grouping import Occasion, Send
from watchkeeper.monitoring.missing import WHOLE
from watchkeeper.monitoring.source import Failure
from watchkeeper.monitoring.wording import Wording, number, severity, subject
from watchkeeper.notify.enqueue import enqueue_notification
from watchkeeper.store import journal

ACTOR = "component:monitoring"
LISTED = 20


@dataclass(frozen=True, slots=True)
class Context:
    """What entries are written from."""

    policy: Policy
    wording: Wording
    seen: Observation


def record(conn: Connection, decision: Decision, context: Context) -> None:
    """Write the entries and outbox rows of ``decision``."""
    told = _Clauses(decision.standings)
    now = context.seen.at
    if decision.clock_step:
        seconds = decision.clock_step.total_seconds()
        facts = {
            "summary": f"{seconds:+.0f} s were not watched (the clock was set, or nothing ran); "
            "they do not count for any alert",
            "seconds": seconds,
        }
        journal.append(conn, now, "monitoring.gap", ACTOR, "monitoring", facts)
    _rules(conn, decision, context, told)
    _signals(conn, decision, context)
    for name, change in decision.transitions:
        _transition(conn, name, change, decision, context, told)
    for send in decision.sends:
        _send(conn, send, context)
    for clause, standing in decision.evidence.items():
        if clause not in told.cited:
            facts = {"summary": standing.summary, **standing.facts}
            evidence = [(clause, standing.verdict)]
            journal.append(conn, now, "clause.checked", ACTOR, f"clause:{clause}", facts, evidence)


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


def _rules(conn: Connection, decision: Decision, context: Context, told: _Clauses) -> None:
    compiled = context.policy.compiled
    for name, why in decision.newly_failed.items():
        rule = compiled.rule(name)
        facts = {"summary": f"the rule {name} cannot be evaluated: {why}", "error": why}
        evidence = told.evidence(rule.clause if rule else None)
        journal.append(conn, context.seen.at, "rule.failed", ACTOR, f"rule:{name}", facts, evidence)
    for name in decision.recovered:
        rule = compiled.rule(name)
        facts = {"summary": f"the rule {name} is evaluated again" if rule else f"the rule {name} is gone"}
        evidence = told.evidence(rule.clause if rule else None)
        journal.append(conn, context.seen.at, "rule.recovered", ACTOR, f"rule:{name}", facts, evidence)


def _signals(conn: Connection, decision: Decision, context: Context) -> None:
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
                journal.append(conn, context.seen.at, f"signal.{what}", ACTOR, f"signal:{name}", facts)


def _transition(
    conn: Connection, name: str, change: Transition, decision: Decision, context: Context, told: _Clauses
) -> None:
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
        facts |= {"fired_at": alert.fired_at, "because": why_resolved(name, alert, context)}
    evidence = told.evidence(clause)
    journal.append(
        conn, context.seen.at, f"alert.{change.kind.value}", ACTOR, subject(alert), facts, evidence
    )


def why_resolved(name: str, alert: Alert, context: Context) -> str:
    """Why an alert ended: measured well, no data any more, or its rule is gone."""
    rule = context.policy.compiled.rule(name)
    if rule is None:
        return "the watching works again" if name.startswith("Watchkeeper") else "its rule is gone"
    if rule.kind == "missing":
        return "the signal gives data again, or its element was forgotten"
    value = context.seen.answer(rule.value_expr)
    if isinstance(value, Failure):
        return "unknown: the signal could not be read"
    if any(alert_labels(rule, labels) == alert.labels for labels in value):
        return "it is back within the line"
    return "it gives no data any more, so nobody knows whether it is well"


def _send(conn: Connection, send: Send, context: Context) -> None:
    known = {receiver.id: receiver for receiver in context.policy.runbook.notifications.receivers}
    receivers = [name for name in send.group.receivers if name in known]
    if send.occasion is Occasion.RESOLVE:
        receivers = [name for name in receivers if known[name].send_resolved]
    if not receivers:
        return
    now: datetime = context.seen.at
    notification = context.wording.notification(send, now)
    repeat = send.occasion is Occasion.REPEAT
    enqueue_notification(conn, now, receivers, notification, repeat=repeat)
    if repeat:
        return
    facts = {
        "summary": f"{notification.kind}: {notification.summary}",
        "occasion": send.occasion.value,
        "receivers": receivers,
        "dedup_key": notification.dedup_key,
        "severity": notification.severity,
        "alerts": [alert.fingerprint for alert in send.alerts[:LISTED]],
    }
    journal.append(conn, now, "notification.queued", ACTOR, notification.subject, facts)
