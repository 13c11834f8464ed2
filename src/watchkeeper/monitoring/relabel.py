"""Relabelling: Prometheus' rules that keep, drop and rewrite label sets, of targets and of samples.

Pure: rules and a label set in, a label set or None (dropped) out. A label with an empty value is no label.
Source: https://prometheus.io/docs/prometheus/latest/configuration/configuration/#relabel_config, and where
that is silent, what Prometheus 3 does. Case by case in tests/monitoring/test_discovery_relabel.py.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from watchkeeper.monitoring.labels import Labels, label_set
from watchkeeper.monitoring.regex import RegexError, compile_anchored, fullmatch


class RelabelError(ValueError):
    """A relabelling rule that makes no sense; the message says which part and what would."""


class Action(StrEnum):
    """What a rule does; the names are Prometheus'."""

    REPLACE = "replace"
    KEEP = "keep"
    DROP = "drop"
    KEEP_EQUAL = "keepequal"
    DROP_EQUAL = "dropequal"
    HASH_MOD = "hashmod"
    LABEL_MAP = "labelmap"
    LABEL_DROP = "labeldrop"
    LABEL_KEEP = "labelkeep"
    LOWERCASE = "lowercase"
    UPPERCASE = "uppercase"


_NEEDS_TARGET: Final = frozenset(
    {
        Action.REPLACE,
        Action.HASH_MOD,
        Action.LOWERCASE,
        Action.UPPERCASE,
        Action.KEEP_EQUAL,
        Action.DROP_EQUAL,
    }
)
_ONLY_EQUAL: Final = ("source_labels", "target_label")
_ONLY_REGEX: Final = ("regex",)
_DEFAULT_REGEX: Final = "(.*)"
_VARIABLE: Final = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rule:
    """One ``relabel_config``, with Prometheus' defaults. :class:`RelabelError` if it makes no sense."""

    action: Action = Action.REPLACE
    source_labels: tuple[str, ...] = ()
    separator: str = ";"
    regex: str = _DEFAULT_REGEX
    modulus: int = 0
    target_label: str = ""
    replacement: str = "$1"
    compiled: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "compiled", compile_anchored(self.regex))
        except RegexError as error:
            raise RelabelError(f"regex {self.regex!r}: {error}") from None
        if self.action in _NEEDS_TARGET and not self.target_label:
            raise RelabelError(f"action {self.action} needs target_label")
        if self.action is Action.HASH_MOD and self.modulus < 1:
            raise RelabelError("action hashmod needs a modulus of 1 or more")
        if self.action in (Action.KEEP_EQUAL, Action.DROP_EQUAL):
            self._only(_ONLY_EQUAL)
        elif self.action in (Action.LABEL_DROP, Action.LABEL_KEEP):
            self._only(_ONLY_REGEX)
        elif self.action in (Action.LOWERCASE, Action.UPPERCASE) and self.replacement != "$1":
            raise RelabelError(f"action {self.action} does not use replacement; leave it out")

    def _only(self, names: tuple[str, ...]) -> None:
        defaults = {
            "source_labels": (),
            "separator": ";",
            "regex": _DEFAULT_REGEX,
            "modulus": 0,
            "target_label": "",
            "replacement": "$1",
        }
        for name, default in defaults.items():
            if name not in names and getattr(self, name) != default:
                raise RelabelError(f"action {self.action} uses only {' and '.join(names)}; leave out {name}")

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Rule:
        """The rule that a ``relabel_config`` of the configuration describes; keys it lacks have defaults."""
        known = dict(config)
        action = str(known.pop("action", "replace")).lower()
        if action not in {member.value for member in Action}:
            raise RelabelError(f"action {action!r} is not one of {', '.join(Action)}")
        sources = tuple(known.pop("source_labels", ()))
        unknown = sorted(known.keys() - {"separator", "regex", "modulus", "target_label", "replacement"})
        if unknown:
            raise RelabelError(f"unknown key {unknown[0]!r} in a relabelling rule")
        return cls(action=Action(action), source_labels=sources, **known)


def relabel(labels: Labels | Mapping[str, str], rules: Iterable[Rule]) -> Labels | None:
    """``labels`` after all ``rules`` in order; None if one of them drops it."""
    current = dict(labels)
    for rule in rules:
        if not _apply(rule, current):
            return None
    return label_set(current.items())


def _apply(rule: Rule, labels: dict[str, str]) -> bool:
    """Change ``labels`` as ``rule`` says; False if it drops them."""
    joined = rule.separator.join([labels.get(name, "") for name in rule.source_labels])
    regex = rule.compiled
    match rule.action:
        case Action.KEEP:
            return fullmatch(regex, joined) is not None
        case Action.DROP:
            return fullmatch(regex, joined) is None
        case Action.KEEP_EQUAL:
            return labels.get(rule.target_label, "") == joined
        case Action.DROP_EQUAL:
            return labels.get(rule.target_label, "") != joined
        case Action.REPLACE:
            found = fullmatch(regex, joined)
            if found is not None:
                target = _expand(rule.target_label, found)
                if target:
                    _set(labels, target, _expand(rule.replacement, found))
        case Action.LOWERCASE:
            _set(labels, rule.target_label, joined.lower())
        case Action.UPPERCASE:
            _set(labels, rule.target_label, joined.upper())
        case Action.HASH_MOD:
            digest = hashlib.md5(joined.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
            _set(labels, rule.target_label, str(int.from_bytes(digest[8:], "big") % rule.modulus))
        case Action.LABEL_MAP:
            for name, value in list(labels.items()):
                found = fullmatch(regex, name)
                if found is not None:
                    _set(labels, _expand(rule.replacement, found), value)
        case Action.LABEL_DROP:
            for name in [name for name in labels if fullmatch(regex, name)]:
                del labels[name]
        case Action.LABEL_KEEP:
            for name in [name for name in labels if not fullmatch(regex, name)]:
                del labels[name]
    return True


def _set(labels: dict[str, str], name: str, value: str) -> None:
    if value and name:
        labels[name] = value
    else:
        labels.pop(name, None)


def _expand(template: str, found: Any) -> str:
    """``template`` with ``$1``, ``${1}``, ``$name`` and ``$$`` filled in, as Go's ``Regexp.Expand`` does."""
    if "$" not in template:
        return template

    def fill(variable: re.Match[str]) -> str:
        if variable[1]:
            return "$"
        name = variable[2] or variable[3]
        try:
            return found.group(int(name) if name.isdigit() else name) or ""
        except (IndexError, KeyError):
            return ""

    return _VARIABLE.sub(fill, template)


def rules_of(configs: Sequence[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """The rules of a list of ``relabel_configs``; an error says which of them."""
    rules: list[Rule] = []
    for number, config in enumerate(configs, 1):
        try:
            rules.append(Rule.of(config))
        except RelabelError as error:
            raise RelabelError(f"relabelling rule {number}: {error}") from None
    return tuple(rules)
