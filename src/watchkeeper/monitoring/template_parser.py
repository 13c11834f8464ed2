"""Go's template language to a tree.

Always true: every variable of the tree is defined where it is used, every function exists and gets a
number of arguments that it takes, and every node keeps its place in the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from watchkeeper.monitoring.promql.ast import PromQLError
from watchkeeper.monitoring.promql.lexer import Lexer
from watchkeeper.monitoring.template_functions import FUNCTIONS, UNSUPPORTED_FUNCTIONS

_FIELDS = ("Labels", "ExternalLabels", "ExternalURL", "Value")
_PREDEFINED = ("$", "$labels", "$externalLabels", "$externalURL", "$value")
_UNSUPPORTED_ACTIONS = frozenset({"range", "define", "template", "block", "break", "continue"})
_CONTEXT_FUNCTIONS = {"externalURL": (0, 0), "pathPrefix": (0, 0), "and": (1, None), "or": (1, None)}
_CONSTANTS: dict[str, Any] = {"true": True, "false": False, "nil": None}


class TemplateError(ValueError):
    """A template that cannot be used. ``start``/``end`` are offsets into its text."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.message = message
        self.start = start
        self.end = end


@dataclass(frozen=True, slots=True)
class Literal:
    value: Any
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    path: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Field:
    path: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Command:
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """``variable`` is set to the value where the pipeline is a declaration or an assignment."""

    commands: tuple[Command, ...]
    variable: str = ""


Operand = Literal | Variable | Field | Function | Pipeline


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Action:
    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class Branch:
    """``if``, or ``with`` where ``rebinds``: then the value is the dot of ``then``."""

    pipeline: Pipeline
    then: tuple[Node, ...]
    otherwise: tuple[Node, ...]
    rebinds: bool = False


Node = Text | Action | Branch

_ACTION = re.compile(
    r"\{\{(?P<left>-(?=\s))?(?P<body>(?:\"(?:[^\"\\\n]|\\.)*\"|`[^`]*`|/\*.*?\*/|(?!\}\}).)*?)"
    r"(?P<right>(?<=\s)-)?\}\}",
    re.DOTALL,
)
_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<comment>/\*.*?\*/)|(?P<string>\"(?:[^\"\\\n]|\\.)*\"|`[^`]*`)"
    r"|(?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|[0-9][0-9_]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?"
    r"|\.[0-9]+(?:[eE][+-]?[0-9]+)?))"
    r"|(?P<variable>\$\w*(?:\.\w+)*)|(?P<field>(?:\.\w+)+|\.)|(?P<word>\w+)|(?P<symbol>:=|=|\||\(|\)|,)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """Text, or the tokens of one action."""

    text: str
    tokens: tuple[_Token, ...] | None
    start: int
    end: int


def parse_template(text: str) -> tuple[Node, ...]:
    """The nodes of ``text``. Raises :class:`TemplateError`."""
    parser = _Parser(_pieces(text), len(text))
    return parser.template()


def _pieces(text: str) -> list[_Piece]:
    pieces: list[_Piece] = []
    position, trim = 0, False
    while True:
        opening = text.find("{{", position)
        between = text[position:] if opening < 0 else text[position:opening]
        if trim:
            between = between.lstrip(" \t\r\n")
        if opening < 0:
            pieces.append(_Piece(between, None, position, len(text)))
            return pieces
        match = _ACTION.match(text, opening)
        if match is None:
            raise TemplateError("unclosed action: no }} for this {{", opening, opening + 2)
        if match["left"]:
            between = between.rstrip(" \t\r\n")
        pieces.append(_Piece(between, None, position, opening))
        tokens = tuple(_tokens(text, match.start("body"), match.end("body")))
        comment = match["body"].strip().startswith("/*")
        if tokens or not comment:
            pieces.append(_Piece("", tokens, opening, match.end()))
        position, trim = match.end(), bool(match["right"])


def _tokens(text: str, start: int, end: int) -> list[_Token]:
    tokens: list[_Token] = []
    position = start
    while position < end:
        match = _TOKEN.match(text, position, end)
        if match is None:
            raise TemplateError(f"unexpected {text[position]!r} in a template", position, position + 1)
        kind = match.lastgroup or ""
        if kind not in ("space", "comment"):
            tokens.append(_Token(kind, match[0], position, match.end()))
        position = match.end()
    return tokens


class _Parser:
    def __init__(self, pieces: list[_Piece], length: int) -> None:
        self._pieces = pieces
        self._length = length
        self._next = 0
        self._scopes: list[set[str]] = [set(_PREDEFINED)]
        self._depth = 0
        self._rebound = 0

    def template(self) -> tuple[Node, ...]:
        nodes, ending = self._block()
        if ending is not None:
            assert ending.tokens is not None
            raise TemplateError(f"unexpected {{{{{ending.tokens[0].text}}}}}", ending.start, ending.end)
        return nodes

    def _block(self) -> tuple[tuple[Node, ...], _Piece | None]:
        """Nodes up to an ``else`` or ``end``, which is returned too, or to the end of the text."""
        nodes: list[Node] = []
        while self._next < len(self._pieces):
            piece = self._pieces[self._next]
            self._next += 1
            if piece.tokens is None:
                if piece.text:
                    nodes.append(Text(piece.text))
                continue
            if not piece.tokens:
                raise TemplateError("missing value for command", piece.start, piece.end)
            word = piece.tokens[0].text
            if word in ("else", "end"):
                return tuple(nodes), piece
            if word in ("if", "with"):
                nodes.append(self._branch(piece, piece.tokens[1:], rebinds=word == "with"))
            elif word in _UNSUPPORTED_ACTIONS:
                raise TemplateError(f'"{word}" is not supported in templates', piece.start, piece.end)
            else:
                nodes.append(Action(_Action(self, piece, piece.tokens).whole()))
        return tuple(nodes), None

    def _branch(self, piece: _Piece, condition: tuple[_Token, ...], *, rebinds: bool) -> Branch:
        self._depth += 1
        if self._depth > 32:
            raise TemplateError("nested more than 32 levels deep", piece.start, piece.end)
        self._scopes.append(set())
        pipeline = _Action(self, piece, condition).whole()
        self._rebound += rebinds
        then, ending = self._block()
        self._rebound -= rebinds
        otherwise: tuple[Node, ...] = ()
        if ending is not None and ending.tokens is not None and ending.tokens[0].text == "else":
            rest = ending.tokens[1:]
            if rest and rest[0].text in ("if", "with"):
                otherwise = (self._branch(ending, rest[1:], rebinds=rest[0].text == "with"),)
                self._scopes.pop()
                self._depth -= 1
                return Branch(pipeline, then, otherwise, rebinds)
            if rest:
                raise TemplateError("unexpected text after else", ending.start, ending.end)
            otherwise, ending = self._block()
        if ending is None or ending.tokens is None or ending.tokens[0].text != "end":
            raise TemplateError("no {{end}} for this", piece.start, piece.end)
        self._scopes.pop()
        self._depth -= 1
        return Branch(pipeline, then, otherwise, rebinds)

    def declare(self, name: str) -> None:
        self._scopes[-1].add(name)

    def declared(self, name: str) -> bool:
        return any(name in scope for scope in self._scopes)

    @property
    def rebound(self) -> bool:
        """Is the dot something else than the data of the alert?"""
        return self._rebound > 0


class _Action:
    """Reads one pipeline from the tokens of one action."""

    def __init__(self, parser: _Parser, piece: _Piece, tokens: tuple[_Token, ...]) -> None:
        self._parser = parser
        self._piece = piece
        self._tokens = tokens
        self._position = 0
        self._depth = 0

    def whole(self) -> Pipeline:
        pipeline = self._pipeline(top=True)
        if self._position < len(self._tokens):
            token = self._tokens[self._position]
            raise TemplateError(f"unexpected {token.text!r}", token.start, token.end)
        return pipeline

    def _peek(self) -> _Token | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _pipeline(self, *, top: bool = False) -> Pipeline:
        variable = self._assignment() if top else ""
        commands = [self._command(piped=False)]
        while (token := self._peek()) is not None and token.text == "|":
            self._position += 1
            commands.append(self._command(piped=True))
        if variable:
            self._parser.declare(variable)
        return Pipeline(tuple(commands), variable)

    def _assignment(self) -> str:
        if len(self._tokens) < 2 or self._tokens[1].text not in (":=", "="):
            return ""
        name, sign = self._tokens[0], self._tokens[1].text
        if name.kind != "variable" or "." in name.text:
            raise TemplateError("only a variable can be set", name.start, name.end)
        if sign == "=":
            raise TemplateError("setting a variable again is not supported", name.start, name.end)
        self._position = 2
        return name.text

    def _command(self, *, piped: bool) -> Command:
        operands: list[Operand] = []
        while (token := self._peek()) is not None and token.text not in ("|", ")"):
            operands.append(self._operand(token))
        if not operands:
            raise TemplateError("missing value for command", self._piece.start, self._piece.end)
        head = operands[0]
        if isinstance(head, Function):
            self._count(head, len(operands) - 1 + piped)
        elif len(operands) > 1 or piped:
            start, end = (self._piece.start, self._piece.end)
            if not isinstance(head, Pipeline):
                start, end = head.start, head.end
            raise TemplateError("can't give arguments to what is not a function", start, end)
        for operand in operands[1:]:
            if isinstance(operand, Function):
                self._count(operand, 0)
        return Command(tuple(operands))

    @staticmethod
    def _count(function: Function, given: int) -> None:
        least, most = _CONTEXT_FUNCTIONS.get(function.name) or FUNCTIONS[function.name][1:]
        if given < least or (most is not None and given > most):
            wanted = f"{least}" if least == most else f"at least {least}"
            message = f"wrong number of args for {function.name}: want {wanted} got {given}"
            raise TemplateError(message, function.start, function.end)

    def _operand(self, token: _Token) -> Operand:
        self._position += 1
        match token.kind:
            case "string":
                return Literal(_string(token), token.start, token.end)
            case "number":
                return Literal(_number(token), token.start, token.end)
            case "variable":
                return self._variable(token)
            case "field":
                return self._field(token)
            case "word":
                return _word(token)
        if token.text == "(":
            return self._parenthesis(token)
        raise TemplateError(f"unexpected {token.text!r}", token.start, token.end)

    def _parenthesis(self, opening: _Token) -> Pipeline:
        self._depth += 1
        if self._depth > 32:
            raise TemplateError("nested more than 32 levels deep", opening.start, opening.end)
        inner = self._pipeline()
        closing = self._peek()
        if closing is None or closing.text != ")":
            raise TemplateError("unclosed left parenthesis", opening.start, opening.end)
        self._position += 1
        self._depth -= 1
        following = self._peek()
        if following is not None and following.kind == "field" and following.start == closing.end:
            raise TemplateError("a field of a parenthesis is not supported", following.start, following.end)
        return inner

    def _variable(self, token: _Token) -> Variable:
        name, *path = token.text.split(".")
        if not self._parser.declared(name):
            raise TemplateError(f'undefined variable "{name}"', token.start, token.end)
        if name == "$" and path:
            _check_field(path, token)
        return Variable(name, tuple(path), token.start, token.end)

    def _field(self, token: _Token) -> Field:
        path = [part for part in token.text.split(".") if part]
        if path and not self._parser.rebound:
            _check_field(path, token)
        return Field(tuple(path), token.start, token.end)


def _check_field(path: list[str], token: _Token) -> None:
    if path[0] not in _FIELDS:
        message = f'can\'t evaluate field "{path[0]}"; there are {", ".join("." + name for name in _FIELDS)}'
        raise TemplateError(message, token.start, token.end)


def _word(token: _Token) -> Literal | Function:
    if token.text in _CONSTANTS:
        return Literal(_CONSTANTS[token.text], token.start, token.end)
    if token.text in UNSUPPORTED_FUNCTIONS:
        message = f'the function "{token.text}" is not supported in templates'
        raise TemplateError(message, token.start, token.end)
    if token.text not in FUNCTIONS and token.text not in _CONTEXT_FUNCTIONS:
        raise TemplateError(f'function "{token.text}" not defined', token.start, token.end)
    return Function(token.text, token.start, token.end)


def _string(token: _Token) -> str:
    try:
        return Lexer(token.text).next().value
    except PromQLError as error:
        raise TemplateError(error.message, token.start, token.end) from None


def _number(token: _Token) -> float | int:
    text = token.text.replace("_", "")
    try:
        return int(text, 0)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise TemplateError(f"bad number syntax: {token.text!r}", token.start, token.end) from None
