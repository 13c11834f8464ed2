"""The clauses of monitoring hygiene, which no sample proves: labels of targets, dashboards, links of alerts.

Always true: what was not looked at is *unknown*; what is *missed* names what to mend. Pure functions; they
are asked again at every evaluation and recorded like every other clause (tests/monitoring/test_hygiene.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from watchkeeper.monitoring.clauses import LISTED, Standing
from watchkeeper.monitoring.compile import Compiled
from watchkeeper.monitoring.targets import Finding
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.rendering import render

LABELS = "monitoring.hygiene.labels"
DASHBOARDS = "monitoring.hygiene.dashboards"
LINKS = "monitoring.hygiene.links"
_ANCHOR = re.compile(r'<a id="([^"]+)"></a>')


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


def links(compiled: Compiled, anchors: Iterable[str], base: str) -> Standing:
    """Whether every alert links to a place that is in the rendered runbook.

    ``anchors`` are those of the document that we serve under ``base``; links to elsewhere are not followed.
    """
    known = set(anchors)
    elsewhere, broken = [], []
    for rule in compiled.rules:
        url, _, anchor = dict(rule.annotations).get("runbook_url", "").partition("#")
        if url != base:
            elsewhere.append(rule.name)
        elif anchor not in known:
            broken.append(f"{rule.name}: there is no #{anchor}")
    if broken:
        facts = {"broken": broken[:LISTED], "count": len(broken)}
        return Standing("missed", f"{len(broken)} alert(s) link to nothing: {broken[0]}", facts)
    if elsewhere:
        return Standing(
            "unknown", f"{len(elsewhere)} alert(s) link to another place than {base}, which was not looked at"
        )
    return Standing(
        "met", f"the links of {len(compiled.rules)} alerts lead somewhere", {"rules": len(compiled.rules)}
    )


class Hygiene:
    """The hygiene clauses of one deployment.

    ``findings`` and ``targets`` ask the scraper: the labels that targets lack, and how many there are (zero
    where nothing is scraped here). ``runbook`` and ``compiled`` give what is in force.
    """

    def __init__(
        self,
        runbook: Callable[[], Runbook],
        compiled: Callable[[], Compiled],
        findings: Callable[[], Sequence[Finding]],
        targets: Callable[[], int],
        external_url: str = "",
    ) -> None:
        self._runbook = runbook
        self._compiled = compiled
        self._findings = findings
        self._targets = targets
        self._external_url = external_url.rstrip("/")
        self._checked: tuple[Compiled, Standing] | None = None

    def __call__(self, now: datetime) -> Mapping[str, Standing]:
        """How the clauses stand at ``now``."""
        policy = self._runbook().monitoring.hygiene
        found = {
            LABELS: labels(self._findings(), self._targets(), policy.required_labels),
            LINKS: self._links(),
        }
        if policy.dashboards is not None:
            found[DASHBOARDS] = dashboards(policy.dashboards)
        return found

    def _links(self) -> Standing:
        compiled = self._compiled()
        if (
            self._checked is None or self._checked[0] is not compiled
        ):  # rendering is slow; rules change rarely
            runbook = self._runbook()
            url = runbook.monitoring.hygiene.runbook_url
            base = f"{self._external_url}{url}" if url.startswith("/") else url
            anchors = _ANCHOR.findall(render(runbook)) if url.startswith("/") else []
            own = links(compiled, anchors, base) if url.startswith("/") else links(compiled, (), "")
            self._checked = (compiled, own)
        return self._checked[1]
