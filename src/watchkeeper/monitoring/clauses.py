"""What an evaluation says about each clause of the monitoring section, and which of it is worth recording.

Always true: *met* needs a measurement that is within the line (or too little traffic to judge, by the
runbook's own guard); no data, a rule that cannot be evaluated, or a look that nobody took is *unknown*;
a clause that is waived is never *met*. Every clause is proved anew at least once a day. Pure
(tests/monitoring/test_clauses.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal

from watchkeeper.monitoring.alerts import Alert, AlertState
from watchkeeper.monitoring.compile import CompiledRule, CompiledSignal
from watchkeeper.monitoring.labels import METRIC_NAME, Labels
from watchkeeper.monitoring.missing import WHOLE
from watchkeeper.monitoring.source import Answer, Failure
from watchkeeper.runbook.models.waivers import Waiver

Verdict = Literal["met", "missed", "unknown", "waived"]
RENEW_AFTER = timedelta(days=1)
LISTED = 20
"""Elements named in an entry; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a clause stands: the verdict, a sentence for people, and facts for the journal."""

    verdict: Verdict
    summary: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The newest evidence of a clause that the journal has."""

    verdict: str
    at: datetime


def of_threshold(
    rule: CompiledRule, failed: str | None, value: Answer, alerts: Iterable[Alert], missing: Sequence[Labels]
) -> Standing:
    """How the clause of a threshold stands. ``missing`` are the elements without data for too long."""
    firing = [alert for alert in alerts if alert.state is AlertState.FIRING]
    if firing:
        names = ", ".join(where(rule, alert.labels) for alert in firing[:3])
        more = f" and {len(firing) - 3} more" if len(firing) > 3 else ""
        facts = {"firing": [dict(alert.labels) for alert in firing[:LISTED]], "count": len(firing)}
        return Standing("missed", f"{rule.title}: {rule.words}: {names}{more}", facts)
    if failed is not None:
        return Standing("unknown", f"{rule.title}: the rule could not be evaluated: {failed}")
    if isinstance(value, Failure):
        return Standing("unknown", f"{rule.title}: the signal could not be read: {value.message}")
    if missing:
        return _missing(rule.title, missing)
    return _measured(rule, value)


def of_presence(signal: CompiledSignal, value: Answer, missing: Sequence[Labels]) -> Standing:
    """How the clause of a signal without thresholds stands: it is kept while it is measured."""
    if isinstance(value, Failure):
        return Standing("unknown", f"{signal.title}: the signal could not be read: {value.message}")
    if missing:
        return _missing(signal.title, missing)
    return Standing("met", f"{signal.title}: {len(value)} measured", {"elements": len(value)})


def _missing(title: str, missing: Sequence[Labels]) -> Standing:
    if WHOLE in missing:
        return Standing("unknown", f"{title}: no data")
    names = ", ".join(labels_in_words(labels) for labels in missing[:3])
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    facts = {"missing": [dict(labels) for labels in missing[:LISTED]], "count": len(missing)}
    return Standing("unknown", f"{title}: no data of {names}{more}", facts)


def _measured(rule: CompiledRule, value: Mapping[Labels, float]) -> Standing:
    numbers = [number for number in value.values() if not math.isnan(number)]
    facts: dict[str, Any] = {"elements": len(value), "line": rule.words}
    if not numbers:
        said = "too little traffic to judge" if value else "within the line"
        return Standing("met", f"{rule.title}: {said}; {rule.words}", facts)
    worst = max(numbers) if rule.rises else min(numbers)
    facts["worst"] = worst
    said = f"{len(numbers)} measured, worst {worst:.6g}"
    return Standing("met", f"{rule.title}: {said}; {rule.words}", facts)


def waived(standing: Standing, clause: str, waivers: Mapping[str, Waiver], today: date) -> Standing:
    """``standing``, or that the clause is waived: by whom, until when, and how it would stand."""
    waiver = waivers.get(clause)
    if waiver is None or not waiver.active(today):
        return standing
    said = f"waived by {waiver.owner} until {waiver.until}: {waiver.reason}"
    return Standing("waived", said, {**standing.facts, "otherwise": standing.verdict})


def due(
    standings: Mapping[str, Standing], recorded: Mapping[str, Recorded], now: datetime
) -> dict[str, Standing]:
    """The standings that the journal must be told: those that changed, and those last told a day ago."""
    return {
        clause: standing
        for clause, standing in standings.items()
        if (last := recorded.get(clause)) is None
        or last.verdict != standing.verdict
        or abs(now - last.at) >= RENEW_AFTER
    }


def where(rule: CompiledRule, labels: Labels) -> str:
    """What tells an alert of ``rule`` apart: its labels without those that the rule gave it."""
    added = {"alertname", *(name for name, _ in rule.labels)}
    return labels_in_words([pair for pair in labels if pair[0] not in added])


def labels_in_words(labels: Iterable[tuple[str, str]]) -> str:
    """``service=backend env=prod``; ``the signal`` where there are no labels."""
    return " ".join(f"{name}={value}" for name, value in labels if name != METRIC_NAME) or "the signal"
