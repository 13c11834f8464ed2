"""The auditor's package as a PDF: text that can be selected, a table per section, page numbers.

Always true: the same package gives the same bytes (with the same version of fpdf2); nothing is cut off, what
is long goes on in the next line; what the built-in fonts lack is written in plain letters, and the document
says that it did so (tests/app/test_evidence_pdf.py). A TrueType font, if one is given, has the letters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchkeeper.app.evidence_package import Package, Proved
from watchkeeper.store.canonical import rfc3339

if TYPE_CHECKING:
    from fpdf import FPDF

MARGIN, WIDTH, BOTTOM = 12.0, 273.0, 195.0
"""Millimetres, of an A4 page on its side."""
INK, GREY, RULE, BAND = (28, 32, 38), (105, 112, 122), (205, 210, 216), (238, 241, 244)
VERDICT_INK = {"met": (0, 110, 60), "missed": (170, 30, 20), "waived": (30, 80, 160), "unknown": GREY}
MISSING = "Letters that the fonts of this file lack are written in plain ones; the JSON has them as they are."
_INSTEAD = {
    "≥": ">=",
    "≤": "<=",
    "≠": "!=",
    "→": "->",
    "←": "<-",
    "⇒": "=>",
    "−": "-",
    "\u2028": " ",
    "\u00a0": " ",
}
_ENCODING = "windows-1252"


class PdfUnavailableError(Exception):
    """A PDF cannot be made here; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    width: float
    family: str = "body"
    size: float = 7.5


_CLAUSES = (
    _Column("Clause", 78, "mono", 7),
    _Column("What the runbook says", 128),
    _Column("At the end", 19),
    _Column("Evidence", 48),
)
_EVIDENCE = (
    _Column("Entry", 15),
    _Column("Time (UTC)", 38),
    _Column("Verdict", 17),
    _Column("What was found", 125),
    _Column("Hash of the entry", 78, "mono", 5.5),
)
_WAIVERS = (
    _Column("Clause", 78, "mono", 7),
    _Column("Owner", 45),
    _Column("Until", 30),
    _Column("Reason", 120),
)


def as_pdf(package: Package, font: Path | None = None) -> bytes:
    """The package as a PDF, set in Helvetica, or in the TrueType ``font``.

    Raises :class:`PdfUnavailableError` without fpdf2 (the extra ``pdf``), or for a font that is none.
    """
    try:
        import fpdf
    except ImportError:
        raise PdfUnavailableError(
            "a PDF needs the package fpdf2: pip install 'watchkeeper[pdf]'; the other formats need nothing"
        ) from None
    page = _Page(fpdf.FPDF(orientation="landscape", format="A4"), package, font)
    _first_page(page, package)
    for section in package.sections:
        proved = package.of(section)
        page.heading(section.capitalize())
        page.table(_CLAUSES, [_clause_row(one) for one in proved])
        for one in proved:
            if one.evidence:
                page.subheading(one.id, one.verdict)
                page.table(_EVIDENCE, _evidence_rows(one))
    if package.waivers:
        page.heading("Waivers")
        page.table(_WAIVERS, [_waiver_row(package, waiver) for waiver in package.waivers])
    if page.simplified:
        page.paragraph(MISSING, GREY)
    return bytes(page.pdf.output())


def _first_page(page: _Page, package: Package) -> None:
    chain = package.chain
    page.title(f"{package.platform}: evidence")
    page.paragraph(f"From {rfc3339(package.since)} to before {rfc3339(package.until)}.")
    colour = VERDICT_INK["met" if chain.broken is None else "missed"]
    page.paragraph(f"The journal is {chain.words}.", colour)
    page.paragraph(f"Its head at the end: entry {chain.entries}, {chain.head}")
    page.paragraph(f"The runbook: SHA-256 {package.runbook}")
    said = ", ".join(f"{count} {name}" for name, count in package.counts.items())
    number = sum(len(one.evidence) for one in package.clauses)
    page.paragraph(
        f"{len(package.clauses)} clauses, at the end: {said}. {number} pieces of evidence in the period. "
        "Unknown is not met: nothing has proved it, or what did is too old."
    )


def _clause_row(one: Proved) -> list[str]:
    if one.evidence:
        said = f"{len(one.evidence)} in the period"
    elif one.last is None:
        said = "none"
    else:
        said = f"none in the period; last: entry {one.last.seq}, {one.last.at:%Y-%m-%d}"
    return [one.id, one.sentence, one.verdict, said]


def _evidence_rows(one: Proved) -> Iterator[list[str]]:
    for piece in one.evidence:
        yield [str(piece.seq), f"{piece.at:%Y-%m-%d %H:%M:%S}", piece.verdict, piece.summary, piece.hash]


def _waiver_row(package: Package, waiver: Any) -> list[str]:
    over = "" if waiver.active(package.until.date()) else " (over)"
    return [waiver.clause, waiver.owner, f"{waiver.until}{over}", waiver.reason]


class _Page:
    """Where the next line goes, and what it is set in."""

    def __init__(self, pdf: FPDF, package: Package, font: Path | None) -> None:
        self.pdf = pdf
        self.simplified = False
        self._own = font is not None
        self._families = {"body": "Helvetica", "mono": "Courier"}
        self._widths: dict[tuple[str, float, str], dict[str, float]] = {}
        pdf.set_margin(MARGIN)
        pdf.set_auto_page_break(False)
        pdf.core_fonts_encoding = _ENCODING
        pdf.set_creation_date(package.until)
        pdf.set_producer("Watchkeeper")
        if font is not None:
            self._use(font)
        title = self._text(f"{package.platform}: evidence")
        pdf.set_title(title)
        self._footer = title
        pdf.footer = self._write_footer  # type: ignore[method-assign]  # fpdf2 has it overridden
        pdf.add_page()

    def title(self, text: str) -> None:
        self._write(text, 20, "B", 11)

    def heading(self, text: str) -> None:
        if self.pdf.get_y() > MARGIN + 60:
            self.pdf.add_page()
        else:
            self.pdf.ln(4)
        self.pdf.start_section(self._text(text))
        self._write(text, 14, "B", 9)

    def subheading(self, clause: str, verdict: str) -> None:
        self._room(22)
        self.pdf.ln(3)
        self._font("body", 9, "B")
        self.pdf.set_text_color(*INK)
        said = self._text(clause)
        self.pdf.cell(self.pdf.get_string_width(said) + 3, 6, said)
        self._font("body", 9)
        self.pdf.set_text_color(*VERDICT_INK.get(verdict, INK))
        self.pdf.cell(40, 6, verdict, new_x="LMARGIN", new_y="NEXT")

    def paragraph(self, text: str, colour: tuple[int, int, int] = INK) -> None:
        self._font("body", 9)
        for line in self._wrap(self._text(text), WIDTH, ("body", 9.0, "")):
            self._room(5)
            self.pdf.set_text_color(*colour)
            self.pdf.cell(WIDTH, 5, line, new_x="LMARGIN", new_y="NEXT")
        self.pdf.ln(1)

    def table(self, columns: Sequence[_Column], rows: Any) -> None:
        self._head(columns)
        for row in rows:
            self._row(columns, row)

    def _head(self, columns: Sequence[_Column]) -> None:
        self._font("body", 7.5, "B")
        self.pdf.set_fill_color(*BAND)
        self.pdf.set_text_color(*INK)
        for column in columns:
            self.pdf.cell(column.width, 6, column.title, fill=True)
        self.pdf.ln(6)

    def _row(self, columns: Sequence[_Column], values: Sequence[str]) -> None:
        wrapped = [
            self._wrap(self._text(value), column.width - 3, (column.family, column.size, ""))
            for column, value in zip(columns, values, strict=True)
        ]
        left = max(len(lines) for lines in wrapped)
        at = 0
        while at < left:  # a row that is taller than a page goes on on the next one
            fits = int((BOTTOM - self.pdf.get_y() - 1.6) / 3.6)
            if fits < min(3, left - at):
                self.pdf.add_page()
                self._head(columns)
                continue
            self._lines(columns, [lines[at : at + fits] for lines in wrapped], values)
            at += fits

    def _lines(
        self, columns: Sequence[_Column], wrapped: Sequence[Sequence[str]], values: Sequence[str]
    ) -> None:
        pdf, top, x = self.pdf, self.pdf.get_y() + 0.8, MARGIN
        for column, lines, value in zip(columns, wrapped, values, strict=True):
            self._font(column.family, column.size)
            pdf.set_text_color(*VERDICT_INK.get(value, INK))
            for number, line in enumerate(lines):
                pdf.set_xy(x, top + number * 3.6)
                pdf.cell(column.width, 3.6, line)
            x += column.width
        pdf.set_xy(MARGIN, top + 3.6 * max(len(lines) for lines in wrapped) + 0.8)
        pdf.set_draw_color(*RULE)
        pdf.line(MARGIN, pdf.get_y(), MARGIN + WIDTH, pdf.get_y())

    def _write(self, text: str, size: float, style: str, height: float) -> None:
        self._font("body", size, style)
        self.pdf.set_text_color(*INK)
        for line in self._wrap(self._text(text), WIDTH, ("body", size, style)):
            self._room(height)
            self.pdf.cell(WIDTH, height, line, new_x="LMARGIN", new_y="NEXT")

    def _write_footer(self) -> None:
        self.pdf.set_xy(MARGIN, 200)
        self._font("body", 7.5)
        self.pdf.set_text_color(*GREY)
        self.pdf.cell(WIDTH - 40, 4, self._footer)
        self.pdf.cell(40, 4, f"page {self.pdf.page_no()} of {{nb}}", align="R")

    def _room(self, height: float) -> None:
        if self.pdf.get_y() + height > BOTTOM:
            self.pdf.add_page()

    def _use(self, font: Path) -> None:
        try:
            for style in ("", "B"):
                self.pdf.add_font("own", style, font)
        except Exception as error:
            # Whatever its font library raises for a file that is none: it is the caller's file.
            raise PdfUnavailableError(f"{font} is no TrueType font that can be used ({error})") from error
        self._families = {"body": "own", "mono": "Courier"}

    def _font(self, family: str, size: float, style: str = "") -> None:
        self.pdf.set_font(self._families[family], style, size)

    def _text(self, text: str) -> str:
        """``text`` on one line, in letters that the font has."""
        shown = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        if self._own:
            return shown
        try:
            shown.encode(_ENCODING)
        except UnicodeEncodeError:
            self.simplified = True
            return "".join(map(_plain, shown))
        return shown

    def _wrap(self, text: str, width: float, font: tuple[str, float, str]) -> list[str]:
        """``text`` in lines of at most ``width``; a word that is longer is broken."""
        family, size, style = font
        self._font(family, size, style)
        known = self._widths.setdefault(font, {})

        def measure(char: str) -> float:
            if char not in known:
                known[char] = self.pdf.get_string_width(char)
            return known[char]

        return list(_wrapped(text, width, measure)) or [""]


def _wrapped(text: str, width: float, measure: Callable[[str], float]) -> Iterator[str]:
    line, used, space = "", 0.0, measure(" ")
    for word in text.split(" "):
        length = sum(map(measure, word))
        if line and used + space + length <= width:
            line, used = f"{line} {word}", used + space + length
            continue
        if line:
            yield line
        line, used = "", 0.0
        for char in word:
            if line and used + measure(char) > width:
                yield line
                line, used = "", 0.0
            line, used = line + char, used + measure(char)
    if line:
        yield line


def _plain(char: str) -> str:
    """``char`` in letters of Windows-1252, or a question mark."""
    for candidate in (char, _INSTEAD.get(char, ""), unicodedata.normalize("NFKD", char)):
        kept = candidate.encode(_ENCODING, "ignore").decode(_ENCODING)
        if kept:
            return kept
    return "?"
