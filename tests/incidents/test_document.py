"""The incident document."""

from __future__ import annotations

import re
from pathlib import Path

from tests.app.responses import Watch
from tests.incidents.desk import ADA, BEN
from watchkeeper.app.responding import acknowledge_alerts
from watchkeeper.incidents import reading, service
from watchkeeper.incidents.models import Status

NASTY = "</td><script>alert(1)</script>\n## Timeline\n![x](https://e.org/p) [y](javascript:z) | a"


def test_all_of_it_with_nothing_of_what_people_wrote_as_markup(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.fire()
    watch.look(1)
    watch.do(service.acknowledge, 1, BEN, acknowledge_alerts, NASTY)
    watch.do(service.describe, 1, BEN, title=NASTY, scope=NASTY, impact=NASTY)
    watch.do(service.set_severity, 1, BEN, "SEV-2", note=NASTY)
    watch.do(service.post_update, 1, BEN, status=Status.IDENTIFIED, impact=NASTY, eta=NASTY, note=NASTY)
    watch.do(service.write_section, 1, ADA, "summary", NASTY)
    watch.do(service.write_section, 1, ADA, "root cause", "A **bad** deploy\n\n- one\n- two")
    watch.do(service.add_follow_up, 1, ADA, NASTY, owner=NASTY, due_on=watch.now, url="https://e.org/1")
    watch.end()
    watch.look(10)
    watch.do(service.resolve, 1, BEN, note=NASTY)

    def document(whole: bool = True) -> str:
        with watch.read() as conn:
            return reading.document_of(conn, watch.now, watch.runbook, 1, whole=whole)

    text = document()
    assert text == document()
    assert "<script" not in text
    assert "</td>" not in text
    assert "![" not in text
    assert not re.search(r"(?<!\\)\]\(javascript", text)
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert [line.removeprefix("## ") for line in headings[1:]] == [
        "Summary",
        "Impact",
        "Timeline",
        "Root cause",
        "Follow-up actions",
        "Updates",
        "Deadlines",
        "Figures",
        "Missing before it may be closed",
        "Everything that happened",
    ]
    assert "A **bad** deploy\n\n- one\n- two\n\n*ada, 2026-01-05 12:01:00*" in text
    assert "| Time to resolve | 11 min |" in text
    assert "| 2026-01-05 12:01:00 | ● person ben | ben set SEV-2" in text
    assert "| ○ machine monitoring | ApiErrors: 7 % of requests fail |" in text
    assert "(<https://e.org/1>)" in text
    assert "Everything that happened" not in document(whole=False)
    assert len(document(whole=False)) < len(text)
    watch.store.close()
