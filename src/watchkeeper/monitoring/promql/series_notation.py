"""Series as Prometheus' tests and promtool write them: ``metric{a="b"} 0+10x5 _ stale {{schema:0}}``.

Always true: a series has one :class:`Value` per step, in order, so the time of a value is its position
times the interval. Source: https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/#series
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum

from watchkeeper.monitoring.promql.ast import PromQLError
from watchkeeper.monitoring.promql.durations import parse_duration
from watchkeeper.monitoring.promql.lexer import Kind, Lexer, Token

MAX_VALUES = 1_000_000
"""How many values one series may have: a repetition beyond it is a mistake, not a test."""


class Special(Enum):
    """A step that holds no number."""

    OMITTED = "_"
    STALE = "stale"
    HISTOGRAM = "{{}}"


Value = float | Special


@dataclass(frozen=True, slots=True)
class SeriesText:
    """``labels``: (name, value) pairs sorted by name, the metric name as ``__name__``; ``values`` by step."""

    labels: tuple[tuple[str, str], ...]
    values: tuple[Value, ...]

    @property
    def has_histograms(self) -> bool:
        """Is any value a native histogram?"""
        return Special.HISTOGRAM in self.values


def parse_series(text: str) -> SeriesText:
    """A metric and its values. Raises :class:`PromQLError` with the place in ``text``."""
    labels, end = _metric(text)
    if end < len(text) and not text[end].isspace():
        raise PromQLError("expected a space between the metric and its values", end)
    return SeriesText(labels, _values(text, end))


def parse_metric(text: str) -> tuple[tuple[str, str], ...]:
    """A metric alone, as ``name{label="value"}``. Raises :class:`PromQLError`."""
    labels, end = _metric(text)
    if text[end:].strip():
        raise PromQLError(f'unexpected "{text[end:].strip()}" after the metric', end, len(text))
    return labels


def parse_values(text: str) -> tuple[Value, ...]:
    """Values alone, as promtool's ``values`` has them. Raises :class:`PromQLError`."""
    return _values(text, 0)


# -- the metric --------------------------------------------------------------------------------


def _metric(text: str) -> tuple[tuple[tuple[str, str], ...], int]:
    lexer = Lexer(text)
    labels: dict[str, str] = {}
    end = 0
    token = lexer.next()
    if token.kind is Kind.NAME:
        labels["__name__"] = token.text
        end = token.end
        if text[end : end + 1] != "{":
            return tuple(labels.items()), end
        token = lexer.next()
    if token.text == "{" and token.kind is Kind.SYMBOL:
        end = _labels(lexer, labels)
    elif not labels:
        raise PromQLError("expected a metric", token.start, max(token.end, token.start + 1))
    return tuple(sorted((name, value) for name, value in labels.items() if value)), end


def _labels(lexer: Lexer, labels: dict[str, str]) -> int:
    """Reads up to the closing brace, whose end it returns."""
    token = lexer.next()
    while not _is(token, "}"):
        if token.kind not in (Kind.NAME, Kind.STRING):
            raise _unexpected(token, 'a label name or "}"')
        name = token.value if token.kind is Kind.STRING else token.text
        follower = lexer.next()
        if _is(follower, "="):
            value = lexer.next()
            if value.kind is not Kind.STRING:
                raise _unexpected(value, "a quoted value")
            labels[name] = value.value
            follower = lexer.next()
        elif token.kind is Kind.STRING:
            labels["__name__"] = name
        else:
            raise _unexpected(follower, '"="')
        if _is(follower, ","):
            follower = lexer.next()
        elif not _is(follower, "}"):
            raise _unexpected(follower, '"," or "}"')
        token = follower
    return token.end


def _is(token: Token, symbol: str) -> bool:
    return token.kind is Kind.SYMBOL and token.text == symbol


def _unexpected(token: Token, expected: str) -> PromQLError:
    return PromQLError(
        f"unexpected {token.describe()} in label set, expected {expected}",
        token.start,
        max(token.end, token.start + 1),
    )


# -- the values --------------------------------------------------------------------------------

_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|(?i:inf|nan))"
_DURATION = r"(?:[0-9]+(?:ms|[smhdwy]))+"
_HISTOGRAM = r"\{\{[^{}]*\}\}"
_ITEM = re.compile(
    rf"(?:(?P<blank>_)|(?P<stale>stale)"
    rf"|(?P<start>[+-]?(?:{_DURATION}|{_NUMBER}))(?P<step>[+-](?:{_DURATION}|{_NUMBER}))?"
    rf"|(?P<histogram>{_HISTOGRAM}(?:[+-]{_HISTOGRAM})?))"
    r"(?:x(?P<times>[0-9]+))?(?=\s|$)"
)
_SPACES = re.compile(r"\s*")
_WORD = re.compile(r"\S+")


def _values(text: str, position: int) -> tuple[Value, ...]:
    values: list[Value] = []
    position = _skip(text, position)
    while position < len(text):
        item = _ITEM.match(text, position)
        if item is None or (item["step"] and item["times"] is None) or (item["stale"] and item["times"]):
            raise _bad_value(text, position)
        times = None if item["times"] is None else item["times"]
        if times is not None and (len(times) > 7 or len(values) + int(times) >= MAX_VALUES):
            raise PromQLError(f"a series may have at most {MAX_VALUES} values", position, item.end())
        values += _expand(item, None if times is None else int(times))
        position = _skip(text, item.end())
    return tuple(values)


def _expand(item: re.Match[str], times: int | None) -> list[Value]:
    if item["blank"]:
        return [Special.OMITTED] * (1 if times is None else times)
    if item["stale"]:
        return [Special.STALE]
    # A repetition counts from zero: "1x4" is five values.
    count = 1 if times is None else times + 1
    if item["histogram"]:
        return [Special.HISTOGRAM] * count
    value, step = _number(item["start"]), _number(item["step"]) if item["step"] else 0.0
    values: list[Value] = []
    for _ in range(count):
        values.append(value)
        value += step
    return values


def _number(text: str) -> float:
    sign, digits = (-1.0, text[1:]) if text[0] == "-" else (1.0, text.lstrip("+"))
    if digits[-1] in "smhdwy":
        return sign * parse_duration(digits) / 1000
    value = float(digits)
    return math.nan if math.isnan(value) else sign * value


def _skip(text: str, position: int) -> int:
    spaces = _SPACES.match(text, position)
    return position if spaces is None else spaces.end()


def _bad_value(text: str, position: int) -> PromQLError:
    word = _WORD.match(text, position)
    end = len(text) if word is None else word.end()
    return PromQLError(
        f'not a series value: "{text[position:end]}" (a number, "1+2x3", "_", "_x3", "stale" or a histogram)',
        position,
        end,
    )
