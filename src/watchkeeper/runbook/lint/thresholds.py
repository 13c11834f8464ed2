"""Lint of thresholds: order of severities, guards, playbooks, and metrics that only one vendor has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from watchkeeper.runbook.clauses import threshold_clause_id
from watchkeeper.runbook.lint.findings import Hit, Subject
from watchkeeper.runbook.models.monitoring import SEVERITIES, Layer, Severity, Signal, Threshold
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.sentences import Loc

_A_DAY = timedelta(days=1)
Named = tuple[Loc, str, Layer, Signal]


def signals(runbook: Runbook) -> Iterator[Named]:
    """Every signal with its place and dotted name."""
    for layer_index, layer in enumerate(runbook.monitoring.layers):
        for index, signal in enumerate(layer.signals):
            loc: Loc = ("monitoring", "layers", layer_index, "signals", index)
            yield loc, f"monitoring.{layer.id}.{signal.id}", layer, signal


def thresholds(
    runbook: Runbook,
) -> Iterator[tuple[Loc, str, Layer, Signal, Severity, Threshold]]:
    """Every threshold with its place and clause id."""
    for loc, _, layer, signal in signals(runbook):
        for severity in SEVERITIES:
            for index, threshold in enumerate(signal.thresholds(severity)):
                clause = threshold_clause_id(layer, signal, severity, index)
                yield (*loc, severity, index), clause, layer, signal, severity, threshold


def ratio_without_guard(subject: Subject) -> Iterator[Hit]:
    """A share of almost nothing is noise."""
    for loc, name, _, signal in signals(subject.runbook):
        if signal.unit == "ratio" and not signal.guard:
            yield Hit(
                loc,
                name,
                "a ratio without a minimum-traffic guard: at three requests an hour one failure is 33%",
                "add a guard, for example: sum by (service, env, region) (increase(x_total[$window])) >= 20",
            )


def short_for(subject: Subject) -> Iterator[Hit]:
    """A hold shorter than an evaluation is no hold."""
    every = subject.runbook.metrics.evaluation_interval
    for loc, clause, *_, threshold in thresholds(subject.runbook):
        if threshold.for_ is not None and 0 < threshold.for_.total_seconds() < every.total_seconds():
            yield Hit(
                (*loc, "for"),
                clause,
                f"for: {threshold.for_} is shorter than evaluation_interval: {every}: one evaluation decides",
                f"leave `for` out, or hold at least two evaluations: for: {int(every.total_seconds() * 2)}s",
            )


def severity_order(subject: Subject) -> Iterator[Hit]:
    """A warning must come before the page."""
    for loc, _, layer, signal in signals(subject.runbook):
        for index, warn in enumerate(signal.warn):
            for page in signal.page:
                if not _comparable(warn, page) or _warns_first(warn, page):
                    continue
                yield Hit(
                    (*loc, "warn", index),
                    threshold_clause_id(layer, signal, "warn", index),
                    f"it warns at {warn.figure.text} and pages at {page.figure.text}: the page comes first",
                    "let the warning be nearer to normal than the page, or hold it for a shorter time",
                )


def _comparable(warn: Threshold, page: Threshold) -> bool:
    return warn.rises == page.rises and "equals" not in (warn.comparison, page.comparison)


def _warns_first(warn: Threshold, page: Threshold) -> bool:
    if warn.figure == page.figure:
        return _seconds(warn) < _seconds(page)
    return warn.figure < page.figure if warn.rises else warn.figure > page.figure


def _seconds(threshold: Threshold) -> float:
    return threshold.for_.total_seconds() if threshold.for_ is not None else 0.0


def page_without_playbook(subject: Subject) -> Iterator[Hit]:
    """Somebody is woken and does not know what to do."""
    monitoring = subject.runbook.monitoring
    for loc, clause, layer, signal, severity, threshold in thresholds(subject.runbook):
        if severity == "page" and monitoring.playbook_of(layer, signal, threshold) is None:
            yield Hit(
                loc,
                clause,
                "it wakes somebody and does not say what to do",
                "name a playbook on the threshold, the signal or the layer",
            )


def minio_only(subject: Subject) -> Iterator[Hit]:
    """MinIO Community Edition is archived (2026-04); any S3 service must do."""
    for loc, name, _, signal in signals(subject.runbook):
        alternatives = signal.expr
        if (signal.warn or signal.page) and all("minio_" in text for text in alternatives):
            yield Hit(
                (*loc, "expr"),
                name,
                "only MinIO has these metrics, and MinIO Community Edition is archived: on any other S3 "
                "service this line is unknown for ever",
                "add an alternative with the metrics of the service that may follow it",
            )


def certificate_days(subject: Subject) -> Iterator[Hit]:
    """From 2027-03 certificates live under 100 days."""
    found = list(signals(subject.runbook))
    measures_life = any("not_before" in text for *_, signal in found for text in signal.expr)
    for loc, name, _, signal in found:
        text = " ".join(signal.expr)
        certificate = "cert_expiry" in text or "cert_not_after" in text
        if certificate and "not_before" not in text and (signal.warn or signal.page) and not measures_life:
            yield Hit(
                loc,
                name,
                "days left say little about certificates that live under 100 days (from 2027-03)",
                "add a signal for the share of life left: (not_after - time()) / (not_after - not_before)",
            )
    reviews = subject.runbook.reviews
    for index, check in enumerate(reviews.checks if reviews else ()):
        if check.source == "certificates" and check.within is not None and check.fraction_of_lifetime is None:
            yield Hit(
                ("reviews", "checks", index, "within"),
                f"reviews.{check.id}",
                f"within {check.within} lists every certificate of a short-lived kind, every week",
                "add fraction_of_lifetime, for example 50%, for certificates that live under 100 days",
            )


def long_maintenance(subject: Subject) -> Iterator[Hit]:
    """Who finds pages hidden for days must find out why."""
    for index, window in enumerate(subject.runbook.monitoring.maintenance):
        if window.for_ > _A_DAY and window.reason is None and window.hides_pages:
            yield Hit(
                ("monitoring", "maintenance", index, "for"),
                f"monitoring.maintenance.{window.id}",
                f"it hides pages for {window.for_.words} at a time, and does not say why",
                "give it a reason, a shorter `for`, or the matcher severity=warn",
            )


def heartbeat(subject: Subject) -> Iterator[Hit]:
    """Whoever watches can die too."""
    monitoring = subject.runbook.monitoring
    if monitoring.layers and monitoring.heartbeat is None:
        yield Hit(
            ("monitoring",),
            "monitoring.heartbeat",
            "nobody notices when Watchkeeper itself is silent",
            "add heartbeat: {url: {env: WATCHKEEPER_HEARTBEAT_URL}, every: 1m} to a service outside",
        )
