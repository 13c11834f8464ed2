"""What Prometheus' HTTP API says of rules and alerts: the ``data`` of its answers.

Always true: Grafana reads it as Prometheus' own; resolved alerts are not in it, as they are not there
(tests/monitoring/test_rules_api.py). Source: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from watchkeeper.monitoring.alerts import Alert, AlertState
from watchkeeper.monitoring.compile import CompiledRule
from watchkeeper.monitoring.rules import RuleHealth
from watchkeeper.monitoring.service import MonitoringService
from watchkeeper.monitoring.wire_format import format_value
from watchkeeper.store.canonical import rfc3339

_NEVER = "0001-01-01T00:00:00Z"
"""How Go writes a time that has not been."""
_ORDER = {"inactive": 0, "pending": 1, "firing": 2}


def rules(service: MonitoringService, kind: str | None = None, names: Collection[str] = ()) -> dict[str, Any]:
    """``/api/v1/rules``: a group per layer. ``kind``: ``alert``, ``record`` or None; no ``names``: all."""
    by_rule: dict[str, list[Alert]] = {}
    for alert in service.alerts():
        by_rule.setdefault(dict(alert.labels).get("alertname", ""), []).append(alert)
    groups: dict[str, list[dict[str, Any]]] = {}
    for rule in service.compiled.rules:
        if kind != "record" and (not names or rule.name in names):
            shown = _alerts(by_rule.get(rule.name, ()), service)
            row = _rule(rule, service.health.get(rule.name, RuleHealth()), shown)
            groups.setdefault(rule.layer, []).append(row)
    interval = service.interval.total_seconds()
    return {"groups": [_group(layer, rows, interval) for layer, rows in groups.items()]}


def alerts(service: MonitoringService) -> dict[str, Any]:
    """``/api/v1/alerts``: everything that is pending or firing, also the alerts about the watching itself."""
    return {"alerts": _alerts(service.alerts(), service)}


def _alerts(found: Iterable[Alert], service: MonitoringService) -> list[dict[str, Any]]:
    return [
        _alert(alert, service.annotations(alert)) for alert in found if alert.state is not AlertState.RESOLVED
    ]


def _group(layer: str, rows: list[dict[str, Any]], interval_seconds: float) -> dict[str, Any]:
    return {
        "name": f"watchkeeper.{layer}",
        "file": "runbook.yaml",
        "interval": interval_seconds,
        "limit": 0,
        "rules": rows,
        "evaluationTime": sum(row["evaluationTime"] for row in rows),
        "lastEvaluation": max(row["lastEvaluation"] for row in rows),
    }


def _rule(rule: CompiledRule, health: RuleHealth, shown: list[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "state": max((alert["state"] for alert in shown), key=_ORDER.__getitem__, default="inactive"),
        "name": rule.name,
        "query": rule.expr,
        "duration": rule.hold.total_seconds(),
        "keepFiringFor": rule.keep_firing_for.total_seconds(),
        "labels": dict(rule.labels),
        "annotations": dict(rule.annotations),
        "alerts": shown,
        "health": health.health,
        "evaluationTime": health.seconds,
        "lastEvaluation": _time(health.last_evaluation),
        "type": "alerting",
    }
    if health.last_error:
        row["lastError"] = health.last_error
    return row


def _alert(alert: Alert, annotations: Mapping[str, str]) -> dict[str, Any]:
    row = {
        "labels": dict(alert.labels),
        "annotations": dict(annotations),
        "state": alert.state.value,
        "activeAt": rfc3339(alert.active_at),
        "value": format_value(alert.value),
    }
    if alert.keep_firing_since is not None:
        row["keepFiringSince"] = rfc3339(alert.keep_firing_since)
    return row


def _time(moment: datetime | None) -> str:
    return _NEVER if moment is None else rfc3339(moment)
