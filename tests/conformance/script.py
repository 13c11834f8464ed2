"""Prometheus' test scripts (``.test`` files) as data.

Always true: reading never stops at a mistake; a command that cannot be read becomes :class:`Broken`, with
its line. Source: the format that the README of Prometheus' ``promqltest`` package describes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from watchkeeper.monitoring.labels import Labels
from watchkeeper.monitoring.promql.ast import PromQLError
from watchkeeper.monitoring.promql.durations import parse_duration
from watchkeeper.monitoring.promql.lexer import Kind, Lexer
from watchkeeper.monitoring.promql.series_notation import Value, parse_series

_SPACE = re.compile(r"[\t ]+")
_LOAD = re.compile(r"load(?:_(with_nhcb))?\s+(.+?)")
_INSTANT = re.compile(r"eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?))?\s+(.+)")
_RANGE = re.compile(r"eval(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+)")
_EXPECT = re.compile(r"expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?")
_EXPECT_RANGE = re.compile(r"expect range vector\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+)")


class ScriptError(ValueError):
    """A line that is not of the format."""


@dataclass(frozen=True)
class Clear:
    line: int


@dataclass(frozen=True)
class LoadedSeries:
    labels: Labels
    values: tuple[Value, ...]
    start_timestamps: bool = False


@dataclass(frozen=True)
class Load:
    line: int
    step_ms: int
    with_nhcb: bool
    series: tuple[LoadedSeries, ...]


@dataclass(frozen=True)
class Message:
    """What an error or annotation must say: a text, or a pattern somewhere in it, or anything."""

    text: str | None = None
    pattern: str | None = None

    def fits(self, actual: str) -> bool:
        if self.pattern is not None:
            return re.search(self.pattern, actual) is not None
        return self.text is None or self.text == actual

    def __str__(self) -> str:
        if self.pattern is not None:
            return f"a text that matches {self.pattern!r}"
        return "any text" if self.text is None else repr(self.text)


@dataclass
class Eval:
    """One evaluation and what must come of it. Times in milliseconds since the epoch."""

    line: int
    text: str
    start_ms: int
    end_ms: int
    step_ms: int | None
    """None: an instant query at ``start_ms``."""
    messages: dict[str, list[Message]] = field(default_factory=dict)
    """By kind: fail, warn, no_warn, info, no_info."""
    ordered: bool = False
    scalar: float | None = None
    string: str | None = None
    points: tuple[int, int, int] | None = None
    """Start, end and step of the points of a range vector that an instant query must return."""
    series: dict[Labels, tuple[Value, ...]] = field(default_factory=dict)
    """In the order of the script."""

    @property
    def must_fail(self) -> bool:
        return "fail" in self.messages


@dataclass(frozen=True)
class Broken:
    line: int
    reason: str


Command = Clear | Load | Eval | Broken


def read(text: str) -> list[Command]:
    """The commands of a script, in order."""
    return list(_commands(_Lines(text)))


class _Lines:
    """The lines of a script without comments, and the place in them. Line numbers count from 1."""

    def __init__(self, text: str) -> None:
        stripped = [line.strip() for line in text.split("\n")]
        self._lines = ["" if line.startswith("#") else line for line in stripped]
        self.number = 0

    def next(self) -> str | None:
        if self.number >= len(self._lines):
            return None
        self.number += 1
        return self._lines[self.number - 1]

    def block(self) -> Iterator[str]:
        """The lines up to the next empty one."""
        while self.number < len(self._lines) and self._lines[self.number]:
            self.number += 1
            yield self._lines[self.number - 1]

    def rest(self) -> None:
        for _ in self.block():
            pass


def _commands(lines: _Lines) -> Iterator[Command]:
    while (line := lines.next()) is not None:
        if not line:
            continue
        number = lines.number
        word = _SPACE.split(line, maxsplit=1)[0].lower()
        try:
            if word == "clear":
                yield Clear(number)
            elif word.startswith("load"):
                yield _load(line, lines)
            elif word.startswith("eval"):
                yield _eval(line, lines)
            else:
                raise ScriptError(f"not a command: {line}")
        except (ScriptError, PromQLError) as error:
            yield Broken(lines.number, str(error))
            lines.rest()


def _load(line: str, lines: _Lines) -> Load:
    match = _LOAD.fullmatch(line)
    if match is None:
        raise ScriptError("expected load[_with_nhcb] STEP")
    number, step_ms = lines.number, _duration(match[2])
    loaded: dict[Labels, LoadedSeries] = {}
    stamped: Labels | None = None
    for definition in lines.block():
        head = _SPACE.split(definition, maxsplit=1)[0]
        if head.endswith("@st"):
            stamped = parse_series(head.removesuffix("@st") + " _").labels
            continue
        series = parse_series(definition)
        loaded[series.labels] = LoadedSeries(
            series.labels, series.values, start_timestamps=stamped == series.labels
        )
        stamped = None
    return Load(number, step_ms, match[1] is not None, tuple(loaded.values()))


def _eval(line: str, lines: _Lines) -> Eval:
    if match := _INSTANT.fullmatch(line):
        at = _duration(match[2] or "")
        command = Eval(lines.number, match[3], at, at, None)
    elif match := _RANGE.fullmatch(line):
        command = Eval(lines.number, match[5], _duration(match[2]), _duration(match[3]), _duration(match[4]))
        if command.end_ms < command.start_ms:
            raise ScriptError("the end is before the start")
    else:
        raise ScriptError(
            "expected eval[_...] instant at TIME EXPR, or range from TIME to TIME step STEP EXPR"
        )
    if match[1] == "ordered":
        command.ordered = True
    elif match[1]:
        command.messages[match[1]] = []
    for expectation in lines.block():
        if not _expectation(command, expectation):
            break
    return command


def _expectation(command: Eval, line: str) -> bool:
    """Adds one line below an evaluation to it; False: no further line belongs to it."""
    if command.must_fail and line.startswith("expected_fail_message"):
        command.messages["fail"].append(Message(text=line.removeprefix("expected_fail_message").strip()))
        return False
    if command.must_fail and line.startswith("expected_fail_regexp"):
        command.messages["fail"].append(Message(pattern=line.removeprefix("expected_fail_regexp").strip()))
        return False
    if line.startswith("expect range vector"):
        match = _EXPECT_RANGE.fullmatch(line)
        if match is None:
            raise ScriptError("expected: expect range vector from TIME to TIME step STEP")
        command.points = (_duration(match[1]), _duration(match[2]), _duration(match[3]))
        command.start_ms = command.end_ms = command.points[1]
    elif line.startswith("expect string"):
        command.string = _string(line.removeprefix("expect string").strip())
    elif line.split(" ")[0] == "expect":
        _expect(command, line)
    elif (number := _number(line)) is not None:
        command.scalar = number
        return False
    else:
        series = parse_series(line)
        if len(series.values) > 1 and command.step_ms is None and command.points is None:
            raise ScriptError("several values for an instant query; did you mean: expect range vector")
        command.series[series.labels] = series.values
    return True


def _expect(command: Eval, line: str) -> None:
    match = _EXPECT.fullmatch(line)
    if match is None:
        raise ScriptError("expected: expect KIND [msg:TEXT | regex:PATTERN]")
    if match[1] == "ordered":
        command.ordered = True
        return
    text = None if match[3] is None else match[3].strip()
    message = Message(pattern=text) if match[2] == "regex" else Message(text=text)
    kinds = command.messages
    kinds.setdefault(match[1], []).append(message)
    if ("warn" in kinds and "no_warn" in kinds) or ("info" in kinds and "no_info" in kinds):
        raise ScriptError("an annotation cannot be both expected and excluded")


def _duration(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ScriptError(str(error)) from None


def _string(text: str) -> str:
    token = Lexer(text).next()
    if token.kind is not Kind.STRING or token.end != len(text):
        raise ScriptError("expected a quoted string")
    return token.value


def _number(text: str) -> float | None:
    try:
        return float(int(text, 0))
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None
