"""People's text inside our Markdown: it stays text. Pure.

Always true here: whatever somebody wrote, no tag of HTML comes out of it, no link but to http and https, no
image, no heading that could pass for one of ours, and of a line of ours it cannot leave the line
(tests/incidents/test_markdown.py).
"""

from __future__ import annotations

import re

_MARKS = re.compile(r"([\\`*_\[\]|~])")
_LINK = re.compile(r"\](\s*)\((?!https?://)", re.IGNORECASE)
_HEADING = re.compile(r"^([ \t]*)#", re.MULTILINE)
_RULE = re.compile(r"^(\s{0,3})(=+|-+)\s*$", re.MULTILINE)
_FENCE = re.compile(r"^\s{0,3}(`{3,}|~{3,})", re.MULTILINE)


def inline(text: str) -> str:
    """``text`` as part of a line, not its begin, in which nothing is markup."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return _entities(_MARKS.sub(r"\\\1", line))


def block(text: str) -> str:
    """``text`` with paragraphs, lists, emphasis and code; without HTML, images, headings, odd links."""
    shown = "".join(char if char.isprintable() or char in "\n\t" else " " for char in text.strip())
    shown = _entities(shown)
    shown = shown.replace("![", "!\\[").replace("]:", "]\\:")
    shown = _LINK.sub(r"]\1\\(", shown)
    shown = _HEADING.sub(r"\1\\#", shown)
    shown = _RULE.sub(lambda found: f"{found.group(1)}\\{found.group(2)}", shown)
    if len(_FENCE.findall(shown)) % 2:  # a block of code that never ends would swallow what comes after it
        shown += "\n```"
    return shown


def _entities(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
