"""Where a character of a YAML scalar stands in the file, for errors inside a PromQL expression.

YAML changes only white space (folding, indentation) and escapes of a scalar, so the visible characters of
the value stand in the file in the same order; where that does not come out, the scalar's start is given.
"""

from __future__ import annotations

from collections.abc import Iterator

from watchkeeper.runbook.errors import Place
from watchkeeper.runbook.tree import Node

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "e": "\x1b", "N": "\x85", "_": "\xa0", " ": " "}
_HEX = {"x": 2, "u": 4, "U": 8}

Char = tuple[str, int, int]


def place_in_scalar(node: Node, offset: int, length: int = 1) -> Place:
    """The place of the ``offset``-th character of the value of ``node``, ``length`` characters long."""
    found = [char for char in _visible(node) if not char[0].isspace()]
    wanted = [char for char in node.text if not char.isspace()]
    if not wanted or [char[0] for char in found] != wanted:
        return node.place
    offset = max(0, min(offset, len(node.text)))
    before = sum(1 for char in node.text[:offset] if not char.isspace())
    if offset < len(node.text) and not node.text[offset].isspace():
        _, line, column = found[before]
    else:  # white space, or the end: just behind the last visible character
        _, line, column = found[max(0, before - 1)]
        column += 1 if before else 0
    return node.source.place(line, column, length)


def _visible(node: Node) -> Iterator[Char]:
    raw = _raw(node)
    if node.style == '"':
        yield from _double_quoted(raw[1:-1])
    elif node.style == "'":
        yield from _single_quoted(raw[1:-1])
    elif node.style in ("|", ">"):
        yield from (char for char in raw if char[1] > node.line)
    else:
        yield from raw


def _raw(node: Node) -> list[Char]:
    chars: list[Char] = []
    lines = node.source.lines
    for line in range(node.line, min(node.end_line + 1, len(lines))):
        start = node.column if line == node.line else 0
        end = node.end_column if line == node.end_line else len(lines[line])
        chars += [(lines[line][column], line, column) for column in range(start, end)]
        chars.append(("\n", line, len(lines[line])))
    while chars and chars[-1][0] == "\n":
        chars.pop()
    return chars


def _single_quoted(raw: list[Char]) -> Iterator[Char]:
    skip = False
    for char in raw:
        if skip:
            skip = False
            continue
        skip = char[0] == "'"
        yield char


def _double_quoted(raw: list[Char]) -> Iterator[Char]:
    index = 0
    while index < len(raw):
        char, line, column = raw[index]
        index += 1
        if char != "\\" or index >= len(raw):
            yield char, line, column
            continue
        code = raw[index][0]
        index += 1
        if code in _HEX:
            digits = "".join(item[0] for item in raw[index : index + _HEX[code]])
            index += _HEX[code]
            yield chr(int(digits, 16)), line, column
        elif code != "\n":
            yield _ESCAPES.get(code, code), line, column
