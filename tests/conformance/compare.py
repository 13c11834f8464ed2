"""Does a result agree with what a test script expects?

Always true: every function returns None where they agree, else one sentence that says where they do not.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Iterable

from tests.conformance.script import Eval, Message
from watchkeeper.monitoring.labels import Labels
from watchkeeper.monitoring.promql.ast import ValueType
from watchkeeper.monitoring.promql.result import Point, Result, Series, format_labels
from watchkeeper.monitoring.promql.series_notation import Special, Value
from watchkeeper.monitoring.samples.frame import STALE_BITS

TOLERANCE = 1e-6
"""The relative error that Prometheus allows in its own tests."""


def almost_equal(a: float, b: float) -> bool:
    """As Prometheus' own tests have it: the difference relative to the sum; NaN equals NaN."""
    if _is_stale(a) or _is_stale(b):
        return _is_stale(a) and _is_stale(b)
    if a == b or (math.isnan(a) and math.isnan(b)):
        return True
    total, difference = abs(a) + abs(b), abs(a - b)
    smallest = sys.float_info.min
    if a == 0 or b == 0 or total < smallest:
        return difference < TOLERANCE * smallest
    return difference / min(total, sys.float_info.max) < TOLERANCE


def _is_stale(value: float) -> bool:
    return bool(struct.pack("<d", value) == struct.pack("<Q", STALE_BITS))


def annotated(command: Eval, given: Iterable[str]) -> str | None:
    """Warnings and infos: each expected one is there, and where some are expected no other is."""
    by_kind: dict[str, list[str]] = {"warn": [], "info": []}
    for text in given:
        kind = {"PromQL warning": "warn", "PromQL info": "info"}.get(text.partition(":")[0])
        if kind is None:
            return f"an annotation that is neither a warning nor an info: {text}"
        by_kind[kind].append(text)
    for kind, texts in by_kind.items():
        if f"no_{kind}" in command.messages and texts:
            return f"expected no {kind} annotation, got {texts}"
        if kind in command.messages and (problem := _annotations(kind, command.messages[kind], texts)):
            return problem
    return None


def _annotations(kind: str, expected: list[Message], texts: list[str]) -> str | None:
    if not texts:
        return f"expected a {kind} annotation, got none"
    for message in expected:
        if not any(message.fits(text) for text in texts):
            return f"expected a {kind} annotation with {message}, got {texts}"
    for text in texts:
        if expected and not any(message.fits(text) for message in expected):
            return f"unexpected {kind} annotation: {text}"
    return None


def failure(command: Eval, message: str) -> str | None:
    """The message of an evaluation that was to fail, and did."""
    for expected in command.messages["fail"]:
        if not expected.fits(message):
            return f"expected to fail with {expected}, failed with {message!r}"
    return None


def result(command: Eval, actual: Result) -> str | None:
    """The values, and for an ordered vector their order."""
    if actual.type is ValueType.STRING:
        if command.string == actual.string:
            return None
        return f"expected {_expected(command)}, got string {actual.string!r}"
    if command.string is not None:
        return f"expected string {command.string!r}, got a {actual.type}"
    if actual.type is ValueType.SCALAR:
        return _scalar(command, actual.scalar)
    if command.scalar is not None:
        return f"expected scalar {command.scalar}, got {_shown(actual.series)}"
    if actual.type is ValueType.MATRIX:
        return _matrix(command, actual.series)
    return vector(command, actual.series)


def _scalar(command: Eval, value: float) -> str | None:
    if command.scalar is None:
        return f"expected {_expected(command)}, got scalar {value}"
    if not almost_equal(command.scalar, value):
        return f"expected scalar {command.scalar}, got {value}"
    return None


def vector(command: Eval, series: list[Series]) -> str | None:
    """An instant vector: the same series, each with its value, in the same order if that matters."""
    positions = {labels: position for position, labels in enumerate(command.series)}
    for position, item in enumerate(series):
        if item.labels not in positions:
            return f"unexpected series {format_labels(item.labels)} with {item.points}"
        if command.ordered and positions[item.labels] != position:
            wanted_at = positions[item.labels]
            return f"expected {format_labels(item.labels)} at position {wanted_at}, got it at {position}"
        if len(item.points) != 1:
            return f"expected one point of {format_labels(item.labels)}, got {len(item.points)}"
        wanted, got = command.series[item.labels][0], item.points[0][1]
        # A staleness marker or an omitted value cannot be a result.
        if isinstance(wanted, Special) or not almost_equal(wanted, got):
            return f"expected {wanted} for {format_labels(item.labels)}, got {got}"
    return _missing(command, series)


def _matrix(command: Eval, series: list[Series]) -> str | None:
    if command.ordered:
        return "expected an ordered vector, got a matrix"
    names = [item.labels for item in series]
    if names != sorted(names):
        return "the series of a matrix must be sorted by labels, and are not"
    if len(set(names)) != len(names):
        return "the same series twice in a matrix"
    for item in series:
        if item.labels not in command.series:
            return f"unexpected series {format_labels(item.labels)} with {item.points}"
        if problem := _points(command, item.labels, item.points):
            return problem
    return _missing(command, series)


def _points(command: Eval, labels: Labels, points: list[Point]) -> str | None:
    start, end, step = command.points or (command.start_ms, command.end_ms, command.step_ms or 0)
    wanted: list[tuple[int, Value]] = [
        (start + position * step, value)
        for position, value in enumerate(command.series[labels])
        if value is not Special.OMITTED
    ]
    name = format_labels(labels)
    if any(time > end for time, _ in wanted):
        return f"the script expects more points of {name} than the range has"
    if [time for time, _ in wanted] != [time for time, _ in points]:
        return f"expected points of {name} {wanted}, got {points}"
    for (time, value), (_, got) in zip(wanted, points, strict=True):
        if isinstance(value, Special) or not almost_equal(value, got):
            return f"expected {value} for {name} at {time} ms, got {got} (all: {points})"
    return None


def _missing(command: Eval, series: list[Series]) -> str | None:
    seen = {item.labels for item in series}
    for labels, values in command.series.items():
        if labels not in seen:
            return f"expected series {format_labels(labels)} with {list(values)}, got {_shown(series)}"
    return None


def _expected(command: Eval) -> str:
    if command.string is not None:
        return f"string {command.string!r}"
    if command.scalar is not None:
        return f"scalar {command.scalar}"
    return f"{len(command.series)} series"


def _shown(series: list[Series]) -> str:
    shown = ", ".join(f"{format_labels(item.labels)} {item.points[-1][1]}" for item in series[:5])
    return f"{len(series)} series ({shown}{', ...' if len(series) > 5 else ''})" if series else "nothing"
