"""The auditor's package as text: JSON, CSV, Markdown. Pure.

Always true: what people and machines wrote cannot become a formula in a spreadsheet, nor mark-up or a second
row in a document (tests/app/test_evidence_text.py).
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator

from watchkeeper.app.evidence_package import Package, Proved, document
from watchkeeper.store.canonical import rfc3339

COLUMNS = (
    "section",
    "clause",
    "sentence",
    "verdict_at_end",
    "seq",
    "at",
    "verdict",
    "summary",
    "kind",
    "actor",
    "subject",
    "hash",
)
_MARKUP = re.compile(r"([\\`*_\[\]<>|~])")


def as_json(package: Package) -> str:
    """One JSON object."""
    return json.dumps(document(package), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def as_csv(package: Package) -> str:
    """A row for each piece of evidence, and one for each clause that has none; the journal's state last."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")  # RFC 4180
    writer.writerow(COLUMNS)
    for one in package.clauses:
        head: list[object] = [one.section, one.id, one.sentence, one.verdict]
        for piece in one.evidence:
            said = [piece.seq, rfc3339(piece.at), piece.verdict, piece.summary]
            about = [piece.kind, piece.actor, piece.subject, piece.hash]
            writer.writerow([_cell(value) for value in [*head, *said, *about]])
        if not one.evidence:
            writer.writerow([_cell(value) for value in [*head, *[""] * 8]])
    chain = package.chain
    state = "intact" if chain.broken is None else "broken"
    last = ["journal", "", chain.words, state, chain.entries, rfc3339(package.until), *[""] * 5, chain.head]
    writer.writerow([_cell(value) for value in last])
    return out.getvalue()


def as_markdown(package: Package) -> str:
    """A document for people."""
    return "\n".join(_markdown(package)) + "\n"


def _markdown(package: Package) -> Iterator[str]:
    chain = package.chain
    yield f"# {_plain(package.platform)}: evidence"
    yield ""
    yield f"From {rfc3339(package.since)} to before {rfc3339(package.until)}."
    yield ""
    yield f"- Journal: {_plain(chain.words)}"
    yield f"- Head at the end: entry {chain.entries}, `{chain.head}`"
    yield f"- Runbook: SHA-256 `{package.runbook}`"
    yield "- Clauses at the end: " + ", ".join(f"{count} {name}" for name, count in package.counts.items())
    for section in package.sections:
        yield ""
        yield f"## {_plain(section.capitalize())}"
        yield ""
        yield "| Clause | | At the end | Evidence |"
        yield "| --- | --- | --- | --- |"
        for one in package.of(section):
            yield f"| `{one.id}` | {_plain(one.sentence)} | {one.verdict} | {_count(one)} |"
        yield from _markdown_evidence(package.of(section))
    if package.waivers:
        yield ""
        yield "## Waivers"
        yield ""
        yield "| Clause | Owner | Until | Reason |"
        yield "| --- | --- | --- | --- |"
        for waiver in package.waivers:
            over = "" if waiver.active(package.until.date()) else " (over)"
            owner, reason = _plain(waiver.owner), _plain(waiver.reason)
            yield f"| `{waiver.clause}` | {owner} | {waiver.until}{over} | {reason} |"


def _markdown_evidence(proved: list[Proved]) -> Iterator[str]:
    for one in proved:
        if not one.evidence:
            continue
        yield ""
        yield f"### {one.id}"
        yield ""
        yield "| Entry | Time | Verdict | | Hash |"
        yield "| --: | --- | --- | --- | --- |"
        for piece in one.evidence:
            said = _plain(piece.summary)
            yield f"| {piece.seq} | {rfc3339(piece.at)} | {piece.verdict} | {said} | `{piece.hash}` |"


def _count(one: Proved) -> str:
    if one.evidence:
        return f"{len(one.evidence)} in the period"
    return (
        "none in the period" if one.last is None else f"none in the period; the last is entry {one.last.seq}"
    )


def _plain(text: str) -> str:
    shown = "".join(char if char.isprintable() else " " for char in text)
    return _MARKUP.sub(r"\\\1", shown)


def _cell(value: object) -> object:
    """A text that a spreadsheet would compute is made plain (OWASP: CSV injection)."""
    text = str(value).replace("\0", "")
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
