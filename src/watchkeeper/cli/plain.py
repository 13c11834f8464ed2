"""Text from outside, made fit for a terminal. Imports nothing, so that every command may use it at once."""

from __future__ import annotations


def plain(text: str) -> str:
    """``text`` without control characters: what comes from outside could move the cursor."""
    return "".join(char if char.isprintable() else " " for char in text)
