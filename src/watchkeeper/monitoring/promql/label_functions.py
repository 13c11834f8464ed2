"""``label_replace`` and ``label_join``.

Always true: a label set is rewritten once, when its series is first seen; regular expressions are RE2 and
match the whole value, as in Prometheus.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from watchkeeper.monitoring.labels import METRIC_NAME, Labels, label_set
from watchkeeper.monitoring.promql.ast import Call
from watchkeeper.monitoring.promql.evaluation import Evaluation, VectorNode, Workspace
from watchkeeper.monitoring.promql.projection import Rewriting
from watchkeeper.monitoring.promql.result import EvaluationError
from watchkeeper.monitoring.promql.vector import Grid, Vector, merged
from watchkeeper.monitoring.regex import RegexError, compile_anchored, fullmatch

Rewrite = Callable[[Labels], tuple[Labels, bool]]
_REFERENCE = re.compile(r"\$(?:\$|(?P<name>[0-9A-Za-z_]+)|\{(?P<braced>[0-9A-Za-z_]+)\})")


class Relabel(VectorNode):
    """A vector whose label sets went through a function."""

    def __init__(self, expr: Call, workspace: Workspace, argument: VectorNode, rewrite: Rewrite) -> None:
        super().__init__(expr, argument)
        self._argument = argument
        self._rewriting = Rewriting(workspace.derived, rewrite)

    def run(self, evaluation: Evaluation, grid: Grid) -> Vector:
        vector = evaluation.vector(self._argument, grid)
        if not len(vector):
            return vector
        refs, named = self._rewriting.apply(vector.labels, vector.refs)
        dropped = vector.dropped
        if named.any():
            dropped = vector.dropped_mask() & ~named
        return merged(replace(vector, labels=evaluation.workspace.derived, refs=refs, dropped=dropped))


def replacing(target: str, template: str, source: str, pattern: str) -> Rewrite:
    """The rewriting that ``label_replace`` makes.

    Raises :class:`EvaluationError` for what cannot be a regular expression or a label name.
    """
    try:
        regex = compile_anchored(pattern)
    except RegexError:
        raise EvaluationError(f"invalid regular expression in label_replace(): {pattern}") from None
    _check_name(target, "destination", "label_replace")
    names = dict(regex.groupindex)
    parts = _template(template, names, regex.groups)

    def rewrite(labels: Labels) -> tuple[Labels, bool]:
        values = dict(labels)
        match = fullmatch(regex, values.get(source, ""))
        if match is None:
            return labels, False
        values[target] = "".join(
            part if isinstance(part, str) else (match.group(part) or "") for part in parts
        )
        return label_set(values.items()), target == METRIC_NAME

    return rewrite


def joining(target: str, separator: str, sources: Sequence[str]) -> Rewrite:
    """The rewriting that ``label_join`` makes.

    Raises :class:`EvaluationError` for what cannot be a label name.
    """
    for source in sources:
        _check_name(source, "source", "label_join")
    _check_name(target, "destination", "label_join")

    def rewrite(labels: Labels) -> tuple[Labels, bool]:
        values = dict(labels)
        values[target] = separator.join(values.get(source, "") for source in sources)
        return label_set(values.items()), target == METRIC_NAME

    return rewrite


def _check_name(name: str, role: str, function: str) -> None:
    if not name or any(0xD800 <= ord(char) <= 0xDFFF for char in name):
        raise EvaluationError(f"invalid {role} label name in {function}(): {name}")


def _template(template: str, names: dict[str, int], groups: int) -> list[str | int]:
    """A replacement such as ``$1-${name}`` as texts and numbers of groups (Go's ``Regexp.Expand``)."""
    parts: list[str | int] = []
    position = 0
    for found in _REFERENCE.finditer(template):
        parts.append(template[position : found.start()])
        position = found.end()
        name = found["name"] or found["braced"]
        if name is None:
            parts.append("$")
            continue
        number = int(name) if name.isdigit() else names.get(name)
        if number is not None and number <= groups:
            parts.append(number)
    parts.append(template[position:])
    return parts
