from __future__ import annotations

import re

import pytest

from tests.runbook.documents import MINIMAL, default, minimal, read
from watchkeeper.runbook.clauses import clauses
from watchkeeper.runbook.loading import default_text
from watchkeeper.runbook.rendering import playbook_anchor, render


@pytest.fixture(scope="module")
def document() -> str:
    return render(read(default_text()).runbook)


def test_every_clause_and_playbook_has_one_anchor(document: str) -> None:
    runbook = read(default_text()).runbook
    anchors = re.findall(r'<a id="([^"]+)"></a>', document)
    wanted = {clause.id for clause in clauses(runbook)} | {
        playbook_anchor(name) for name in runbook.playbooks
    }
    assert set(anchors) == wanted
    assert len(anchors) == len(wanted)


def test_every_link_inside_the_document_leads_to_an_anchor(document: str) -> None:
    anchors = set(re.findall(r'<a id="([^"]+)"></a>', document))
    links = re.findall(r"\]\(#([^)]+)\)", document)
    assert links
    assert set(links) <= anchors


def test_every_step_of_every_playbook_is_in_the_document(document: str) -> None:
    for playbook in read(default_text()).runbook.playbooks.values():
        for step in playbook.steps:
            assert f"**{step.words}**" in document


def test_tables_have_as_many_cells_in_every_row(document: str) -> None:
    rows = [line for line in document.splitlines() if line.startswith("|")]
    width = 0
    for before, line in zip(["", *rows], rows, strict=False):
        if set(line) <= set("| -"):
            width = before.count(" | ")
            assert line.count(" | ") == width
    assert rows


def test_no_placeholder_is_left(document: str) -> None:
    assert not re.search(r"(?<!\{)\{[a-z]", document)


def test_a_changed_figure_changes_the_document() -> None:
    document = render(read(default("acknowledge: 5m", "acknowledge: 10m")).runbook)
    assert "acknowledge within 10 minutes" in document
    assert "acknowledge within 5 minutes" not in document


def test_html_in_the_runbook_stays_text() -> None:
    document = render(
        read(minimal("title: API", 'title: "<script>alert(1)</script> & <b>x</b> <21 days"')).runbook
    )
    assert "<script" not in document
    assert "&lt;script>" in document
    assert "<21 days" in document


def test_a_pipe_in_a_title_does_not_break_the_table() -> None:
    document = render(read(minimal("title: Errors", 'title: "a | b"')).runbook)
    assert "a \\| b" in document


def test_a_secret_in_a_step_is_not_in_the_document() -> None:
    step = "action: http.request, with: {url: x, headers: {Authorization: Bearer abc}, password: abc}"
    document = render(read(minimal("action: changes.recent", step)).runbook)
    assert "abc" not in document
    assert "********" in document


def test_a_waived_line_says_so() -> None:
    waiver = (
        "waivers:\n  - {clause: monitoring.api.errors.page, reason: moving, owner: Ada, until: 2026-03-31}\n"
    )
    assert "**waived until 2026-03-31** by Ada: moving" in render(read(MINIMAL + waiver).runbook)


def test_a_runbook_without_sentences_is_rendered_from_its_figures() -> None:
    document = render(read(MINIMAL).runbook)
    assert (
        "| API | Errors | Page when Errors is above 5% over 2 minutes. | Look [Playbook](#playbook-look) |"
        in document
    )


def test_the_smallest_runbook_is_a_document() -> None:
    document = render(read("runbook: 1\nplatform: X\n").runbook)
    assert document.startswith("# Operations Runbook\n")
    assert document.endswith("\n")
