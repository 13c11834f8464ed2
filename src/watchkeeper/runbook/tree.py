"""YAML as a tree that knows where everything stands: the only place that reads YAML.

The scalars are YAML 1.2's: ``no``, ``on``, ``5:30`` and dates are strings, ``010`` is ten. Keys are unique,
the document is bounded in size, depth and in what its aliases expand to, and no tag builds an object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from watchkeeper.runbook.errors import Place, Problem, RunbookError

MAX_BYTES = 4 * 1024 * 1024
MAX_NODES = 200_000
"""After aliases are expanded. The default runbook has about two thousand."""
MAX_DEPTH = 64

_LOADER: Any = yaml.CBaseLoader if yaml.__with_libyaml__ else yaml.BaseLoader
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INT = re.compile(r"^[-+]?[0-9]+$")
_FLOAT = re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_STR = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True)
class Source:
    """A file's text, by line."""

    name: str
    lines: tuple[str, ...]

    def place(self, line: int, column: int, length: int = 1) -> Place:
        """The place at a line and column that count from 0."""
        text = self.lines[line] if 0 <= line < len(self.lines) else ""
        return Place(self.name, line + 1, column + 1, text, length)


@dataclass(slots=True)
class Node:
    """A scalar (``value``), a list (``items``) or a mapping (``fields``); lines and columns count from 0."""

    source: Source
    line: int
    column: int
    end_line: int
    end_column: int
    style: str | None = None
    text: str = ""
    value: Any = None
    items: list[Node] | None = None
    fields: dict[str, Node] | None = None
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)

    def plain(self) -> Any:
        """The data alone."""
        if self.fields is not None:
            return {key: node.plain() for key, node in self.fields.items()}
        if self.items is not None:
            return [node.plain() for node in self.items]
        return self.value

    @property
    def place(self) -> Place:
        """Where it starts."""
        length = self.end_column - self.column if self.end_line == self.line else 1
        return self.source.place(self.line, self.column, max(1, length))

    def key_place(self, key: str) -> Place:
        """Where one of its keys stands."""
        line, column = self.keys[key]
        return self.source.place(line, column, len(key))

    def at(self, loc: tuple[str | int, ...]) -> Node:
        """The deepest node that ``loc`` leads to."""
        node = self
        for part in loc:
            if node.fields is not None and str(part) in node.fields:
                node = node.fields[str(part)]
            elif node.items is not None and isinstance(part, int) and part < len(node.items):
                node = node.items[part]
        return node

    def walk(self, loc: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Node]]:
        """This node and all below it, each with its path."""
        yield loc, self
        for key, child in (self.fields or {}).items():
            yield from child.walk((*loc, key))
        for index, child in enumerate(self.items or ()):
            yield from child.walk((*loc, index))


def read_tree(name: str, raw: bytes) -> tuple[Node, list[Problem]]:
    """The tree of one YAML document, and what is wrong with it that does not keep it from being read.

    Raises :class:`RunbookError` when there is no tree: not text, not YAML, or out of bounds.
    """
    source, text = _decode(name, raw)
    try:
        loader = _LOADER(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise RunbookError([_syntax(source, error)]) from None
    except RecursionError:
        raise RunbookError([Problem(source.place(0, 0), f"nested deeper than {MAX_DEPTH} levels")]) from None
    if root is None:
        raise RunbookError(
            [
                Problem(
                    source.place(0, 0),
                    "the file is empty",
                    hint="`watchkeeper runbook init` writes a complete one",
                )
            ]
        )
    builder = _Builder(source)
    node = builder.build(root, 0)
    return node, builder.problems


def _decode(name: str, raw: bytes) -> tuple[Source, str]:
    if len(raw) > MAX_BYTES:
        message = f"the file has {len(raw)} bytes; a runbook may have {MAX_BYTES}"
        raise RunbookError([Problem(Place(name, 1, 1), message)])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", "replace")
        place = _place_after(Source(name, tuple(raw.decode("utf-8", "replace").splitlines())), before)
        message = f"byte 0x{raw[error.start]:02x} is not UTF-8"
        raise RunbookError([Problem(place, message, hint="save the file as UTF-8 text")]) from None
    source = Source(name, tuple(text.splitlines()))
    bad = _UNPRINTABLE.search(text)
    if bad is not None:
        message = f"character U+{ord(bad[0]):04X} does not belong in a text file"
        hint = "is this a binary file?" if "\0" in text else "delete the character"
        raise RunbookError([Problem(_place_after(source, text[: bad.start()]), message, hint=hint)])
    return source, text


def _place_after(source: Source, before: str) -> Place:
    lines = before.split("\n")
    return source.place(len(lines) - 1, len(lines[-1]))


def _syntax(source: Source, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark is not None else (0, 0)
    shown = source.lines[line] if line < len(source.lines) else ""
    message, hint = f"not valid YAML: {error.problem or error.context}", ""
    if "\t" in shown[: column + 1]:
        message, hint = "a tab cannot indent YAML", "use spaces"
        column = shown.index("\t")
    elif error.problem == "but found another document":
        message, hint = "a second document starts here", "a runbook is one document: remove the `---`"
    elif "undefined alias" in str(error.problem):
        hint = "an alias `*name` needs an anchor `&name` before it"
    elif "mapping values are not allowed" in str(error.problem):
        hint = "put text that holds `: ` in quotes, or mend the indentation"
    elif "could not find expected ':'" in str(error.problem):
        hint = "a key needs a colon and a space; text over several lines needs `|`"
    elif error.context and error.context_mark is not None and error.problem_mark is not None:
        hint = f"{error.context}, which began on line {error.context_mark.line + 1}"
    if line >= len(source.lines) > 0:
        line, column = len(source.lines) - 1, len(source.lines[-1])
    return Problem(source.place(line, column), message, hint=hint)


class _Builder:
    """Turns PyYAML's nodes into ours, counting what aliases expand to."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self._count = 0
        self._open: set[int] = set()

    def build(self, raw: yaml.Node, depth: int) -> Node:
        mark, end = raw.start_mark, raw.end_mark
        node = Node(self.source, mark.line, mark.column, end.line, end.column)
        self._count += 1
        if self._count > MAX_NODES:
            raise RunbookError([Problem(node.place, f"its aliases expand to more than {MAX_NODES} values")])
        if depth > MAX_DEPTH:
            raise RunbookError([Problem(node.place, f"nested deeper than {MAX_DEPTH} levels")])
        if id(raw) in self._open:
            raise RunbookError([Problem(node.place, "an alias refers to what it stands in")])
        self._open.add(id(raw))
        if isinstance(raw, yaml.ScalarNode):
            self._scalar(node, raw)
        elif isinstance(raw, yaml.SequenceNode):
            node.items = [self.build(item, depth + 1) for item in raw.value]
        elif isinstance(raw, yaml.MappingNode):
            self._mapping(node, raw, depth)
        self._open.discard(id(raw))
        return node

    def _scalar(self, node: Node, raw: yaml.ScalarNode) -> None:
        node.style, node.text = raw.style, raw.value
        if raw.tag not in (_STR, "!"):
            message = f"the tag {raw.tag} is not used here"
            self.problems.append(Problem(node.place, message, hint="write the plain value"))
        node.value = raw.value if raw.style else plain_scalar(raw.value)

    def _mapping(self, node: Node, raw: yaml.MappingNode, depth: int) -> None:
        node.fields = {}
        for key_node, value_node in raw.value:
            line, column = key_node.start_mark.line, key_node.start_mark.column
            place = self.source.place(line, column)
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(place, "a key must be a plain word"))
                continue
            key = key_node.value
            place = self.source.place(line, column, len(key))
            if key == "<<":
                hint = "repeat the keys, or refer to a whole mapping with an alias"
                self.problems.append(Problem(place, "merge keys (<<) are not part of YAML 1.2", hint=hint))
                continue
            if key in node.fields:
                first = node.keys[key][0] + 1
                message = f"the key `{key}` stands here twice; the first is on line {first}"
                self.problems.append(Problem(place, message, hint="remove one of them"))
                continue
            node.keys[key] = (line, column)
            node.fields[key] = self.build(value_node, depth + 1)


def plain_scalar(text: str) -> str | int | float | bool | None:
    """The value of a plain scalar by YAML 1.2's core schema, without octal and hexadecimal surprises."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INT.match(text) and len(text) <= 20:
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    return text
