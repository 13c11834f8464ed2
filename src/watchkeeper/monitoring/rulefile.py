"""Prometheus rule files: read with line and column for every mistake, written the same way every time.

Always true: ``read_rules(write_rules(groups))`` gives ``groups`` again; what is written, ``promtool check
rules`` accepts; what is read has PromQL and templates that our engine takes
(tests/monitoring/test_rulefile.py). Source:
https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from watchkeeper.monitoring.promql.ast import PromQLError, ValueType
from watchkeeper.monitoring.promql.durations import format_duration, parse_duration
from watchkeeper.monitoring.promql.parser import parse
from watchkeeper.monitoring.templates import TemplateError, compile_template
from watchkeeper.runbook.errors import Place, Problem, RunbookError, nearest
from watchkeeper.runbook.scalars import place_in_scalar
from watchkeeper.runbook.tree import Node, read_tree

Pairs = tuple[tuple[str, str], ...]
_GROUP_KEYS = ("name", "interval", "query_offset", "limit", "labels", "rules")
_RULE_KEYS = ("record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations")
_ALERT_ONLY = ("for", "keep_firing_for", "annotations")


class RuleFileError(ValueError):
    """A rule file, or a file of tests for one, that cannot be used. ``problems`` in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(f"{problems[0].place}: {problems[0].message}")
        self.problems = tuple(problems)

    def render(self) -> str:
        """Every problem with its line, for a terminal."""
        return "\n".join(problem.render() for problem in self.problems)


@dataclass(frozen=True, slots=True)
class Rule:
    """An alerting rule (``alert`` is its name) or a recording rule (``record`` is the metric it makes).

    ``labels`` and ``annotations`` are sorted by name; those of an alerting rule are templates.
    """

    expr: str
    alert: str = ""
    record: str = ""
    for_ms: int = 0
    keep_firing_for_ms: int = 0
    labels: Pairs = ()
    annotations: Pairs = ()

    @property
    def name(self) -> str:
        """The alert's or the metric's name."""
        return self.alert or self.record


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules that are evaluated one after the other. ``interval_ms`` None: the server's own."""

    name: str
    rules: tuple[Rule, ...] = ()
    interval_ms: int | None = None
    query_offset_ms: int | None = None
    limit: int = 0
    labels: Pairs = ()


# -- writing -----------------------------------------------------------------------------------


def write_rules(groups: Iterable[RuleGroup]) -> str:
    """``groups`` as a rule file. The same groups always give the same text."""
    document = {"groups": [_group_data(group) for group in groups]}
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100_000)
    return str(text)


class _Dumper(yaml.SafeDumper):
    """Block style; expressions of several lines stay readable."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None  # PyYAML quotes what cannot be a block after all
    if any(not character.isprintable() and character != "\n" for character in text):
        style = '"'  # some of these are line breaks to YAML 1.1
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _string)


def _group_data(group: RuleGroup) -> dict[str, Any]:
    data: dict[str, Any] = {"name": group.name}
    if group.interval_ms is not None:
        data["interval"] = format_duration(group.interval_ms)
    if group.query_offset_ms is not None:
        data["query_offset"] = format_duration(group.query_offset_ms)
    if group.limit:
        data["limit"] = group.limit
    if group.labels:
        data["labels"] = dict(group.labels)
    data["rules"] = [_rule_data(rule) for rule in group.rules]
    return data


def _rule_data(rule: Rule) -> dict[str, Any]:
    data: dict[str, Any] = {"alert": rule.alert} if rule.alert else {"record": rule.record}
    data["expr"] = rule.expr
    if rule.for_ms:
        data["for"] = format_duration(rule.for_ms)
    if rule.keep_firing_for_ms:
        data["keep_firing_for"] = format_duration(rule.keep_firing_for_ms)
    if rule.labels:
        data["labels"] = dict(rule.labels)
    if rule.annotations:
        data["annotations"] = dict(rule.annotations)
    return data


# -- reading -----------------------------------------------------------------------------------


def load_rules(path: Path) -> list[RuleGroup]:
    """The groups of the rule file at ``path``. Raises :class:`RuleFileError`."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise RuleFileError([Problem(Place(str(path), 1, 1), f"cannot be read: {error.strerror}")]) from None
    return read_rules(raw, name=str(path))


def read_rules(raw: bytes | str, name: str = "rules.yml") -> list[RuleGroup]:
    """The groups of a rule file. Raises :class:`RuleFileError` with every mistake in it."""
    root, problems = read_document(raw, name)
    if root is None:
        return []
    reader = Reader(problems)
    groups = _Groups(reader).read(root)
    reader.finish()
    return groups


def read_document(raw: bytes | str, name: str) -> tuple[Node | None, list[Problem]]:
    """The tree of a YAML document (None: it is empty) and its first problems."""
    encoded = raw.encode() if isinstance(raw, str) else raw
    if not any(line.strip() and not line.lstrip().startswith(b"#") for line in encoded.split(b"\n")):
        return None, []
    try:
        return read_tree(name, encoded)
    except RunbookError as error:
        raise RuleFileError(error.problems) from None


@dataclass
class Reader:
    """Takes values out of a tree and collects what is wrong with them."""

    problems: list[Problem] = field(default_factory=list)

    def finish(self) -> None:
        """Raises :class:`RuleFileError` if anything was wrong."""
        if self.problems:
            raise RuleFileError(sorted(self.problems, key=lambda p: (p.place.line, p.place.column)))

    def problem(self, place: Place, message: str, hint: str = "") -> None:
        self.problems.append(Problem(place, message, hint=hint))

    def mapping(self, node: Node, keys: Sequence[str], what: str) -> Mapping[str, Node]:
        """The fields of ``node``, of which only ``keys`` may be."""
        if node.fields is None:
            self.problem(node.place, f"{what} must be a mapping")
            return {}
        for key in node.fields:
            if key not in keys:
                self.problem(node.key_place(key), f"unknown key `{key}` in {what}", nearest(key, keys))
        return {key: child for key, child in node.fields.items() if key in keys}

    def items(self, node: Node | None, what: str) -> list[Node]:
        """The items of a list; none where it is left empty."""
        if node is None or (node.items is None and node.fields is None and node.value is None):
            return []
        if node.items is None:
            self.problem(node.place, f"{what} must be a list")
            return []
        return node.items

    def text(self, node: Node | None, what: str) -> str:
        """A scalar as it stands there, whatever YAML takes it for."""
        if node is None:
            return ""
        if node.items is not None or node.fields is not None:
            self.problem(node.place, f"{what} must be a text")
            return ""
        return "" if node.value is None else node.text

    def duration(self, node: Node | None, what: str) -> int | None:
        text = self.text(node, what)
        if node is None or not text:
            return None
        try:
            return parse_duration(text)
        except ValueError as error:
            self.problem(node.place, f"{what}: {error}", "write it as 30s, 5m, 1h30m or 1d")
            return None

    def number(self, node: Node | None, what: str) -> float:
        """A number; ``.nan`` and ``.inf`` are YAML's words for what is none."""
        if node is None:
            return 0.0
        try:
            return float(re.sub(r"^([-+]?)\.(?=[A-Za-z])", r"\1", self.text(node, what)))
        except ValueError:
            self.problem(node.place, f"{what} must be a number")
            return 0.0

    def count(self, node: Node | None, what: str) -> int:
        """A whole number that is not negative."""
        text = self.text(node, what)
        if node is None or re.fullmatch(r"[0-9]{1,9}", text):
            return int(text or 0)
        self.problem(node.place, f"{what} must be a whole number")
        return 0

    def pairs(self, node: Node | None, what: str) -> dict[str, str]:
        if node is None or (node.fields is None and node.items is None and node.value is None):
            return {}
        if node.fields is None:
            self.problem(node.place, f"{what} must be a mapping")
            return {}
        return {key: self.text(child, f"{what}.{key}") for key, child in node.fields.items()}

    def expression(self, node: Node | None, what: str) -> str:
        """PromQL that a rule can have: an instant vector or a number."""
        text = self.text(node, what)
        if node is None:
            return ""
        if not text.strip():
            self.problem(node.place, f"{what} must not be empty")
            return text
        try:
            expr = parse(text)
        except PromQLError as error:
            length = max(1, error.end - error.start)
            self.problem(place_in_scalar(node, error.start, length), f"{what}: {error.message}")
            return text
        if expr.type not in (ValueType.VECTOR, ValueType.SCALAR):
            self.problem(
                node.place, f"{what} gives a {expr.type}; a rule needs an instant vector or a number"
            )
        return text


class _Groups:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._names: set[str] = set()

    def read(self, root: Node) -> list[RuleGroup]:
        fields = self._reader.mapping(root, ("groups",), "a rule file")
        return [self._group(node) for node in self._reader.items(fields.get("groups"), "groups")]

    def _group(self, node: Node) -> RuleGroup:
        reader = self._reader
        fields = reader.mapping(node, _GROUP_KEYS, "a group")
        name = reader.text(fields.get("name"), "the name of a group")
        if not name:
            reader.problem(node.place, "a group needs a name")
        elif name in self._names:
            reader.problem(fields["name"].place, f"there are two groups named {name}")
        self._names.add(name)
        rules = [self._rule(rule) for rule in reader.items(fields.get("rules"), "rules")]
        return RuleGroup(
            name=name,
            rules=tuple(rules),
            interval_ms=reader.duration(fields.get("interval"), "interval"),
            query_offset_ms=reader.duration(fields.get("query_offset"), "query_offset"),
            limit=reader.count(fields.get("limit"), "limit"),
            labels=self._labels(fields.get("labels"), templates=False),
        )

    def _rule(self, node: Node) -> Rule:
        reader = self._reader
        fields = reader.mapping(node, _RULE_KEYS, "a rule")
        alert, record = (reader.text(fields.get(key), key) for key in ("alert", "record"))
        if alert and record:
            reader.problem(node.key_place("record"), "a rule has either `alert` or `record`, not both")
        elif not alert and not record:
            reader.problem(node.place, "a rule needs `alert` (a name) or `record` (a metric)")
        if record and not alert:
            self._recording(node, fields, record)
        if "expr" not in fields:
            reader.problem(node.place, "a rule needs `expr`")
        return Rule(
            expr=reader.expression(fields.get("expr"), "expr"),
            alert=alert,
            record=record,
            for_ms=reader.duration(fields.get("for"), "for") or 0,
            keep_firing_for_ms=reader.duration(fields.get("keep_firing_for"), "keep_firing_for") or 0,
            labels=self._labels(fields.get("labels"), templates=bool(alert)),
            annotations=self._annotations(fields.get("annotations")),
        )

    def _recording(self, node: Node, fields: Mapping[str, Node], record: str) -> None:
        if "{" in record or "}" in record:
            self._reader.problem(fields["record"].place, "a metric name without braces belongs in `record`")
        for key in _ALERT_ONLY:
            if key in fields:
                self._reader.problem(node.key_place(key), f"`{key}` belongs to alerting rules only")

    def _labels(self, node: Node | None, *, templates: bool) -> Pairs:
        pairs = self._reader.pairs(node, "labels")
        for key, value in pairs.items():
            assert node is not None
            if not key or key == "__name__":
                self._reader.problem(node.key_place(key), f"`{key}` cannot be set as a label")
            self._template(node, key, value, checked=templates)
        return tuple(sorted(pairs.items()))

    def _annotations(self, node: Node | None) -> Pairs:
        pairs = self._reader.pairs(node, "annotations")
        for key, value in pairs.items():
            assert node is not None
            self._template(node, key, value, checked=True)
        return tuple(sorted(pairs.items()))

    def _template(self, node: Node, key: str, text: str, *, checked: bool) -> None:
        if not checked or "{{" not in text or node.fields is None:
            return
        try:
            compile_template(text)
        except TemplateError as error:
            place = place_in_scalar(node.fields[key], error.start, max(1, error.end - error.start))
            self._reader.problem(place, f"template of `{key}`: {error.message}")
