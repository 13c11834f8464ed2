"""Prometheus durations: text <-> integer milliseconds.

Always true: ``parse_duration(format_duration(ms)) == ms`` for every whole ``ms`` from 0 on
(tests/monitoring/promql/test_parser_literals.py). Source: Prometheus' ``common/model`` package.
"""

from __future__ import annotations

import re

_UNITS_MS = {
    "y": 365 * 86_400_000,
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}
_DURATION = re.compile(
    r"(?:([0-9]+)y)?(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?(?:([0-9]+)ms)?"
)
MAX_DURATION_MS = (2**63 - 1) // 1_000_000
"""The longest duration: what fits into 64 bits of nanoseconds, about 292 years."""


def parse_duration(text: str) -> int:
    """``text`` such as ``1h30m`` in milliseconds. Units go from large to small, each at most once.

    Raises :class:`ValueError` with a message for the person who wrote it.
    """
    if text == "":
        raise ValueError("empty duration string")
    if text == "0":
        return 0
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f'not a valid duration string: "{text}"')
    if any(part is not None and len(part) > 19 for part in match.groups()):
        raise ValueError("duration out of range")
    total = sum(
        int(part) * unit
        for part, unit in zip(match.groups(), _UNITS_MS.values(), strict=True)
        if part is not None
    )
    if total > MAX_DURATION_MS:
        raise ValueError("duration out of range")
    return total


def format_duration(ms: int) -> str:
    """``ms`` as Prometheus writes it: ``5400000`` is ``1h30m``.

    Years and weeks are used only where nothing is left over for smaller units, as Prometheus does.
    """
    if ms == 0:
        return "0s"
    sign, rest = ("-", -ms) if ms < 0 else ("", ms)
    parts: list[str] = []
    for unit, size in _UNITS_MS.items():
        if unit in ("y", "w") and rest % size:
            continue
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return sign + "".join(parts)
