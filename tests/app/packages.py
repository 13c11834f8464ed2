"""What the tests of the auditor's package share: a quarter of evidence under the default runbook."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from watchkeeper.app.evidence_package import Package, gather
from watchkeeper.app.policy import check_expr
from watchkeeper.runbook.loading import LoadedRunbook, default_text, load_bytes
from watchkeeper.store import journal
from watchkeeper.store.database import Store

SINCE, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
ERRORS = "monitoring.api.error-rate.page"
LINKS = "monitoring.hygiene.links"
WAIVER = f"waivers:\n  - {{clause: {LINKS}, reason: the wiki moves, owner: ada, until: 2026-05-01}}"
TEXT = default_text().replace("waivers: []", WAIVER)


def runbook() -> LoadedRunbook:
    """The default runbook with one waiver."""
    return load_bytes("runbook.yaml", TEXT.encode(), check_expr=check_expr)


def fill(store: Store) -> None:
    """Evidence before, in and after the quarter; of a clause that the runbook does not have as well."""
    with store.write() as conn:

        def add(day: int, clause: str, verdict: str, summary: str) -> None:
            at = SINCE + timedelta(days=day, hours=3)
            subject, facts = f"clause:{clause}", {"summary": summary}
            journal.append(conn, at, "clause.checked", "component:x", subject, facts, [(clause, verdict)])

        add(-5, "backups.postgres.dump.cadence", "met", "a dump of before")
        add(0, ERRORS, "met", "worst 1 %")
        add(10, ERRORS, "missed", "7 % of żółw | **failed** =1+1")
        add(20, "old.clause", "met", "=cmd()")
        add(89, ERRORS, "met", "worst 2 % ≥ nothing – “all” well 水")
        add(90, ERRORS, "missed", "in the next quarter")


def package(store: Store, section: str | None = None) -> Package:
    """The package of the first quarter of 2026."""
    with store.read() as conn:
        return gather(conn, runbook(), SINCE, UNTIL, section)
