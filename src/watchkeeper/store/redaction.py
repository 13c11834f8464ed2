"""Keeps secrets out of what is recorded, without ever failing to record.

Always true here: text under a key that is named like a secret, and a password inside a URL, never come out of
:func:`masked`; everything else does, unchanged (tests/store/test_redaction.py). A label that happens to be
called ``token`` must not stop a page, so this masks and does not refuse.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

MASK = "[not recorded]"

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_WORD = re.compile(
    r"passw(or)?d|passphrase|pwd|secrets?|tokens?|credentials?|authorization|cookie|apikey|bearer"
)
_KEY_OF = re.compile(r"routing|api|private|access|integration|signing|encryption|service|session")
_URL_PASSWORD = re.compile(r"(?P<head>\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/?#@:]*):(?P<password>[^\s/?#@]+)@")


def masked(value: Any) -> Any:
    """``value`` (plain JSON) without its secrets."""
    if isinstance(value, dict):
        return {key: _under(key, item) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(item) for item in value]
    if isinstance(value, str) and "://" in value:
        return _URL_PASSWORD.sub(rf"\g<head>:{MASK}@", value)
    return value


def names_a_secret(key: str) -> bool:
    """Whether a field of this name holds a secret: ``api_key``, ``routingKey``, ``PASSWORD``, ..."""
    words = [word.lower() for word in _WORDS.findall(key)]
    if any(_SECRET_WORD.fullmatch(word) for word in words):
        return True
    return any(_KEY_OF.fullmatch(first) and second in ("key", "keys") for first, second in pairwise(words))


def _under(key: str, item: Any) -> Any:
    if names_a_secret(key) and item is not None and not isinstance(item, (bool, int, float)):
        return MASK
    return masked(item)
