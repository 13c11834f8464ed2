"""Each lint rule both ways: it finds its trap, and it says nothing of the default runbook."""

from __future__ import annotations

from datetime import date

import pytest

from tests.runbook.documents import MINIMAL, default, minimal, read
from watchkeeper.monitoring.expressions import result_labels
from watchkeeper.monitoring.promql.parser import parse
from watchkeeper.runbook.lint import RULES, Finding, lint
from watchkeeper.runbook.loading import default_text

TODAY = date(2026, 1, 10)


def labels_of(text: str) -> frozenset[str] | None:
    return result_labels(parse(text))


def found(text: str) -> list[Finding]:
    return lint(read(text), result_labels=labels_of, today=TODAY)


CONNECTIONS = "guard: max by (service, env, region, instance) (pg_settings_max_connections) > 0\n"
SATURATION = "sum by (service, env, region) (rate(http_requests_total[$window]))\n\n"
QUEUE = "- max by (service, env, region, queue) (job_queue_depth)"
BACKLOG = "expr: sum by (service, env, region) (minio_node_replication_recent_backlog_count)"
CAUGHT = {
    # rule: [(replace, by, subject of the finding)]
    "ratio-without-guard": [(f"          {CONNECTIONS}", "", "monitoring.database.connections")],
    "for-below-evaluation": [
        ("{above: 100, for: 10m}", "{above: 100, for: 5s}", "monitoring.jobs.queue-depth.warn")
    ],
    "page-before-warn": [
        ("warn: {above: 75%}", "warn: {above: 95%}", "monitoring.database.storage.warn"),
        ("warn: {above: 75%}", "warn: {above: 90%}", "monitoring.database.storage.warn"),
        (
            "page: {below: 97%, over: 5m}",
            "page: {below: 97%}\n          warn: {below: 90%}",
            "monitoring.users.auth-success.warn",
        ),
    ],
    "page-without-playbook": [
        ("      playbook: user-experience\n", "", "monitoring.users.auth-success.page")
    ],
    "minio-only": [
        (BACKLOG, f"{BACKLOG}\n          warn: {{above: 5}}", "monitoring.objects.replication-backlog")
    ],
    "certificate-days": [
        ("x509_cert_not_before", "x509_cert_started", "monitoring.infrastructure.certificate-expiry"),
        ("      fraction_of_lifetime: 50%", "      #", "reviews.certificates"),
    ],
    "long-maintenance": [
        (
            "\nmonitoring:\n",
            "\nmonitoring:\n  maintenance:\n    - {id: move, title: Move, match: [env=prod], "
            "weekday: sunday, at: '02:00', for: 25h}\n",
            "monitoring.maintenance.move",
        )
    ],
    "no-heartbeat": [
        ("  heartbeat: {url: {env: WATCHKEEPER_HEARTBEAT_URL}, every: 1m}\n", "", "monitoring.heartbeat")
    ],
    "window-and-scrape": [
        ("page: {above: 5%, over: 2m}", "page: {above: 5%, over: 20s}", "monitoring.api.error-rate"),
        ("page: {above: 5%, over: 2m}", "page: {above: 5%, over: 45s}", "monitoring.api.error-rate"),
    ],
    "rate-of-gauge": [
        (
            QUEUE,
            "- sum by (service, env, region) (rate(job_queue_depth[$window]))",
            "monitoring.jobs.queue-depth",
        ),
        (
            QUEUE,
            '- sum by (service, env, region) (increase(job_queue_depth{a="b"}[5m]))',
            "monitoring.jobs.queue-depth",
        ),
    ],
    "delta-of-counter": [
        (
            QUEUE,
            "- sum by (service, env, region) (delta(http_requests_total[$window]))",
            "monitoring.jobs.queue-depth",
        )
    ],
    "rate-of-sum": [
        (
            QUEUE,
            "- rate(sum by (service, env, region) (http_requests_total)[5m:15s])",
            "monitoring.jobs.queue-depth",
        )
    ],
    "absent-as-fine": [
        (
            QUEUE,
            "- max by (service, env, region) (job_queue_depth) or vector(0)",
            "monitoring.jobs.queue-depth",
        ),
        (QUEUE, "- max by (service, env, region) (x) or on () vector(0)", "monitoring.jobs.queue-depth"),
    ],
    "dropped-labels": [
        (QUEUE, "- max by (service, env) (job_queue_depth)", "monitoring.jobs.queue-depth"),
        (QUEUE, "- max(job_queue_depth)", "monitoring.jobs.queue-depth"),
        (
            QUEUE,
            "- count without (region) (max by (service, env, region) (x))",
            "monitoring.jobs.queue-depth",
        ),
    ],
    "pitr-needs-base-backup": [
        (
            '    base_backup:\n      cadence: {every: nightly, cron: "30 2 * * *", grace: 2h}\n',
            "",
            "backups.postgres.point-in-time",
        )
    ],
    "pitr-needs-wal": [
        (
            "    wal: {cadence: hourly, archive_timeout: 60s, backlog: ready-files, check_gaps: true}\n",
            "",
            "backups.postgres.point-in-time",
        )
    ],
    "wal-shorter-than-backups": [
        (
            "keep_wal_of_kept_backups: true",
            "keep_wal_of_kept_backups: false",
            "backups.postgres.retention.wal",
        ),
        ("      wal: 14d", "      wal: 12h", "backups.postgres.retention.wal"),
    ],
    "archive-backlog": [
        ("backlog: ready-files", "backlog: pg_stat_archiver", "backups.postgres.wal.cadence"),
        ("check_gaps: true", "check_gaps: false", "backups.postgres.wal.cadence"),
    ],
    "checksum-without-bytes": [
        ("read_bytes: true", "read_bytes: false", "backups.objects.compare"),
        ("      read_bytes: true\n      sample: 1%\n", "      read_bytes: true\n", "backups.objects.compare"),
        ("checks: [checksums, bytes]", "checks: [checksums]", "backups.objects.restore-test"),
        (
            "checks: [checksums, bytes, amcheck",
            "checks: [checksums, amcheck",
            "backups.postgres.restore-test",
        ),
    ],
    "etag-comparison": [("by: full-object-checksum", "by: etag", "backups.objects.compare")],
    "delete-markers": [
        (
            "      delete_markers: 30d",
            "      delete_markers: 30d\n      del_marker_expiration: 30d",
            "backups.objects.retention.replicated",
        ),
        (
            "      delete_markers: 30d",
            "      delete_markers: 30d\n      marker_removal: by-age",
            "backups.objects.retention.delete-markers",
        ),
    ],
    "permanent-deletes": [
        (
            "[delete-marker, existing-objects]",
            "[delete-marker, delete]",
            "backups.objects.replication.cadence",
        ),
        ("      adapter: minio\n      object_lock: true", "", "backups.objects.replication.cadence"),
    ],
    "continuous-replication": [
        ("check: {every: daily", "check: {every: weekly", "backups.objects.replication.cadence"),
        ("resync: true", "resync: false", "backups.objects.replication.cadence"),
    ],
    "empty-rota": [("participants: [primary, secondary]", "participants: []", "oncall.platform")],
    "single-contact-method": [
        (
            'email: primary@example.org, slack: "@primary", receivers: [pagerduty]',
            "receivers: [pagerduty]",
            "contacts.primary",
        )
    ],
    "unreachable-on-call": [
        ('slack: "@primary", receivers: [pagerduty]', 'phone: "+49 30 1"', "contacts.primary"),
        (
            'email: primary@example.org, slack: "@primary", receivers: [pagerduty]',
            'phone: "+49 30 1"',
            "contacts.primary",
        ),
    ],
    "acknowledge-and-escalation": [
        ("{notify: oncall, wait: 5m}", "{notify: oncall, wait: 6m}", "oncall.platform"),
        ("acknowledge: 5m", "acknowledge: 2h", "incidents.acknowledge"),
    ],
    "target-labels": [
        (
            "  scrape_configs:\n",
            "  scrape_configs:\n    - {job_name: x, static_configs: [{targets: [a], labels: {env: a}}]}\n",
            "metrics.x",
        )
    ],
    "secret-in-step": [
        (
            "with: {version: same, isolated: true}",
            "with: {headers: {Authorization: Bearer abc}}",
            "playbooks.restore-test-postgres.provision",
        )
    ],
    "ended-waiver": [
        (
            "waivers: []",
            "waivers:\n  - {clause: incidents.acknowledge, reason: r, owner: o, until: 2026-01-09}",
            "incidents.acknowledge",
        )
    ],
}


def changed(rule: str, old: str, new: str) -> str:
    """The default runbook with a trap in it; a sentence must not quote a figure that is no longer there."""
    text = default_text().replace(old, new) if rule == "certificate-days" else default(old, new)
    return text.replace("{wal.cadence}", "hourly")


def test_the_default_runbook_has_no_findings() -> None:
    assert [finding.render() for finding in found(default_text())] == []


@pytest.mark.parametrize(
    ("rule", "old", "new", "subject"),
    [(rule, *case) for rule, cases in CAUGHT.items() for case in cases],
    ids=[f"{rule} {n}" for rule, cases in CAUGHT.items() for n in range(1, len(cases) + 1)],
)
def test_a_trap_is_found_with_its_line_its_reason_and_what_to_write(
    rule: str, old: str, new: str, subject: str
) -> None:
    hits = [finding for finding in found(changed(rule, old, new)) if finding.rule == rule]
    assert [finding.subject for finding in hits] == [subject]
    assert hits[0].reason
    assert hits[0].instead
    assert hits[0].place.line > 1
    assert hits[0].place.file == "runbook.yaml"


@pytest.mark.parametrize("rule", [rule for rule in CAUGHT if rule != "certificate-days"])
def test_a_trap_is_found_by_its_own_rule_alone(rule: str) -> None:
    old, new, _ = CAUGHT[rule][0]
    assert {finding.rule for finding in found(changed(rule, old, new))} == {rule}


def test_pages_without_a_receiver_are_found() -> None:
    assert "nobody-is-told" in {finding.rule for finding in found(MINIMAL)}
    receiver = 'notifications: {receivers: [{id: hook, webhook: {url: "http://127.0.0.1/x"}}]}\n'
    assert "nobody-is-told" not in {finding.rule for finding in found(MINIMAL + receiver)}


def test_every_rule_is_tested() -> None:
    assert {rule.id for rule in RULES} == {*CAUGHT, "nobody-is-told"}
    assert len({rule.id for rule in RULES}) == len(RULES)


def test_words_inside_of_strings_and_comments_are_not_code() -> None:
    expr = "sum by (service, env, region) (rate(x_total[$window]))"
    selector = 'x_total{a="rate(gauge[1s]) or vector(0)"}[$window]'
    sneaky = f"sum by (service, env, region) (rate({selector})) # rate(sum(x)) or vector(0)"
    rules = {finding.rule for finding in found(minimal(f"expr: {expr}", f"expr: |\n            {sneaky}"))}
    assert not rules & {"rate-of-gauge", "absent-as-fine", "rate-of-sum", "window-and-scrape"}


def test_an_equal_figure_that_holds_longer_for_the_page_is_in_order() -> None:
    text = default(
        "warn: {above: 75%}\n          page: {above: 90%}",
        "warn: {above: 90%}\n          page: {above: 90%, for: 5m}",
    )
    assert [finding.rule for finding in found(text)] == []


def test_findings_come_in_the_order_of_the_file_and_as_json() -> None:
    text = default("backlog: ready-files", "backlog: pg_stat_archiver").replace(
        "by: full-object-checksum", "by: etag"
    )
    hits = found(text)
    assert [finding.rule for finding in hits] == ["archive-backlog", "etag-comparison"]
    assert hits[0].as_json()["line"] == hits[0].place.line
    assert "instead: set backlog: ready-files" in hits[0].render()
