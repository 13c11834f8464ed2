"""Markdown of people becomes Markdown's own elements, and nothing else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.console.prose import prose

TAGS = {
    "p", "strong", "em", "a", "ul", "ol", "li", "code", "pre", "blockquote", "h1", "h2", "h3", "h4", "h5",
    "h6", "hr", "br", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
PIECES = st.sampled_from(
    ["<script>", "</p>", "<img src=x onerror=alert(1)>", "[a](javascript:alert(1))",
     "[a](data:text/html,x)", "![b](http://evil/x)",
     "**b**", "\n\n", "`", "```", "| a |\n|---|\n", "<a href='//x'>", "# t", "&lt;", "](", "x"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=30).map("".join))
def test_no_text_becomes_more_than_markdown(text: str) -> None:
    html = str(prose(text))
    assert set(re.findall(r"<\s*/?\s*([a-zA-Z0-9]+)", html)) <= TAGS
    assert not re.search(r"<[^>]*\son\w+\s*=", html)
    assert not re.search(r'href="\s*(javascript|data|vbscript):', html, re.IGNORECASE)


@pytest.mark.parametrize(("text", "html"), [("**a**", "<strong>a</strong>"), ("- a", "<li>a</li>")])
def test_what_people_mean_comes_out(text: str, html: str) -> None:
    assert html in prose(text)
