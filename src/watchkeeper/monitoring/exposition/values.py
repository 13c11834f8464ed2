"""The values of a whole body as float64, exactly as the strict grammar reads each of them.

Always true: the result is that of :func:`.grammar.parse_value` for every value, or :class:`BadValueError`
with the first that it refuses (tests/monitoring/test_exposition_values.py). Numbers are correctly rounded.
"""

from __future__ import annotations

from array import array

import numpy as np
from pydantic_core import from_json

from watchkeeper.monitoring.exposition.grammar import LineError, parse_value
from watchkeeper.monitoring.samples.frame import NORMAL_NAN_BITS, Floats

_NUMERIC = b"0123456789.+-eE"
_NAN = np.array([NORMAL_NAN_BITS], np.uint64).view(np.float64)[0]


class BadValueError(ValueError):
    """The ``index``-th value is none; the message is the reason."""

    def __init__(self, reason: str, index: int) -> None:
        super().__init__(reason)
        self.index = index


def parse_values(text: bytes) -> Floats:
    """The numbers that ``text`` has, each with a line end behind it."""
    if not text:
        return np.zeros(0)
    if not text.translate(None, _NUMERIC + b"\n"):
        values = _json_numbers(text)
        if values is not None:
            return values
    return _one_by_one(text)


def _json_numbers(text: bytes) -> Floats | None:
    """By a JSON parser, which is the fastest reader of decimals at hand; None where JSON has other rules."""
    listed = b"[" + text[:-1].replace(b"\n", b",") + b"]"
    if b",-0," in listed or listed.startswith(b"[-0") or listed.endswith(b"-0]"):
        return None  # an integer in JSON: it would lose its sign
    try:
        values = np.frombuffer(array("d", from_json(listed)))
    except (ValueError, OverflowError):
        return None
    return values if len(values) == text.count(b"\n") and np.isfinite(values).all() else None


def _one_by_one(text: bytes) -> Floats:
    words = text[:-1].split(b"\n")
    known: dict[bytes, float] = {}
    values = np.empty(len(words))
    for index, word in enumerate(words):
        value = known.get(word)
        if value is None:
            try:
                value = known[word] = parse_value(word)
            except LineError as error:
                raise BadValueError(str(error), index) from None
        values[index] = value
    values[np.isnan(values)] = _NAN
    return values
