"""People's text stays text, whatever stands in it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.incidents.markdown import block, inline

NASTY = st.text(alphabet="<>&[]()!#`~*_|\\:/\n\t \x00\x1b\u202eajscript=-", max_size=60)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("[here](javascript:alert(1))", "[here]\\(javascript:alert(1))"),
        ("[here](  javascript:alert(1))", "[here]\\(  javascript:alert(1))"),
        ("[here](HTTPS://example.org)", "[here](HTTPS://example.org)"),
        ("![x](https://example.org/pixel)", "!\\[x](https://example.org/pixel)"),
        ("[x]: javascript:alert(1)", "[x]\\: javascript:alert(1)"),
        ("[a](javascript&#58;x)", "[a]\\(javascript&amp;#58;x)"),
        ("# Timeline", "\\# Timeline"),
        ("Timeline\n===", "Timeline\n\\==="),
        ("- one\n- **two**", "- one\n- **two**"),
        ("```\ncode", "```\ncode\n```"),
        ("a\x1b[2Jb", "a [2Jb"),
    ],
)
def test_a_paragraph(text: str, shown: str) -> None:
    assert block(text) == shown


def test_a_line_stays_in_its_cell() -> None:
    assert inline("a | b\n\n# c <i>") == "a \\| b # c &lt;i&gt;"


@given(NASTY)
def test_nothing_becomes_html_a_link_elsewhere_or_an_image(text: str) -> None:
    for shown in (block(text), inline(text)):
        assert "<" not in shown
        assert not re.search(r"(?<!\\)(\\\\)*\]\((?!https?://)", shown, re.IGNORECASE)
        assert "![" not in shown
        assert all(char.isprintable() or char in "\n\t" for char in shown)
    assert not re.search(r"^\s{0,3}#", block(text), re.MULTILINE)
    assert "\n" not in inline(text)
    assert not re.search(r"(?<!\\)(\\\\)*\|", inline(text))
