"""What a step expects of its outputs: equality, or a comparison written ``">= 1"``. Pure.

Always true: a value that is missing, of another kind or not a number meets no expectation; the sentence says
what was measured against what was expected (tests/playbooks/test_expectations.py).
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from watchkeeper.runbook.models.quantities import BadQuantityError, Figure

_COMPARISON = re.compile(r"^(>=|<=|==|!=|>|<)\s*(.+)$", re.DOTALL)
_NUMERIC: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_MISSING = object()
_LONGEST = 200


def unmet(expect: Mapping[str, Any], outputs: Mapping[str, Any]) -> list[str]:
    """A sentence for each expectation that ``outputs`` do not meet; empty when all are met."""
    return [
        sentence for name, wanted in expect.items() if (sentence := _unmet(name, wanted, outputs)) is not None
    ]


def _unmet(name: str, wanted: Any, outputs: Mapping[str, Any]) -> str | None:
    measured = _measured(name, outputs)
    if measured is _MISSING:
        there = ", ".join(sorted(outputs)) or "nothing"
        return f"{name} was not measured (expected {_shown(wanted)}; measured: {there})"
    if _meets(measured, wanted):
        return None
    return f"{name} is {_shown(measured)}, expected {wanted if _compares(wanted) else _shown(wanted)}"


def _measured(name: str, outputs: Mapping[str, Any]) -> Any:
    if name in outputs:
        return outputs[name]
    found: Any = outputs
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return _MISSING
        found = found[part]
    return found


def _compares(wanted: Any) -> bool:
    return isinstance(wanted, str) and _COMPARISON.match(wanted) is not None


def _meets(measured: Any, wanted: Any) -> bool:
    match = _COMPARISON.match(wanted) if isinstance(wanted, str) else None
    if match is None:
        return _equal(measured, wanted)
    sign, text = match[1], match[2].strip()
    bound = _number(text)
    value = _number(measured)
    if sign in ("==", "!="):
        same = value == bound if value is not None and bound is not None else str(_plain(measured)) == text
        return same is (sign == "==")
    return value is not None and bound is not None and _NUMERIC[sign](value, bound)


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, bool) else value


def _equal(measured: Any, wanted: Any) -> bool:
    if isinstance(measured, bool) or isinstance(wanted, bool):
        return measured is wanted
    if isinstance(wanted, (int, float)):
        return _number(measured) == float(wanted)
    return bool(measured == wanted)


def _number(value: Any) -> float | None:
    """A figure as a number in base units: 3, "3", "3%", "15m"; None for what is none."""
    if isinstance(value, bool):
        return None
    try:
        found = float(Figure(value))
    except BadQuantityError:
        return None
    return found if math.isfinite(found) else None


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
