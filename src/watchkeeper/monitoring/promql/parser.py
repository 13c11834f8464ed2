"""PromQL text to a checked expression.

Always true: what :func:`parse` returns is well typed, at most :data:`MAX_DEPTH` nodes deep, and carries
the exact place of every node; what it refuses, it refuses with a :class:`PromQLError` at the place of the
mistake, never another exception (tests/monitoring/promql/test_parser_*.py). The grammar and the wording
of the refusals are those of Prometheus 3 without feature flags.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import replace
from typing import Literal, NoReturn

from watchkeeper.monitoring.promql import typecheck
from watchkeeper.monitoring.promql.ast import (
    Aggregate,
    Binary,
    Call,
    Cardinality,
    Expr,
    Matcher,
    MatchOp,
    MatrixSelector,
    NumberLiteral,
    Paren,
    PromQLError,
    StringLiteral,
    Subquery,
    Unary,
    UnsupportedError,
    VectorMatching,
    VectorSelector,
)
from watchkeeper.monitoring.promql.cursor import Cursor
from watchkeeper.monitoring.promql.lexer import FILL_MODIFIERS, PREPROCESSORS, WORD_OPERATORS, Kind, Token
from watchkeeper.monitoring.promql.signatures import (
    AGGREGATION_PARAMETERS,
    AGGREGATIONS,
    EXPERIMENTAL_AGGREGATIONS,
    EXPERIMENTAL_FUNCTIONS,
    RENAMED_FUNCTIONS,
    SIGNATURES,
)

MAX_DEPTH = 128
"""How deep an expression may be nested; also how long a chain of operators of one precedence may be."""
MAX_LENGTH = 64 * 1024
"""How many characters an expression may have."""

PRECEDENCE = {
    "or": 1,
    "and": 2,
    "unless": 2,
    **dict.fromkeys(("==", "!=", ">", "<", ">=", "<="), 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%", "atan2"), 5),
    "^": 6,
}
_POWER = PRECEDENCE["^"]
_TRIM_OPERATORS = ("</", ">/")

# Words that cannot be the name of a metric where an expression begins.
_NEVER_METRICS = frozenset({"bool", "on", "ignoring", "group_left", "group_right", "atan2"})
_GROUPINGS = ("by", "without")


def parse(text: str) -> Expr:
    """The expression that ``text`` is.

    Raises :class:`PromQLError` with the place of the mistake; :class:`UnsupportedError` (one of them)
    where Prometheus would take the text, with experimental features or native histograms.
    """
    if len(text) > MAX_LENGTH:
        raise PromQLError(f"expression is longer than {MAX_LENGTH} characters", MAX_LENGTH, len(text))
    return _Parser(text).parse()


def parse_selector(text: str) -> VectorSelector:
    """An instant selector alone, without modifiers, as ``match[]`` parameters and receivers have it.

    Raises :class:`PromQLError`.
    """
    expr = parse(text)
    if not isinstance(expr, VectorSelector) or expr.offset_ms or expr.at is not None:
        raise PromQLError("expected an instant vector selector without modifiers", expr.start, expr.end)
    return expr


class _Parser(Cursor):
    """A Pratt parser. ``_height`` is the height of the tree that the last method returned."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._height = 0

    def parse(self) -> Expr:
        if self._at_end():
            raise PromQLError("no expression found in input", 0, max(1, len(self._text)))
        expr = self._expression(0)
        if not self._at_end():
            if self._token.text == ")":
                raise PromQLError('unexpected right parenthesis ")"', self._token.start)
            self._unexpected()
        return expr

    def _grow(self, height: int, start: int) -> None:
        """The tree that is being returned has this height."""
        if height > MAX_DEPTH:
            raise PromQLError(
                f"expression is nested more than {MAX_DEPTH} levels deep",
                start,
                max(self._last_end, start + 1),
            )
        self._height = height

    # -- operators -----------------------------------------------------------------------------

    def _expression(self, least: int) -> Expr:
        """An expression whose operators bind at least as strongly as ``least``."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise PromQLError(
                f"expression is nested more than {MAX_DEPTH} levels deep", self._token.start, self._token.end
            )
        left = self._unary()
        height = self._height
        while True:
            op = self._operator()
            precedence = PRECEDENCE.get(op, -1)
            if precedence < least:
                break
            token = self._advance()
            return_bool, matching, op_end = self._operator_modifiers(token)
            right = self._expression(precedence if op == "^" else precedence + 1)
            height = max(height, self._height) + 1
            self._grow(height, left.start)
            checked = typecheck.check_binary(
                op, (token.start, op_end), left, right, return_bool=return_bool, matching=matching
            )
            left = Binary(
                op=op,
                lhs=left,
                rhs=right,
                return_bool=return_bool,
                matching=checked,
                start=left.start,
                end=right.end,
            )
        self._height = height
        self._depth -= 1
        return left

    def _operator(self) -> str:
        """The binary operator that the current token is, or an empty string."""
        token = self._token
        if token.kind is Kind.SYMBOL:
            if token.text in _TRIM_OPERATORS:
                raise UnsupportedError(
                    f'operator "{token.text}" trims native histograms, which are not supported',
                    token.start,
                    token.end,
                )
            return token.text
        return token.keyword if token.keyword in WORD_OPERATORS else ""

    def _operator_modifiers(self, op: Token) -> tuple[bool, VectorMatching | None, int]:
        """What stands between an operator and its right side, and where that ends."""
        end = op.end
        return_bool = False
        if self._token.keyword == "bool":
            end = self._advance().end
            return_bool = True
        matching: VectorMatching | None = None
        if self._token.keyword in ("on", "ignoring"):
            on = self._advance().keyword == "on"
            matching = VectorMatching(labels=self._grouping_labels(), on=on)
            end = self._last_end
            if self._token.keyword in ("group_left", "group_right"):
                left = self._advance().keyword == "group_left"
                end = self._last_end
                include: tuple[str, ...] = ()
                if self._at_symbol("("):
                    include = self._grouping_labels()
                    end = self._last_end
                matching = replace(
                    matching,
                    cardinality=Cardinality.MANY_TO_ONE if left else Cardinality.ONE_TO_MANY,
                    include=include,
                )
        elif self._token.keyword in ("group_left", "group_right"):
            self._unexpected("binary expression", '"on" or "ignoring" before it')
        if self._token.keyword in FILL_MODIFIERS and self._peek().text == "(":
            raise UnsupportedError(
                f'the "{self._token.keyword}" modifier is experimental and not supported',
                self._token.start,
                self._token.end,
            )
        return return_bool, matching, end

    def _unary(self) -> Expr:
        if not (self._at_symbol("-") or self._at_symbol("+")):
            return self._postfix(self._primary())
        token = self._advance()
        op: Literal["+", "-"] = "-" if token.text == "-" else "+"
        operand = self._expression(_POWER)
        if isinstance(operand, NumberLiteral):
            value = operand.value
            if op == "-" and not math.isnan(value):  # one NaN object, so that equal trees compare equal
                value = -value
            return NumberLiteral(value=value, start=token.start, end=operand.end)
        self._grow(self._height + 1, token.start)
        node = Unary(op=op, expr=operand, start=token.start, end=operand.end)
        typecheck.check_unary(node)
        return node

    # -- what follows an operand ---------------------------------------------------------------

    def _postfix(self, expr: Expr) -> Expr:
        while True:
            if self._at_symbol("["):
                expr = self._range(expr)
            elif self._at_symbol("@"):
                expr = self._at(expr)
            elif self._token.keyword == "offset":
                expr = self._offset(expr)
            elif self._token.keyword in ("anchored", "smoothed"):
                raise UnsupportedError(
                    f'the "{self._token.keyword}" modifier is experimental and not supported',
                    self._token.start,
                    self._token.end,
                )
            else:
                return expr

    def _range(self, expr: Expr) -> Expr:
        bracket = self._advance()
        range_ms = self._positive_duration("subquery or range selector", "number or duration")
        if self._at_symbol(":"):
            self._advance()
            step_ms = None
            if not self._at_symbol("]"):
                step_ms = self._positive_duration("subquery selector", 'number, duration or "]"')
            if not self._at_symbol("]"):
                self._unexpected("subquery selector", '"]"')
            end = self._advance().end
            subquery = Subquery(expr=expr, range_ms=range_ms, step_ms=step_ms, start=expr.start, end=end)
            self._grow(self._height + 1, expr.start)
            typecheck.check_subquery(subquery)
            return subquery
        if not self._at_symbol("]"):
            self._unexpected("subquery or range", '":" or "]"')
        end = self._advance().end
        if not isinstance(expr, VectorSelector):
            raise PromQLError("ranges only allowed for vector selectors", bracket.start, end)
        if expr.offset_ms:
            raise PromQLError("no offset modifiers allowed before range", bracket.start, end)
        if expr.at is not None:
            raise PromQLError("no @ modifiers allowed before range", bracket.start, end)
        self._grow(self._height + 1, expr.start)
        return MatrixSelector(selector=expr, range_ms=range_ms, start=expr.start, end=end)

    def _offset(self, expr: Expr) -> Expr:
        self._advance()
        offset_ms = self._duration("offset", "number or duration")
        target = expr.selector if isinstance(expr, MatrixSelector) else expr
        if not isinstance(target, VectorSelector | Subquery):
            raise PromQLError(
                "offset modifier must be preceded by an instant vector selector or range vector selector "
                "or a subquery",
                expr.start,
                expr.end,
            )
        if target.offset_ms:
            raise PromQLError("offset may not be set multiple times", expr.start, expr.end)
        changed = replace(target, offset_ms=offset_ms)
        return self._modified(expr, changed)

    def _at(self, expr: Expr) -> Expr:
        self._advance()
        at = self._at_time()
        target = expr.selector if isinstance(expr, MatrixSelector) else expr
        if not isinstance(target, VectorSelector | Subquery):
            raise PromQLError(
                "@ modifier must be preceded by an instant vector selector or range vector selector "
                "or a subquery",
                expr.start,
                expr.end,
            )
        if target.at is not None:
            raise PromQLError("@ <timestamp> may not be set multiple times", expr.start, expr.end)
        return self._modified(expr, replace(target, at=at))

    def _modified(self, expr: Expr, changed: VectorSelector | Subquery) -> Expr:
        """``changed``, in the range selector that ``expr`` may be, up to the modifier that was just read."""
        if isinstance(expr, MatrixSelector) and isinstance(changed, VectorSelector):
            return replace(expr, selector=changed, end=self._last_end)
        return replace(changed, end=self._last_end)

    # -- operands ------------------------------------------------------------------------------

    def _primary(self) -> Expr:
        token = self._token
        if token.kind in (Kind.NUMBER, Kind.DURATION):
            value = self._number()
            self._height = 1
            return NumberLiteral(value=value, start=token.start, end=token.end)
        if token.kind is Kind.STRING:
            self._advance()
            self._height = 1
            return StringLiteral(value=token.value, start=token.start, end=token.end)
        if self._at_symbol("("):
            return self._paren()
        if self._at_symbol("{"):
            return self._selector(None)
        if token.kind is Kind.NAME:
            return self._named(token)
        return self._unexpected()

    def _paren(self) -> Expr:
        opening = self._advance()
        inner = None if self._at_end() else self._expression(0)
        if inner is None or self._at_end():
            raise PromQLError("unclosed left parenthesis", opening.start)
        if not self._at_symbol(")"):
            self._unexpected()
        end = self._advance().end
        self._grow(self._height + 1, opening.start)
        return Paren(expr=inner, start=opening.start, end=end)

    def _named(self, token: Token) -> Expr:
        """An aggregation, a call or a selector: what begins with a name."""
        after = self._peek()
        called = after.kind is Kind.SYMBOL and after.text == "("
        if token.keyword in AGGREGATIONS | EXPERIMENTAL_AGGREGATIONS and (
            called or after.keyword in _GROUPINGS
        ):
            return self._aggregate()
        if called and (not token.keyword or token.keyword in PREPROCESSORS):
            return self._call()
        if called or token.keyword in _NEVER_METRICS:
            self._unexpected()
        return self._selector(self._advance())

    def _aggregate(self) -> Expr:
        op = self._advance()
        if op.keyword in EXPERIMENTAL_AGGREGATIONS:
            raise UnsupportedError(
                f"{op.keyword}() is an experimental aggregation and not supported", op.start, op.end
            )
        without, grouping, grouped = False, tuple[str, ...](), False
        if self._token.keyword in _GROUPINGS:
            without, grouping, grouped = self._advance().keyword == "without", self._grouping_labels(), True
        if not self._at_symbol("("):
            self._unexpected("aggregation", '"("')
        args = self._arguments()
        height = self._height
        if not grouped and self._token.keyword in _GROUPINGS:
            without, grouping = self._advance().keyword == "without", self._grouping_labels()
        end = self._last_end
        if not args:
            raise PromQLError("no arguments for aggregate expression provided", op.start, end)
        wanted = 2 if op.keyword in AGGREGATION_PARAMETERS else 1
        if len(args) != wanted:
            raise PromQLError(
                "wrong number of arguments for aggregate expression provided, "
                f"expected {wanted}, got {len(args)}",
                op.start,
                end,
            )
        node = Aggregate(
            op=op.keyword,
            expr=args[-1],
            param=args[0] if wanted == 2 else None,
            grouping=grouping,
            without=without,
            start=op.start,
            end=end,
        )
        self._grow(height + 1, op.start)
        typecheck.check_aggregate(node)
        return node

    def _call(self) -> Expr:
        name = self._advance()
        signature = SIGNATURES.get(name.text)
        if signature is None:
            _refuse_function(name)
        args = self._arguments()
        self._grow(self._height + 1, name.start)
        typecheck.check_call(signature, args, name.start, self._last_end)
        return Call(
            func=name.text, args=args, returns=signature.returns, start=name.start, end=self._last_end
        )

    def _arguments(self) -> tuple[Expr, ...]:
        """Expressions in parentheses. Sets ``_height`` to that of the highest of them, 0 if there is none."""
        opening = self._advance()
        args: list[Expr] = []
        height = 0
        while not self._at_symbol(")"):
            if args:
                if self._at_end():
                    raise PromQLError("unclosed left parenthesis", opening.start)
                if not self._at_symbol(","):
                    self._unexpected("function call arguments" if self._token.kind is Kind.SYMBOL else "")
                comma = self._advance()
                if self._at_symbol(")"):
                    raise PromQLError("trailing commas not allowed in function call args", comma.start)
            elif self._at_end():
                raise PromQLError("unclosed left parenthesis", opening.start)
            args.append(self._expression(0))
            height = max(height, self._height)
        self._advance()
        self._height = height
        return tuple(args)

    # -- selectors -----------------------------------------------------------------------------

    def _selector(self, name: Token | None) -> Expr:
        start = self._token.start if name is None else name.start
        matchers: list[Matcher] = []
        if name is not None:
            matchers.append(Matcher("__name__", MatchOp.EQUAL, name.text))
        if self._at_symbol("{"):
            matchers += self._bracketed("}", "label matching", self._matcher)
        self._height = 1
        end = self._last_end
        typecheck.check_matchers(None if name is None else name.text, tuple(matchers), start, end)
        return VectorSelector(matchers=tuple(matchers), start=start, end=end)


def _refuse_function(name: Token) -> NoReturn:
    if name.text in EXPERIMENTAL_FUNCTIONS or name.keyword in EXPERIMENTAL_FUNCTIONS:
        raise UnsupportedError(
            f'function "{name.text}" is experimental and not supported', name.start, name.end
        )
    message = f'unknown function with name "{name.text}"'
    if name.text in RENAMED_FUNCTIONS:
        message += f': Prometheus 3 calls it "{RENAMED_FUNCTIONS[name.text]}", an experimental function'
    elif len(name.text) <= 40:
        near = difflib.get_close_matches(name.text.lower(), SIGNATURES, n=1, cutoff=0.75)
        if near:
            message += f', did you mean "{near[0]}"?'
    raise PromQLError(message, name.start, name.end)
