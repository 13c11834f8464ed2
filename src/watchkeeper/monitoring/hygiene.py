"""The clauses of monitoring hygiene, which no sample proves: labels of targets, dashboards.

Always true: what was not looked at is *unknown*; what is *missed* names what to mend. Pure functions; they
are asked again at every evaluation and recorded like every other clause (tests/monitoring/test_hygiene.py).
The links of alerts are followed by a job: :mod:`watchkeeper.monitoring.links`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from watchkeeper.monitoring.clauses import LISTED, Standing
from watchkeeper.monitoring.targets import Finding
from watchkeeper.runbook.models.runbook import Runbook

LABELS = "monitoring.hygiene.labels"
DASHBOARDS = "monitoring.hygiene.dashboards"


def labels(findings: Sequence[Finding], targets: int, required: Sequence[str]) -> Standing:
    """Whether every one of ``targets`` carries the required labels. ``findings`` are the scraper's."""
    wanted = ", ".join(required)
    if not targets:
        return Standing("unknown", "no target is known, so nobody can tell which labels it has")
    lacking = [finding for finding in findings if finding.series_without or not finding.series]
    bad = [finding for finding in lacking if finding.series_without]
    if bad:
        facts = {"findings": [str(finding) for finding in bad[:LISTED]], "count": len(bad)}
        return Standing("missed", f"{len(bad)} label(s) are missing on targets: {bad[0]}", facts)
    if lacking:
        facts = {"findings": [str(finding) for finding in lacking[:LISTED]], "count": len(lacking)}
        return Standing("unknown", f"{lacking[0]} (it has not answered yet)", facts)
    return Standing("met", f"{targets} targets carry {wanted}", {"targets": targets})


def dashboards(folder: str) -> Standing:
    """Dashboards: nothing here has seen them."""
    return Standing("unknown", f"nothing has shown that there are dashboards under {folder}")


class Hygiene:
    """The hygiene clauses of one deployment.

    ``findings`` and ``targets`` ask the scraper: the labels that targets lack, and how many there are (zero
    where nothing is scraped here). ``runbook`` gives what is in force.
    """

    def __init__(
        self,
        runbook: Callable[[], Runbook],
        findings: Callable[[], Sequence[Finding]],
        targets: Callable[[], int],
    ) -> None:
        self._runbook = runbook
        self._findings = findings
        self._targets = targets

    def __call__(self, now: datetime) -> Mapping[str, Standing]:
        """How the clauses stand at ``now``."""
        policy = self._runbook().monitoring.hygiene
        found = {
            LABELS: labels(self._findings(), self._targets(), policy.required_labels),
        }
        if policy.dashboards is not None:
            found[DASHBOARDS] = dashboards(policy.dashboards)
        return found
