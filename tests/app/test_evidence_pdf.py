"""The package as a PDF: what stands in it can be read back out of it, word for word."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.app.packages import ERRORS, fill, package
from watchkeeper.app.evidence_package import Chain, Package
from watchkeeper.app.evidence_pdf import MISSING, PdfUnavailableError, as_pdf
from watchkeeper.store.database import open_store

pypdf = pytest.importorskip("pypdf")
DEJAVU = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Package]:
    with open_store(tmp_path) as store:
        fill(store)
        yield package(store)


def pages(content: bytes) -> list[str]:
    return [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages]


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def test_every_clause_every_verdict_and_every_hash_can_be_selected(made: Package) -> None:
    said = pages(as_pdf(made))
    everything = squeezed("".join(said))
    for one in made.clauses:
        assert squeezed(one.id) in everything
        for piece in one.evidence:
            assert piece.hash in everything
    assert made.chain.head in everything
    assert "intact" in said[0]
    for number, page in enumerate(said, 1):
        assert f"page {number} of {len(said)}" in page


def test_the_same_package_gives_the_same_bytes(made: Package) -> None:
    assert as_pdf(made) == as_pdf(made)


def test_letters_that_the_font_lacks_are_plain_and_it_says_so(made: Package) -> None:
    everything = squeezed("".join(pages(as_pdf(made))))
    assert squeezed("7 % of zó?w | **failed** =1+1") in everything
    assert squeezed("worst 2 % >= nothing – “all” well ?") in everything
    assert squeezed(MISSING) in everything


@pytest.mark.skipif(not DEJAVU.exists(), reason="needs DejaVu")
def test_a_font_of_ones_own_has_its_letters(made: Package, tmp_path: Path) -> None:
    everything = squeezed("".join(pages(as_pdf(made, DEJAVU))))
    assert squeezed("7 % of żółw") in everything
    assert squeezed(MISSING) not in everything
    (tmp_path / "none.ttf").write_text("no font")
    with pytest.raises(PdfUnavailableError, match="no TrueType font"):
        as_pdf(made, tmp_path / "none.ttf")


def test_what_is_long_goes_on_and_nothing_is_cut_off(made: Package) -> None:
    (errors,) = (one for one in made.clauses if one.id == ERRORS)
    words = [f"word{number}" for number in range(3000)]
    long = replace(errors.evidence[0], summary=" ".join(words) + " " + "x" * 400)
    huge = replace(errors, evidence=(long,) * 2)
    everything = squeezed("".join(pages(as_pdf(replace(made, clauses=(huge,))))))
    for word in words:
        assert everything.count(word) >= 2
    assert "x" * 100 in everything


def test_a_broken_journal_stands_on_the_first_page(made: Package) -> None:
    broken = replace(made, chain=Chain(9, "0" * 64, 3, "its content and its hash do not fit together"))
    assert "BROKEN at entry 3" in pages(as_pdf(broken))[0]


def test_without_its_library_the_error_says_what_to_install(
    made: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fpdf", None)
    with pytest.raises(PdfUnavailableError, match=r"watchkeeper\[pdf\]"):
        as_pdf(made)
