"""What every model of the runbook has in common: no unknown keys, no silent conversions, no mutation.

A model is built once, when the runbook is loaded, and is read by every section afterwards.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

T = TypeVar("T")


class Part(BaseModel):
    """A mapping of the runbook. Field names that Python reserves end in ``_`` and are written without it."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        validate_by_name=True,
        validate_by_alias=True,
        defer_build=True,
        protected_namespaces=(),
    )


Several = Annotated[tuple[T, ...], Field(strict=False)]
"""A YAML list, kept as a tuple. Its items are as strict as anything else."""


def _as_list(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else [value]


OneOrMore = Annotated[tuple[T, ...], Field(strict=False), BeforeValidator(_as_list)]
"""A YAML list, or one item without the dash; always a tuple here."""

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(?:[-_][a-z0-9]+)*$", max_length=63)]
"""A name that other lines refer to: lower-case words joined by ``-`` or ``_``."""

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
"""A line or paragraph for people, not empty."""


class Quoting:
    """Marks a string type whose ``{path}`` placeholders are filled from the model it stands in."""


Sentence = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True), Quoting()]
"""A line for people that may quote the figures beside it: ``{deadlines.acknowledge}`` reads ``5 minutes``.

See :mod:`watchkeeper.runbook.sentences`; a path that leads nowhere is an error of the runbook.
"""
