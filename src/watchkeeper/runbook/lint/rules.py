"""All lint rules by name, and the one function that applies them. The default runbook has no finding."""

from __future__ import annotations

from datetime import date

from watchkeeper.runbook.lint import backups, expressions, people, thresholds
from watchkeeper.runbook.lint.findings import Finding, ResultLabels, Rule, Subject
from watchkeeper.runbook.loading import LoadedRunbook

RULES: tuple[Rule, ...] = (
    Rule("ratio-without-guard", "a share of almost nothing is noise", thresholds.ratio_without_guard),
    Rule("for-below-evaluation", "a hold shorter than an evaluation is no hold", thresholds.short_for),
    Rule("page-before-warn", "the page comes before its warning", thresholds.severity_order),
    Rule("page-without-playbook", "a page that does not say what to do", thresholds.page_without_playbook),
    Rule("minio-only", "metrics that only an archived product has", thresholds.minio_only),
    Rule("certificate-days", "days left of certificates that live under 100", thresholds.certificate_days),
    Rule("long-maintenance", "pages hidden for more than a day, unexplained", thresholds.long_maintenance),
    Rule("no-heartbeat", "nobody watches the watchkeeper", thresholds.heartbeat),
    Rule("window-and-scrape", "a window that holds too few samples", expressions.window_and_scrape),
    Rule("rate-of-gauge", "a gauge read as a counter", expressions.rate_of_gauge),
    Rule("delta-of-counter", "a counter read as a gauge", expressions.delta_of_counter),
    Rule("rate-of-sum", "an aggregate that hides restarts", expressions.rate_of_sum),
    Rule("absent-as-fine", "a missing series that looks healthy", expressions.absent_as_fine),
    Rule("dropped-labels", "an alert that does not say where", expressions.dropped_labels),
    Rule("pitr-needs-base-backup", "WAL replayed onto a dump", backups.pitr_needs_base_backup),
    Rule("pitr-needs-wal", "a point in time without WAL", backups.pitr_needs_wal),
    Rule("wal-shorter-than-backups", "base backups that outlive their WAL", backups.wal_shorter_than_backups),
    Rule("archive-backlog", "archiving that looks healthy and is not", backups.archive_backlog),
    Rule("checksum-without-bytes", "checksums of unreadable bytes", backups.checksum_without_bytes),
    Rule("etag-comparison", "ETags compared as if they were checksums", backups.etag_comparison),
    Rule("delete-markers", "markers that purge or undelete", backups.delete_markers),
    Rule("permanent-deletes", "a mistake that reaches DR", backups.permanent_deletes),
    Rule("continuous-replication", "replication that nobody proves", backups.continuous_replication),
    Rule("empty-rota", "nobody on call", people.empty_rota),
    Rule("single-contact-method", "one broken way is silence", people.single_contact_method),
    Rule("unreachable-on-call", "somebody on call whom no page reaches", people.unreachable_on_call),
    Rule("acknowledge-and-escalation", "clocks that miss each other", people.acknowledge_and_escalation),
    Rule("nobody-is-told", "pages without a receiver", people.nobody_is_told),
    Rule("target-labels", "targets without service, env or region", people.target_labels),
    Rule("secret-in-step", "a password that everybody reads", people.secrets_in_steps),
    Rule("ended-waiver", "a waiver that is over", people.ended_waivers),
)


def lint(
    loaded: LoadedRunbook, *, result_labels: ResultLabels | None = None, today: date | None = None
) -> list[Finding]:
    """Every finding, in the order of the file; what needs ``result_labels`` or ``today`` only with them."""
    subject = Subject(loaded.runbook, result_labels, today)
    found = [
        Finding(rule.id, loaded.place(hit.loc), hit.subject, hit.reason, hit.instead)
        for rule in RULES
        for hit in rule.check(subject)
    ]
    return sorted(found, key=lambda finding: (finding.place.line, finding.place.column, finding.rule))
