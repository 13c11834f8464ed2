"""The two text formats, one line at a time, as Prometheus 3 reads them.

Always true: a series that is accepted has a name, no label twice, and valid UTF-8; everything else raises
:class:`LineError` with the reason. The regular expressions accept the common shape quickly and the scanner
explains or accepts the rest; both give the same answer (tests/monitoring/test_exposition_grammar.py).

Sources: https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://prometheus.io/docs/specs/om/open_metrics_spec/; where Prometheus' own parser is more lenient than
these (blanks between the labels of the text format), so are we.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from watchkeeper.monitoring.labels import METRIC_NAME, Labels


class LineError(ValueError):
    """A line is not of the format; the message is the reason, without the line's number."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Where the parts of a sample line are (byte offsets into what was scanned), and its own time if any.

    ``value_start`` is also the end of the key: the series as it is written, with the blanks behind it.
    ``timestamp_ms`` is None where the line has none; an exemplar is checked and dropped.
    """

    value_start: int
    value_end: int
    timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Comment:
    """A line without a sample. ``keyword`` is HELP, TYPE, UNIT or EOF, or empty for any other comment."""

    keyword: str = ""
    name: str = ""
    text: str = ""


_METRIC = rb"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r"[a-zA-Z_][a-zA-Z0-9_]*"
_QUOTED = r'"(?:[^"\\\n]|\\.)*"'
_PAIR = rf"{_LABEL}={_QUOTED}"
_PAIRS = rf"(?:{_PAIR}(?:,{_PAIR})*,?)?".encode()

_PLAIN_SERIES: Final = re.compile(rb"(" + _METRIC + rb")(?:\{(" + _PAIRS + rb")\})? ", re.DOTALL)
"""A series as nearly every exporter writes it: legacy names, no blanks among the labels, one behind."""
_PLAIN_PAIR: Final = re.compile(rf'({_LABEL})="((?:[^"\\\n]|\\.)*)"', re.DOTALL)

_EXEMPLAR_PAIR = rf"(?:{_LABEL}|{_QUOTED})={_QUOTED}"
_EXEMPLAR_PAIRS = rf"(?:{_EXEMPLAR_PAIR}(?:,{_EXEMPLAR_PAIR})*,?)?".encode()
_TEXT_REST: Final = re.compile(rb"[ \t]*([^{ \t\n]+)(?:[ \t]+(-?[0-9]{1,19}))?[ \t]*")
_OM_REST: Final = re.compile(
    rb"([^ \n]+)(?: ([^ #\n][^ \n]*))?"
    rb"(?: # \{(" + _EXEMPLAR_PAIRS + rb")\} ([^ \n]+)(?: ([^ \n]+))?)?",
    re.DOTALL,
)

_FLOAT: Final = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INFINITE: Final = re.compile(rb"[+-]?inf(?:inity)?", re.IGNORECASE)
_ESCAPE: Final = re.compile(r'\\([\\"n])')
_HELP_ESCAPE: Final = re.compile(r"\\([\\n])")
_META_NAME: Final = re.compile(rf"(?:([a-zA-Z_:][a-zA-Z0-9_:]*)|({_QUOTED}))", re.DOTALL)

_TEXT_TYPES = frozenset({"counter", "gauge", "histogram", "summary", "untyped"})
_OM_TYPES = frozenset(
    {"counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown"}
)
_MAX_TIMESTAMP_MS = 2**63 - 1


def parse_value(text: bytes) -> float:
    """The number that ``text`` spells, as Go's ``ParseFloat`` without hexadecimal forms and underscores."""
    if _FLOAT.fullmatch(text):
        value = float(text)
        if math.isinf(value):
            raise LineError(f"value {_shown(text)} is out of range")
        return value
    if _INFINITE.fullmatch(text):
        return -math.inf if text.startswith(b"-") else math.inf
    if text.lower() == b"nan":
        return math.nan
    raise LineError(f"{_shown(text)} is not a value")


def parse_series(key: bytes, openmetrics: bool) -> Labels:
    """The label set that ``key`` spells: a series as it is written, up to where its value begins."""
    match = _PLAIN_SERIES.fullmatch(key)
    if match is None:
        scanner = _Scanner(key, openmetrics)
        labels = scanner.series()
        if scanner.at != len(key):
            raise LineError(f"expected one series, got {_shown(key)}")
        return labels
    name, inner = match.groups()
    pairs = [(METRIC_NAME, name.decode())]
    if inner:
        text = _decoded(inner, "label value")
        found = _PLAIN_PAIR.findall(text)
        if "\\" in text:
            found = [(label, unescape(value)) for label, value in found]
        pairs += found
    return _canonical(pairs)


def locate(body: bytes, start: int, end: int, openmetrics: bool) -> Sample | Comment:
    """What the line ``body[start:end]`` (without its line end) is, and where its parts are.

    The series itself is only skipped over, not read: see :func:`parse_series`.
    """
    form = _OM_REST if openmetrics else _TEXT_REST
    match = _PLAIN_SERIES.match(body, start, end)
    rest = None if match is None else form.fullmatch(body, match.end(), end)
    if rest is None:
        scanner = _Scanner(body[start:end], openmetrics)
        comment = scanner.comment()
        if comment is not None:
            return comment
        scanner.series()
        rest = form.fullmatch(body, start + scanner.at, end)
        if rest is None:
            raise LineError(_explain_rest(body[start + scanner.at : end], openmetrics))
    stamp = rest[2]
    if openmetrics and rest[4] is not None:
        _decoded(rest[3], "exemplar")
        parse_value(rest[4])
        if rest[5] is not None:
            _timestamp(rest[5], openmetrics)
    return Sample(rest.start(1), rest.end(1), None if stamp is None else _timestamp(stamp, openmetrics))


def parse_comment(line: bytes, openmetrics: bool) -> Comment:
    """What a line that begins with ``#`` (or is blank) says."""
    comment = _Scanner(line, openmetrics).comment()
    if comment is None:
        raise LineError("not a comment")
    return comment


def unescape(text: str) -> str:
    """``text`` of a label value with its escapes resolved; an unknown escape stays as it is."""
    return _ESCAPE.sub(lambda match: "\n" if match[1] == "n" else match[1], text)


def _timestamp(text: bytes, openmetrics: bool) -> int:
    if not openmetrics:
        stamp = int(text)
    else:
        seconds = parse_value(text)
        if not math.isfinite(seconds):
            raise LineError(f"timestamp {_shown(text)} is not a time")
        stamp = int(seconds * 1000)
    if abs(stamp) > _MAX_TIMESTAMP_MS:
        raise LineError(f"timestamp {_shown(text)} is out of range")
    return stamp


def _canonical(pairs: list[tuple[str, str]]) -> Labels:
    pairs.sort()
    if len(dict(pairs)) < len(pairs):
        twice = next(name for (name, _), (other, _) in pairwise(pairs) if name == other)
        raise LineError(f"label {twice!r} is there twice")
    return tuple([pair for pair in pairs if pair[1]])


def _decoded(text: bytes, what: str) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise LineError(f"{what} is not valid UTF-8 (byte {error.start + 1} of {_shown(text)})") from None


def _shown(text: bytes) -> str:
    """``text`` for an error message: short, and harmless on a terminal."""
    shown = ascii(text[:60].decode("utf-8", "replace"))
    return shown + ("..." if len(text) > 60 else "")


def _explain_rest(rest: bytes, openmetrics: bool) -> str:
    if not rest.strip(b" \t"):
        return "no value after the series"
    if openmetrics and b" # " in rest:
        return f"expected '# {{labels}} value [timestamp]' as the exemplar, got {_shown(rest)}"
    if openmetrics:
        return f"expected 'value [timestamp]' with single blanks after the series, got {_shown(rest)}"
    return f"expected 'value [timestamp in milliseconds]' after the series, got {_shown(rest)}"


class _Scanner:
    """One line, read token by token: accepts all that is valid, and knows what it expected."""

    def __init__(self, line: bytes, openmetrics: bool) -> None:
        self.line = line
        self.at = 0
        self.openmetrics = openmetrics

    def _blanks(self) -> None:
        """Skip blanks, which only the text format allows."""
        if not self.openmetrics:
            while self.line[self.at : self.at + 1] in (b" ", b"\t"):
                self.at += 1

    def _take(self, token: bytes) -> bool:
        if self.line.startswith(token, self.at):
            self.at += len(token)
            return True
        return False

    def _expected(self, what: str) -> LineError:
        rest = self.line[self.at :]
        return LineError(
            f"expected {what} at column {self.at + 1}, got {_shown(rest) if rest else 'the end'}"
        )

    def _name(self, allowed: bytes) -> str:
        begin = self.at
        while self.at < len(self.line) and self.line[self.at] in allowed:
            self.at += 1
        return self.line[begin : self.at].decode()

    def _quoted(self, what: str) -> str:
        begin = self.at = self.at + 1
        while self.at < len(self.line):
            byte = self.line[self.at]
            if byte == 0x5C:  # a backslash takes the next byte with it
                self.at += 1
            elif byte == 0x22:
                text = _decoded(self.line[begin : self.at], what)
                self.at += 1
                return unescape(text)
            self.at += 1
        self.at = begin - 1
        raise self._expected(f"a closing quote of the {what}")

    def series(self) -> Labels:
        """The label set; afterwards :attr:`at` is where the value must begin."""
        self._blanks()
        pairs: list[tuple[str, str]] = []
        if self.line[self.at : self.at + 1] in _METRIC_START:
            pairs.append((METRIC_NAME, self._name(_METRIC_BYTES)))
            end_of_name = self.at
            self._blanks()
            if not self._take(b"{"):
                self.at = end_of_name
            else:
                self._pairs(pairs, named=True)
        elif self._take(b"{"):
            self._pairs(pairs, named=False)
        else:
            raise self._expected("a metric name, '{' or '#'")
        if self.openmetrics:
            if not self._take(b" "):
                raise self._expected("a blank and a value")
        else:
            end_of_series = self.at
            self._blanks()
            if self.at == end_of_series and self.line[self.at - 1 : self.at] != b"}":
                raise self._expected("a blank and a value")
        return _canonical(pairs)

    def _pairs(self, pairs: list[tuple[str, str]], *, named: bool) -> None:
        """The inside of the braces, and the closing one."""
        while True:
            self._blanks()
            if self._take(b"}"):
                break
            first = self.line[self.at : self.at + 1]
            quoted = first == b'"'
            if quoted:
                name = self._quoted("name")
            elif first in _LABEL_START:
                name = self._name(_LABEL_BYTES)
            else:
                raise self._expected("a label name or '}'")
            self._blanks()
            if quoted and self.line[self.at : self.at + 1] in (b",", b"}"):
                if named:
                    raise LineError(f"a second metric name, {name!r}, among the labels")
                if not name:
                    raise LineError("the metric name is empty")
                named = True
                pairs.append((METRIC_NAME, name))
            else:
                if not name:
                    raise LineError("a label name is empty")
                if not self._take(b"="):
                    raise self._expected("'='")
                self._blanks()
                if self.line[self.at : self.at + 1] != b'"':
                    raise self._expected("a label value in double quotes")
                pairs.append((name, self._quoted("label value")))
                self._blanks()
            if not self._take(b",") and self.line[self.at : self.at + 1] != b"}":
                raise self._expected("',' or '}'")
        if not named:
            raise LineError("no metric name, neither before the braces nor quoted among the labels")

    def comment(self) -> Comment | None:
        """What a comment or a blank line says; None if this is a line with a sample."""
        self._blanks()
        if self.at == len(self.line):
            if self.openmetrics:
                raise LineError("a blank line, which OpenMetrics does not allow")
            return Comment()
        if self.line[self.at : self.at + 1] != b"#":
            return None
        if self.openmetrics:
            return self._openmetrics_comment()
        words = self.line[self.at + 1 :].lstrip(b" \t")
        keyword = words[:4]
        if words == self.line[self.at + 1 :] or keyword not in (b"HELP", b"TYPE") or words[4:5] not in _BLANK:
            return Comment()
        name, rest = self._metadata_name(words[4:].lstrip(b" \t"), keyword.decode())
        text = _decoded(rest[1:], keyword.decode())
        if keyword == b"TYPE":
            if text.strip(" \t") not in _TEXT_TYPES:
                raise LineError(f"metric type {text!r} is not one of {', '.join(sorted(_TEXT_TYPES))}")
            return Comment("TYPE", name, text.strip(" \t"))
        return Comment("HELP", name, _HELP_ESCAPE.sub(lambda m: "\n" if m[1] == "n" else m[1], text))

    def _openmetrics_comment(self) -> Comment:
        if self.line == b"# EOF":
            return Comment("EOF")
        keyword = self.line[2:6]
        if self.line[:2] != b"# " or keyword not in (b"HELP", b"TYPE", b"UNIT") or self.line[6:7] != b" ":
            raise LineError(f"expected '# HELP', '# TYPE', '# UNIT' or '# EOF', got {_shown(self.line)}")
        name, rest = self._metadata_name(self.line[7:], keyword.decode())
        if rest[:1] != b" ":
            raise LineError(f"no text after the metric name in {keyword.decode()}")
        text = _decoded(rest[1:], keyword.decode())
        if keyword == b"TYPE" and text not in _OM_TYPES:
            raise LineError(f"metric type {text!r} is not one of {', '.join(sorted(_OM_TYPES))}")
        if keyword == b"UNIT" and text and not name.endswith(f"_{text}"):
            raise LineError(f"unit {text!r} is not the end of the metric name {name!r}")
        return Comment(keyword.decode(), name, unescape(text) if keyword == b"HELP" else text)

    @staticmethod
    def _metadata_name(rest: bytes, keyword: str) -> tuple[str, bytes]:
        text = _decoded(rest, keyword)
        match = _META_NAME.match(text)
        if match is None:
            raise LineError(f"expected a metric name after {keyword}, got {_shown(rest)}")
        after = text[match.end() :]
        if after and after[0] not in " \t":
            raise LineError(
                f"expected a blank after the metric name in {keyword}, got {_shown(after.encode())}"
            )
        return match[1] or unescape(match[2][1:-1]), after.encode()


_BLANK = (b" ", b"\t")
_LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
_LABEL_START = frozenset(bytes([byte]) for byte in _LETTERS)
_METRIC_START = _LABEL_START | {b":"}
_LABEL_BYTES = _LETTERS + b"0123456789"
_METRIC_BYTES = _LABEL_BYTES + b":"
