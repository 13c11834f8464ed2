"""One text for one value: the JSON that is hashed, compared and stored.

Always true here: equal values give equal bytes (keys sorted, no spaces, UTF-8), the text parses back to an
equal value, and a value that JSON has no word for is either given one (times, non-finite numbers) or refused
by name - never guessed at (tests/store/test_canonical.py).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any


def canonical_json(value: Any) -> str:
    """``value`` as canonical JSON text.

    Times become RFC 3339 text in UTC, non-finite numbers the words that Prometheus uses (``NaN``, ``+Inf``,
    ``-Inf``). Raises :class:`TypeError` naming the path of anything else that JSON cannot say.
    """
    return json.dumps(
        plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def plain(value: Any, path: str = "$") -> Any:
    """``value`` reduced to what JSON has: dicts with text keys, lists, text, numbers, true, false, null."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return plain(value.value, path)
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _non_finite(value)
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, Mapping):
        return {_key(key, path): plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
    raise TypeError(f"{path} is a {type(value).__name__}, which cannot be recorded as JSON")


def rfc3339(moment: datetime) -> str:
    """``moment`` as ``2026-01-05T03:00:00.000000Z``; microseconds only where there are some."""
    if moment.tzinfo is None:
        raise TypeError("a time without a zone cannot be recorded; use an aware datetime in UTC")
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def storable(text: str) -> str:
    """``text`` with what no database and no wire takes (NUL, lone surrogates) replaced by U+FFFD."""
    if text.isascii() and "\0" not in text:
        return str(text)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "\ufffd")


def _key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{path} has the key {key!r}, a {type(key).__name__}; keys of JSON are text")
    return storable(key)


def _non_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"
