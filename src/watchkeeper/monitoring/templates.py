"""Templates in the labels and annotations of rules: the part of Go's template language that alerts use.

Always true: what :func:`compile_template` accepts, Prometheus accepts too, and expands to the same text
(tests/monitoring/test_templates.py, beside promtool); what it does not support (``query``, ``range``,
``define``, ``template``) it refuses with its place, when the rules are loaded, not when they fire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit

from watchkeeper.monitoring.template_functions import FUNCTIONS, TemplateValueError, Value, printed, truth
from watchkeeper.monitoring.template_parser import (
    Action,
    Command,
    Field,
    Function,
    Literal,
    Node,
    Pipeline,
    TemplateError,
    Text,
    Variable,
    parse_template,
)

__all__ = ["External", "Template", "TemplateError", "compile_template", "expand"]


@dataclass(frozen=True, slots=True)
class External:
    """What a template can say about the place that it is expanded in."""

    labels: Mapping[str, str] = field(default_factory=dict)
    url: str = ""


NOWHERE = External()


@dataclass(frozen=True, slots=True)
class Template:
    """A template that was read."""

    nodes: tuple[Node, ...]

    def render(self, labels: Mapping[str, str], value: float, external: External = NOWHERE) -> str:
        """The text for one element. Raises :class:`TemplateError` where a function cannot take its value."""
        data: dict[str, Value] = {
            "Labels": labels,
            "Value": value,
            "ExternalLabels": external.labels,
            "ExternalURL": external.url,
        }
        variables: dict[str, Value] = {
            "$": data,
            "$labels": labels,
            "$externalLabels": external.labels,
            "$externalURL": external.url,
            "$value": value,
        }
        return _Rendering(external).nodes(self.nodes, data, variables)


@lru_cache(maxsize=4096)
def compile_template(text: str) -> Template:
    """The template ``text``. Raises :class:`TemplateError` with the place of what is wrong."""
    return Template(parse_template(text))


def expand(text: str, labels: Mapping[str, str], value: float, external: External = NOWHERE) -> str:
    """``text`` for one element of a rule's result: its ``labels`` and ``value``.

    Raises :class:`TemplateError` where the template cannot be read or a function cannot take its argument.
    """
    if "{{" not in text:
        return text
    return compile_template(text).render(labels, value, external)


class _Rendering:
    def __init__(self, external: External) -> None:
        self._external = external

    def nodes(self, nodes: tuple[Node, ...], dot: Value, variables: dict[str, Value]) -> str:
        return "".join(self._node(node, dot, variables) for node in nodes)

    def _node(self, node: Node, dot: Value, variables: dict[str, Value]) -> str:
        if isinstance(node, Text):
            return node.text
        if isinstance(node, Action):
            value = self._pipeline(node.pipeline, dot, variables)
            return "" if node.pipeline.variable else printed(value)
        scope = dict(variables)
        value = self._pipeline(node.pipeline, dot, scope)
        if not truth(value):
            return self.nodes(node.otherwise, dot, scope)
        return self.nodes(node.then, value if node.rebinds else dot, scope)

    def _pipeline(self, pipeline: Pipeline, dot: Value, variables: dict[str, Value]) -> Value:
        value: Value = None
        for position, command in enumerate(pipeline.commands):
            piped = (value,) if position else ()
            value = self._command(command, piped, dot, variables)
        if pipeline.variable:
            variables[pipeline.variable] = value
        return value

    def _command(
        self, command: Command, piped: tuple[Value, ...], dot: Value, variables: dict[str, Value]
    ) -> Value:
        head = command.operands[0]
        if not isinstance(head, Function):
            return self._operand(head, dot, variables)
        if head.name in ("and", "or"):
            return self._lazily(head.name, command, piped, dot, variables)
        arguments = [self._operand(operand, dot, variables) for operand in command.operands[1:]]
        return self._call(head, (*arguments, *piped))

    def _lazily(
        self, name: str, command: Command, piped: tuple[Value, ...], dot: Value, variables: dict[str, Value]
    ) -> Value:
        value: Value = None
        for operand in command.operands[1:]:
            value = self._operand(operand, dot, variables)
            if truth(value) is (name == "or"):
                return value
        return piped[0] if piped else value

    def _call(self, function: Function, arguments: tuple[Value, ...]) -> Value:
        if function.name == "externalURL":
            return self._external.url
        if function.name == "pathPrefix":
            return urlsplit(self._external.url).path
        try:
            return FUNCTIONS[function.name][0](*arguments)
        except TemplateValueError as error:
            message = f"error calling {function.name}: {error}"
            raise TemplateError(message, function.start, function.end) from None

    def _operand(self, operand: object, dot: Value, variables: dict[str, Value]) -> Value:
        match operand:
            case Literal():
                return operand.value
            case Variable():
                return self._path(variables[operand.name], operand.path, operand)
            case Field():
                return self._path(dot, operand.path, operand)
            case Function():
                return self._call(operand, ())
            case Pipeline():
                return self._pipeline(operand, dot, variables)
        raise TypeError(f"not an operand: {operand!r}")

    @staticmethod
    def _path(value: Value, path: tuple[str, ...], at: Variable | Field) -> Value:
        for name in path:
            if not isinstance(value, Mapping):
                raise TemplateError(
                    f'can\'t look up "{name}" in a value that has no fields', at.start, at.end
                )
            value = value.get(name, "")
        return value
