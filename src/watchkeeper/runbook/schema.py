"""What the models allow at a path, for telling a person what would be valid there."""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from watchkeeper.runbook.models.base import Part
from watchkeeper.runbook.models.runbook import Runbook


def model_at(loc: Sequence[str | int], root: type[Part] = Runbook) -> type[Part] | None:
    """The model that stands at ``loc``, or None when something else stands there."""
    annotation: Any = root
    for step in loc:
        annotation = _step(_bare(annotation), step)
        if annotation is None:
            return None
    bare = _bare(annotation)
    return bare if isinstance(bare, type) and issubclass(bare, Part) else None


def keys_of(model: type[Part]) -> list[str]:
    """The keys of a model as they are written in the file, in the order of the model."""
    return [info.alias or name for name, info in model.model_fields.items()]


def required_keys(model: type[Part]) -> list[str]:
    """The keys that a model cannot do without."""
    return [info.alias or name for name, info in model.model_fields.items() if info.is_required()]


def _bare(annotation: Any) -> Any:
    """``annotation`` without Annotated and without ``| None``."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in (Union, types.UnionType):
            rest = [arg for arg in get_args(annotation) if arg is not type(None)]
            annotation = next((arg for arg in rest if _is_part(arg)), rest[0])
        else:
            return annotation


def _is_part(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Part)


def _step(annotation: Any, step: str | int) -> Any:
    origin = get_origin(annotation)
    if origin is tuple and isinstance(step, int):
        return get_args(annotation)[0]
    if origin is dict:
        return get_args(annotation)[1]
    if _is_part(annotation):
        for name, info in annotation.model_fields.items():
            if step in (name, info.alias):
                return info.annotation
    return None
