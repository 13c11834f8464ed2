"""Matchers as people write them, ``service=api`` or ``region=~eu-.*``: those of Alertmanager."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

_MATCHER = re.compile(r"\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)(.*)", re.DOTALL)


def matcher_parts(text: str) -> tuple[str, str, str]:
    """Label, operator and value of a matcher; the value may stand in quotes. Raises ValueError."""
    parts = _MATCHER.fullmatch(text)
    if parts is None:
        raise ValueError(
            f"{text!r} is not a matcher; write service=api, env!=prod, region=~eu-.* or job!~test.*"
        )
    value = parts[3].strip()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return parts[1], parts[2], value


def selector(texts: Iterable[str]) -> str:
    """The matchers as PromQL writes them together: ``{service="api",env!="dev"}``. Raises ValueError."""
    parts = (matcher_parts(text) for text in texts)
    return (
        "{"
        + ",".join(f"{name}{op}{json.dumps(value, ensure_ascii=False)}" for name, op, value in parts)
        + "}"
    )
