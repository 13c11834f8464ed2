"""Outputs of steps, kept within bounds: what a program prints must not fill the store. Pure.

Always true: what is kept is plain JSON of at most ``LIMIT_BYTES`` and says where something was left out
(tests/playbooks/test_outputs.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from watchkeeper.store.canonical import canonical_json, plain

LIMIT_BYTES = 64 << 10
JOURNAL_BYTES = 4 << 10


def bounded(outputs: Mapping[str, Any], limit: int = LIMIT_BYTES) -> dict[str, Any]:
    """``outputs`` as plain JSON of at most ``limit`` bytes: long texts lose their middle."""
    try:
        found = plain(dict(outputs))
    except TypeError as error:
        return {"left_out": f"the outputs cannot be kept: {error}"}
    size = len(canonical_json(found).encode())
    longest = limit
    while size > limit and longest > 64:
        longest //= 2
        found = _shortened(found, longest)
        size = len(canonical_json(found).encode())
    if size > limit:
        return {"left_out": f"the outputs were {size} bytes; at most {limit} are kept"}
    assert isinstance(found, dict)
    return found


def parsed(text: str) -> dict[str, Any]:
    """What JSON in ``text`` means as outputs: an object's members, else ``json``; nothing for other text."""
    stripped = text.strip()
    if stripped[:1] not in ("{", "["):
        return {}
    try:
        found = json.loads(stripped)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {"json": found}


def _shortened(value: Any, longest: int) -> Any:
    if isinstance(value, str) and len(value) > longest:
        half = longest // 2
        return f"{value[:half]}\n[{len(value) - 2 * half} characters left out]\n{value[-half:]}"
    if isinstance(value, dict):
        return {key: _shortened(item, longest) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item, longest) for item in value]
    return value
