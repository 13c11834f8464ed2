"""Markdown that people wrote, as HTML.

Always true: whatever the text holds, nothing but Markdown's own elements comes out: no raw HTML, no picture
from another host, no link that runs a script (tests/console/test_prose.py).
"""

from __future__ import annotations

from markdown_it import MarkdownIt
from markupsafe import Markup

_READER = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def prose(text: str) -> Markup:
    """``text`` as HTML."""
    html = _READER.render(text)
    for tag in ("table", "pre"):  # on a phone they scroll, also by keyboard
        html = html.replace(f"<{tag}>", f'<{tag} tabindex="0">')
    return Markup(html)  # noqa: S704 - MarkdownIt escapes what is HTML
