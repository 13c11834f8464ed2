"""Opaque tokens: 256 random bits that say nothing, of which only the SHA-256 is ever kept.

Always true here: whoever has the database, all of it, cannot make a token from it that is accepted
(tests/access/test_plaintext.py). A plain hash is enough, because 256 random bits cannot be guessed.
"""

from __future__ import annotations

import hashlib
import re
import secrets

_FORM = re.compile(r"[A-Za-z0-9_-]{43}")


def new() -> str:
    """A token of 256 bits: 43 characters of ``A-Z a-z 0-9 _ -``."""
    return secrets.token_urlsafe(32)


def digest(token: str, prefix: str = "") -> str | None:
    """The SHA-256 (hex) under which ``token`` is kept; ``None`` for what no token of ours looks like."""
    if not token.startswith(prefix) or not _FORM.fullmatch(token, len(prefix)):
        return None
    return hashlib.sha256(token.encode("ascii")).hexdigest()
