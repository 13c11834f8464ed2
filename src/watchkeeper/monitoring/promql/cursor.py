"""The parts of PromQL that hold no expression: tokens, numbers, durations, label lists, matchers.

Always true: a method begins at the current token and leaves the current token behind what it read, or
raises :class:`PromQLError` at the token that does not fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NoReturn, TypeVar

from watchkeeper.monitoring.promql.ast import At, Matcher, MatchOp, PromQLError, UnsupportedError
from watchkeeper.monitoring.promql.durations import MAX_DURATION_MS, parse_duration
from watchkeeper.monitoring.promql.lexer import Kind, Lexer, Token
from watchkeeper.monitoring.regex import RegexError, compile_anchored

_Item = TypeVar("_Item")
_DURATION_ARITHMETIC = ("+", "-", "*", "/", "%", "^")
_MATCH_OPERATORS = frozenset(op.value for op in MatchOp)


class Cursor:
    """A place in the tokens of ``text``."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lexer = Lexer(text)
        self._token = self._lexer.next()
        self._ahead: Token | None = None
        self._last_end = 0

    def _advance(self) -> Token:
        token = self._token
        self._last_end = token.end
        self._token = self._ahead or self._lexer.next()
        self._ahead = None
        return token

    def _peek(self) -> Token:
        """The token after the current one."""
        if self._ahead is None:
            self._ahead = self._lexer.next()
        return self._ahead

    def _at_symbol(self, text: str) -> bool:
        return self._token.kind is Kind.SYMBOL and self._token.text == text

    def _at_end(self) -> bool:
        return self._token.kind is Kind.END

    def _unexpected(self, context: str = "", expected: str = "") -> NoReturn:
        message = f"unexpected {self._token.describe()}"
        if context:
            message += f" in {context}"
        if expected:
            message += f", expected {expected}"
        raise PromQLError(message, self._token.start, max(self._token.end, self._token.start + 1))

    # -- numbers and times ----------------------------------------------------------------------

    def _number(self) -> float:
        token = self._advance()
        if token.kind is Kind.DURATION:
            try:
                return parse_duration(token.text) / 1000
            except ValueError as error:
                raise PromQLError(str(error), token.start, token.end) from None
        return _number_value(token)

    def _positive_duration(self, context: str, expected: str) -> int:
        start = self._token.start
        ms = self._duration(context, expected)
        if self._token.kind is Kind.SYMBOL and self._token.text in _DURATION_ARITHMETIC:
            self._refuse_duration_arithmetic()
        if ms <= 0:
            raise PromQLError("duration must be greater than 0", start, self._last_end)
        return ms

    def _duration(self, context: str, expected: str) -> int:
        """A duration, or a number of seconds, with a sign; in milliseconds."""
        start, sign = self._token.start, 1
        if self._at_symbol("-") or self._at_symbol("+"):
            sign = -1 if self._advance().text == "-" else 1
        if self._at_symbol("(") or self._token.keyword in ("step", "range", "max_of", "min_of"):
            self._refuse_duration_arithmetic()
        if self._token.kind not in (Kind.NUMBER, Kind.DURATION):
            self._unexpected(context, expected)
        seconds = self._number()
        if not abs(seconds) * 1000 <= MAX_DURATION_MS:
            raise PromQLError("duration out of range", start, self._last_end)
        # Exactly the nanoseconds that Prometheus makes of it, then whole milliseconds towards zero.
        return sign * (round(seconds * 1e9) // 1_000_000)

    def _refuse_duration_arithmetic(self) -> NoReturn:
        raise UnsupportedError(
            "arithmetic in durations is experimental and not supported", self._token.start, self._token.end
        )

    def _at_time(self) -> At:
        if self._token.keyword in ("start", "end"):
            which: At = "start" if self._token.keyword == "start" else "end"
            self._advance()
            for bracket in ("(", ")"):
                if not self._at_symbol(bracket):
                    self._unexpected("@", f'"{bracket}"')
                self._advance()
            return which
        start, sign = self._token.start, 1
        if self._at_symbol("-") or self._at_symbol("+"):
            sign = -1 if self._advance().text == "-" else 1
        if self._token.kind not in (Kind.NUMBER, Kind.DURATION):
            self._unexpected("@", "timestamp")
        seconds = sign * self._number()
        if not abs(seconds) < 2**63 / 1000:
            raise PromQLError("timestamp out of bounds for @ modifier", start, self._last_end)
        return math.floor(abs(seconds) * 1000 + 0.5) * (-1 if seconds < 0 else 1)

    # -- lists ----------------------------------------------------------------------------------

    def _grouping_labels(self) -> tuple[str, ...]:
        if not self._at_symbol("("):
            self._unexpected("grouping opts", '"("')
        return tuple(self._bracketed(")", "grouping opts", self._grouping_label))

    def _grouping_label(self) -> str:
        token = self._token
        if token.kind not in (Kind.NAME, Kind.STRING) or token.keyword == "without":
            self._unexpected("grouping opts", "label")
        self._advance()
        label = token.value if token.kind is Kind.STRING else token.text
        if not label or not _is_utf8(label):
            raise PromQLError(f"invalid label name for grouping: {token.text}", token.start, token.end)
        return label

    def _bracketed(self, closing: str, context: str, item: Callable[[], _Item]) -> list[_Item]:
        """Items separated by commas up to ``closing``; a comma after the last one is fine."""
        self._advance()
        items: list[_Item] = []
        while not self._at_symbol(closing):
            items.append(item())
            if self._at_symbol(","):
                self._advance()
            elif not self._at_symbol(closing):
                self._unexpected(context, f'"," or "{closing}"')
        self._advance()
        return items

    def _matcher(self) -> Matcher:
        label = self._token
        if label.kind not in (Kind.NAME, Kind.STRING):
            self._unexpected("label matching", 'identifier or "}"')
        self._advance()
        if label.kind is Kind.STRING and (self._at_symbol(",") or self._at_symbol("}")):
            return Matcher("__name__", MatchOp.EQUAL, label.value)
        if self._token.kind is not Kind.SYMBOL or self._token.text not in _MATCH_OPERATORS:
            expected = "label matching operator" if label.kind is Kind.NAME else '",", "}" or an operator'
            self._unexpected("label matching", expected)
        op = MatchOp(self._advance().text)
        value = self._token
        if value.kind is not Kind.STRING:
            self._unexpected("label matching", "string")
        self._advance()
        if op in (MatchOp.REGEX, MatchOp.NOT_REGEX):
            try:
                compile_anchored(value.value)
            except RegexError as error:
                raise PromQLError(str(error), value.start, value.end) from None
        return Matcher(label.value if label.kind is Kind.STRING else label.text, op, value.value)


def _number_value(token: Token) -> float:
    text = token.text
    try:
        return float(_integer(text))
    except (ValueError, OverflowError):
        pass
    value = float(text.replace("_", "")) if text[:2].lower() != "0x" else math.inf
    if math.isnan(value):
        return math.nan
    if math.isinf(value) and text.lower() != "inf":
        raise PromQLError(f'error parsing number: "{text}" is out of range', token.start, token.end)
    return value


def _integer(text: str) -> int:
    """What Go's ``ParseInt`` with base 0 makes of ``text``: a leading 0 means octal."""
    digits = text.replace("_", "")
    if digits[:2].lower() == "0x":
        value = int(digits[2:], 16)
    elif len(digits) > 1 and digits[0] == "0":
        value = int(digits, 8)
    else:
        value = int(digits)
    if value >= 2**63:
        raise OverflowError
    return value


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
