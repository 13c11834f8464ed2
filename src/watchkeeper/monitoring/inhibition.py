"""Which firing alerts stay quiet because another one already says more. Pure.

Always true: an inhibited alert still fires, is shown and is journaled; it only tells nobody. A page is
quiet only where the runbook names a cause for it, and nothing is quiet because of itself
(tests/monitoring/test_inhibition.py). The matching is Alertmanager's: a label that both sides lack agrees.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from watchkeeper.monitoring.alerts import Alert, AlertState
from watchkeeper.runbook.models.monitoring import CauseOverSymptom, Inhibition

Labels = Mapping[str, str]
_NOT_OF_THE_SIGNAL = frozenset({"alertname", "severity"})


@dataclass(frozen=True, slots=True)
class Inhibited:
    """Why an alert is quiet: the fingerprint and name of the alert that inhibits it, and the reason."""

    by: str
    by_name: str
    reason: str


def inhibited(alerts: Iterable[Alert], policy: Inhibition) -> dict[str, Inhibited]:
    """The quiet ones of ``alerts`` by fingerprint."""
    firing = [(alert.fingerprint, dict(alert.labels)) for alert in alerts if alert.state is AlertState.FIRING]
    quiet: dict[str, Inhibited] = {}
    if policy.page_over_warn:
        _pages_over_warns(firing, quiet)
    for rule in policy.causes:
        _causes_over_symptoms(firing, rule, quiet)
    return quiet


def _pages_over_warns(firing: list[tuple[str, dict[str, str]]], quiet: dict[str, Inhibited]) -> None:
    pages = {
        _signal_and_place(labels): (fingerprint, labels.get("alertname", ""))
        for fingerprint, labels in firing
        if labels.get("severity") == "page" and "signal" in labels
    }
    for fingerprint, labels in firing:
        page = pages.get(_signal_and_place(labels)) if labels.get("severity") == "warn" else None
        if page is not None:
            quiet[fingerprint] = Inhibited(*page, reason="the page of the same signal fires")


def _signal_and_place(labels: Labels) -> frozenset[tuple[str, str]]:
    return frozenset(pair for pair in labels.items() if pair[0] not in _NOT_OF_THE_SIGNAL)


def _causes_over_symptoms(
    firing: list[tuple[str, dict[str, str]]], rule: CauseOverSymptom, quiet: dict[str, Inhibited]
) -> None:
    causes: dict[tuple[str, ...], tuple[str, str]] = {}
    for fingerprint, labels in firing:
        if any(refers_to(ref, labels, default_severity="page") for ref in rule.cause):
            agreed = tuple(labels.get(name, "") for name in rule.equal)
            causes.setdefault(agreed, (fingerprint, labels.get("alertname", "")))
    for fingerprint, labels in firing:
        if not any(refers_to(ref, labels) for ref in rule.symptom):
            continue
        if any(refers_to(ref, labels, default_severity="page") for ref in rule.cause):
            continue
        cause = causes.get(tuple(labels.get(name, "") for name in rule.equal))
        if cause is not None:
            quiet.setdefault(fingerprint, Inhibited(*cause, reason=rule.reason))


def refers_to(ref: str, labels: Labels, default_severity: str | None = None) -> bool:
    """Whether the alert with ``labels`` is of the signal ``ref``: ``layer.signal`` or ``layer.signal.page``.

    A reference without severity means ``default_severity``, or any where that is None.
    """
    layer, signal, *severity = ref.split(".")
    wanted = severity[0] if severity else default_severity
    return (
        labels.get("layer") == layer
        and labels.get("signal") == signal
        and (wanted is None or labels.get("severity") == wanted)
    )
