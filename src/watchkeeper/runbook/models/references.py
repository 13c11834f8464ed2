"""Strings that point at something: a playbook, a person, a receiver, a rota, a signal, a step verb, PromQL.

They are checked while the runbook is loaded, against a :class:`Known` passed as validation context; built
without one (in a test, by hand), they are plain strings.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, StringConstraints, ValidationInfo
from pydantic_core import PydanticCustomError


@dataclass(frozen=True, slots=True)
class ExprProblem:
    """What is wrong with a PromQL text, and where: ``offset`` in characters from its start."""

    message: str
    offset: int = 0


ExprCheck = Callable[[str], ExprProblem | None]
"""Says what is wrong with a PromQL expression, or None. ``$window`` is filled before it is called."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the document defines, gathered before it is validated, so each error has its place."""

    names: Mapping[str, Collection[str]] = field(default_factory=dict)
    check_expr: ExprCheck | None = None
    folder: Path = Path()
    """The document's own: what its relative paths start from."""


def _known(kind: str) -> AfterValidator:
    def check(value: str, info: ValidationInfo) -> str:
        known = info.context
        if isinstance(known, Known) and kind in known.names and value not in known.names[kind]:
            raise PydanticCustomError(
                "unknown_reference",
                "there is no {kind} {value!r}",
                {"kind": kind, "value": value, "valid": sorted(known.names[kind])},
            )
        return value

    return AfterValidator(check)


PlaybookRef = Annotated[str, _known("playbook")]
ContactRef = Annotated[str, _known("contact")]
ReceiverRef = Annotated[str, _known("receiver")]
RotaRef = Annotated[str, _known("rota")]
StoreRef = Annotated[str, _known("store")]
ScenarioRef = Annotated[str, _known("scenario")]
StakeholderRef = Annotated[str, _known("stakeholder")]
SeverityRef = Annotated[str, _known("severity")]
SignalRef = Annotated[str, _known("signal")]
"""``layer.signal``, or one severity of it: ``layer.signal.page``."""
Verb = Annotated[str, _known("step verb")]


def _check_promql(value: str, info: ValidationInfo) -> str:
    known = info.context
    if isinstance(known, Known) and known.check_expr is not None:
        problem = known.check_expr(fill_window(value, WINDOW_PLACEHOLDER))
        if problem is not None:
            raise PydanticCustomError(
                "promql", "bad PromQL: {reason}", {"reason": problem.message, "offset": problem.offset}
            )
    return value


WINDOW = "$window"
WINDOW_PLACEHOLDER = "000005m"
"""A duration exactly as long as ``$window``, so that a parser's offsets are offsets in the file."""


def fill_window(text: str, window: str) -> str:
    """``text`` with ``$window`` replaced by a Prometheus duration such as ``5m``."""
    return text.replace(WINDOW, window)


Promql = Annotated[str, StringConstraints(min_length=1), AfterValidator(_check_promql)]
"""A PromQL expression; ``$window`` stands for the threshold's ``over``."""
