"""The package as JSON, CSV and Markdown: complete, and harmless to whoever opens it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.packages import ERRORS, fill, package
from watchkeeper.app import evidence_text
from watchkeeper.app.evidence_package import Package
from watchkeeper.store.database import open_store


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Package]:
    with open_store(tmp_path) as store:
        fill(store)
        yield package(store)


def test_json_has_all_of_it_and_is_the_same_each_time(made: Package) -> None:
    said = evidence_text.as_json(made)
    document = json.loads(said)
    assert said == evidence_text.as_json(made)
    assert document["period"] == {"since": "2026-01-01T00:00:00Z", "until": "2026-04-01T00:00:00Z"}
    (errors,) = (one for one in document["clauses"] if one["id"] == ERRORS)
    assert [piece["verdict"] for piece in errors["evidence"]] == ["met", "missed", "met"]
    assert "żółw" in said


def test_csv_has_a_row_for_each_piece_and_each_clause_without_and_computes_nothing(made: Package) -> None:
    rows = list(csv.DictReader(io.StringIO(evidence_text.as_csv(made), newline="")))
    pieces = [row for row in rows if row["seq"] and row["section"] != "journal"]
    assert len(pieces) == 4
    without = [one for one in made.clauses if not one.evidence]
    assert len(rows) == len(pieces) + len(without) + 1
    assert all(len(row["hash"]) == 64 for row in pieces)
    assert [row["summary"] for row in rows if row["clause"] == "old.clause"] == ["'=cmd()"]
    assert rows[-1]["verdict_at_end"] == "intact"
    assert rows[-1]["hash"] == made.chain.head


def test_markdown_is_a_document_in_which_words_stay_words(made: Package) -> None:
    said = evidence_text.as_markdown(made)
    assert r"7 % of żółw \| \*\*failed\*\* =1+1" in said
    assert f"### {ERRORS}" in said
    assert "## Waivers" in said
    tables = [line for line in said.splitlines() if line.startswith("| ") and "old.clause" in line]
    assert tables == [
        "| `old.clause` | The journal cites this clause; the runbook that this package was made with has no "
        "such line. | unknown | 1 in the period |"
    ]
