"""PromQL text to tokens, one at a time, each with its exact place in the text.

Always true: the tokens' texts, in order, with only blanks and comments between them, are the input
(tests/monitoring/promql/test_parser_literals.py). Nothing here knows the grammar, but for the two places
where the same character means different things: inside ``{}`` (no keywords) and inside ``[]`` (``:``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from watchkeeper.monitoring.promql.ast import PromQLError
from watchkeeper.monitoring.promql.signatures import AGGREGATIONS, EXPERIMENTAL_AGGREGATIONS


class Kind(StrEnum):
    """What a token is. An operator or bracket is a SYMBOL, told apart by its text."""

    NAME = "identifier"
    NUMBER = "number"
    DURATION = "duration"
    STRING = "string"
    SYMBOL = "symbol"
    END = "end of input"


WORD_OPERATORS = frozenset({"and", "or", "unless", "atan2"})
MODIFIERS = frozenset(
    {"offset", "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "anchored", "smoothed"}
)
FILL_MODIFIERS = frozenset({"fill", "fill_left", "fill_right"})
PREPROCESSORS = frozenset({"start", "end", "step", "range", "max_of", "min_of"})
KEYWORDS = (
    WORD_OPERATORS | MODIFIERS | FILL_MODIFIERS | PREPROCESSORS | AGGREGATIONS | EXPERIMENTAL_AGGREGATIONS
)
"""Words with a meaning of their own in some place, in lower case. Most may also name a metric."""


@dataclass(frozen=True, slots=True)
class Token:
    """``text`` as written; ``keyword`` in lower case if it is one; ``value``: a string without its quotes."""

    kind: Kind
    text: str
    start: int
    end: int
    keyword: str = ""
    value: str = ""

    def describe(self) -> str:
        """The token as an error message names it."""
        if self.kind is Kind.END:
            return "end of input"
        if self.keyword:
            return f"<{self.keyword}>"
        shown = self.text if len(self.text) <= 40 else self.text[:37] + "..."
        if self.kind is Kind.SYMBOL:
            return f'"{shown}"'
        return f"{self.kind} {shown}" if self.kind is Kind.STRING else f'{self.kind} "{shown}"'


_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\r\n]*)+")
_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DIGITS = r"[0-9]+(?:_[0-9]+)*"
_NUMBER = re.compile(
    rf"0[xX]_?[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*|(?:{_DIGITS}\.?(?:{_DIGITS})?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?"
)
_DURATION = re.compile(r"(?:[0-9]+(?:ms|[smhdwy]))+")
_NUMBER_START = re.compile(r"\.?[0-9]")
_NUMBER_LIKE = re.compile(r"[0-9A-Za-z_.]+")
_SYMBOLS = ("==", "!=", "<=", ">=", "=~", "!~", "</", ">/")
_SINGLE_SYMBOLS = frozenset("+-*/%^(){}[],=<>@:")

_SIMPLE_ESCAPES = {
    "a": b"\a",
    "b": b"\b",
    "f": b"\f",
    "n": b"\n",
    "r": b"\r",
    "t": b"\t",
    "v": b"\v",
    "\\": b"\\",
}
_CODED_ESCAPES = {"x": (2, 16, 0xFF), "u": (4, 16, 0x10FFFF), "U": (8, 16, 0x10FFFF)}


class Lexer:
    """Reads ``text`` from the left; :meth:`next` gives the next token, at the end END again and again.

    Raises :class:`PromQLError` where no token can begin.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._in_braces = False
        self._in_brackets = False

    def next(self) -> Token:
        blank = _BLANK.match(self._text, self._position)
        if blank:
            self._position = blank.end()
        start = self._position
        if start >= len(self._text):
            return Token(Kind.END, "", len(self._text), len(self._text))
        token = self._token(start, self._text[start])
        self._position = token.end
        return token

    def _token(self, start: int, first: str) -> Token:
        if first in "\"'`":
            return self._string(start, first)
        name = None
        if not (self._in_brackets and first == ":"):
            name = (_LABEL if self._in_braces else _NAME).match(self._text, start)
        if name:
            return self._word(name.group(), start)
        if first in "0123456789" or (
            first == "." and self._text[start + 1 : start + 2] in tuple("0123456789")
        ):
            return self._number(start)
        pair = self._text[start : start + 2]
        symbol = pair if pair in _SYMBOLS else first
        if symbol == first and first not in _SINGLE_SYMBOLS:
            raise PromQLError(f"unexpected character: {first!r}", start)
        if symbol in ("{", "}"):
            self._in_braces = symbol == "{"
        elif symbol in ("[", "]"):
            self._in_brackets = symbol == "["
        return Token(Kind.SYMBOL, symbol, start, start + len(symbol))

    def _word(self, word: str, start: int) -> Token:
        end = start + len(word)
        lower = word.lower()
        if self._in_braces:
            return Token(Kind.NAME, word, start, end)
        if lower in ("inf", "nan"):
            return Token(Kind.NUMBER, word, start, end)
        return Token(Kind.NAME, word, start, end, keyword=lower if lower in KEYWORDS else "")

    def _number(self, start: int) -> Token:
        for kind, pattern in ((Kind.DURATION, _DURATION), (Kind.NUMBER, _NUMBER)):
            match = pattern.match(self._text, start)
            if match and not _NUMBER_LIKE.match(self._text, match.end()):
                return Token(kind, match.group(), start, match.end())
        bad = _NUMBER_LIKE.match(self._text, start)
        end = bad.end() if bad else start + 1
        raise PromQLError(f'bad number or duration syntax: "{self._text[start:end]}"', start, end)

    # -- strings -------------------------------------------------------------------------------

    def _string(self, start: int, quote: str) -> Token:
        if quote == "`":
            end = self._text.find("`", start + 1)
            if end < 0:
                raise PromQLError("unterminated raw string", start, len(self._text))
            # Go drops carriage returns from raw strings.
            value = self._text[start + 1 : end].replace("\r", "")
            return Token(Kind.STRING, self._text[start : end + 1], start, end + 1, value=value)
        parts: list[bytes] = []
        position = start + 1
        while True:
            character = self._text[position : position + 1]
            if character in ("", "\n"):
                raise PromQLError("unterminated quoted string", start, position)
            if character == quote:
                break
            if character == "\\":
                part, position = self._escape(position, quote)
                parts.append(part)
            else:
                parts.append(character.encode("utf-8", "surrogatepass"))
                position += 1
        # An escape can make bytes that are not UTF-8. No label has such a value: it must match nothing,
        # rather than be an error, as in Prometheus.
        value = b"".join(parts).decode("utf-8", "surrogateescape")
        return Token(Kind.STRING, self._text[start : position + 1], start, position + 1, value=value)

    def _escape(self, start: int, quote: str) -> tuple[bytes, int]:
        """The bytes that the escape at ``start`` (its backslash) stands for, and where it ends."""
        letter = self._text[start + 1 : start + 2]
        if letter == quote:
            return quote.encode(), start + 2
        if letter in _SIMPLE_ESCAPES:
            return _SIMPLE_ESCAPES[letter], start + 2
        if letter in _CODED_ESCAPES:
            (length, base, most), first = _CODED_ESCAPES[letter], start + 2
        elif letter and letter in "01234567":
            length, base, most, first = 3, 8, 0xFF, start + 1
        elif not letter:
            raise PromQLError("escape sequence not terminated", start, start + 1)
        else:
            raise PromQLError(f'unknown escape sequence "\\{letter}"', start, start + 2)
        digits = self._text[first : first + length]
        allowed = "01234567" if base == 8 else "0123456789abcdefABCDEF"
        if len(digits) < length or any(digit not in allowed for digit in digits):
            raise PromQLError("illegal character in escape sequence", start, first + len(digits))
        code = int(digits, base)
        if code > most or 0xD800 <= code < 0xE000:
            raise PromQLError("escape sequence is an invalid Unicode code point", start, first + length)
        if letter in ("u", "U"):
            return chr(code).encode(), first + length
        return bytes([code]), first + length
