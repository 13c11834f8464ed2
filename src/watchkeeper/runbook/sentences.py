"""Sentences for people that quote the figures they speak of, so that no figure is written down twice.

``{error-rate.warn.over}`` is a path: looked up in the model the sentence stands in, then in each one around
it, up to the whole runbook. ``{path!c}`` starts with a capital, ``{path!s}`` keeps the short form (``30s``),
``{path!k}`` sets words as code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from watchkeeper.runbook.models.base import Part, Quoting
from watchkeeper.runbook.models.calendar import Cadence
from watchkeeper.runbook.models.monitoring import Threshold
from watchkeeper.runbook.models.quantities import Duration, Figure, Rate, Ratio, Size

PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_][A-Za-z0-9_.\-]*)(?:!([cks]))?\}")


class UnknownPathError(LookupError):
    """A placeholder leads nowhere. ``path`` is what stands in the braces, ``offset`` where."""

    def __init__(self, path: str, offset: int) -> None:
        super().__init__(f"{{{path}}} leads nowhere")
        self.path = path
        self.offset = offset


def fill(template: str, scopes: Sequence[Part]) -> str:
    """``template`` with every placeholder filled from the first of ``scopes`` that has it.

    Raises :class:`UnknownPathError` for a path that none of them has, or that leads to no printable value.
    """

    def value(match: re.Match[str]) -> str:
        for scope in scopes:
            words = _words(_lookup(scope, match[1].split(".")), match[2] or "")
            if words is not None:
                return words[:1].upper() + words[1:] if match[2] == "c" else words
        raise UnknownPathError(match[1], match.start())

    return PLACEHOLDER.sub(value, template)


def _lookup(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        if isinstance(value, tuple) and len(value) == 1 and _child(value, name) is None:
            value = value[0]
        value = _child(value, name)
        if value is None:
            return None
    return value


def _child(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, tuple):
        return next((item for item in value if getattr(item, "id", None) == name), None)
    if not isinstance(value, Part):
        return None
    plain = name.replace("-", "_")
    for field in (plain, f"{plain}_"):
        if field in type(value).model_fields:
            return getattr(value, field)
    lists = (item for item in dict(value).values() if isinstance(item, tuple))
    return next((hit for items in lists if (hit := _child(items, name)) is not None), None)


def _words(value: Any, style: str) -> str | None:
    if isinstance(value, tuple) and value:
        if isinstance(value[0], Threshold):
            value = value[0]
        else:
            items = [_words(item, style) for item in value]
            return None if None in items else ", ".join(str(item) for item in items)
    if isinstance(value, Threshold):
        value = value.figure
    if isinstance(value, Cadence):
        value = value.every
    if isinstance(value, (Duration, Ratio, Figure, Size, Rate)):
        return value.text if style == "s" else value.words
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return f"`{value}`" if style == "k" else str(value)
    return None


def quoting_fields(model: type[Part]) -> tuple[str, ...]:
    """The fields of ``model`` that hold sentences."""
    return tuple(name for name, info in model.model_fields.items() if _marked(info.annotation, info.metadata))


def _marked(annotation: Any, metadata: Sequence[Any] = ()) -> bool:
    if any(isinstance(item, Quoting) for item in metadata):
        return True
    return any(_marked(arg, getattr(arg, "__metadata__", ())) for arg in get_args(annotation))


Loc = tuple[str | int, ...]


def walk(
    part: Part, loc: Loc = (), around: tuple[Part, ...] = ()
) -> Iterator[tuple[Loc, str, tuple[Part, ...]]]:
    """Every sentence below ``part``: where it stands, its template, and the scopes it is filled from."""
    scopes = (part, *around)
    quoting = quoting_fields(type(part))
    for name, info in type(part).model_fields.items():
        value, here = getattr(part, name), (*loc, info.alias or name)
        if name in quoting:
            for at, text in _strings(value, here):
                yield at, text, scopes
        else:
            for at, child in _parts(value, here):
                yield from walk(child, at, scopes)


def _strings(value: Any, loc: Loc) -> Iterator[tuple[Loc, str]]:
    if isinstance(value, str):
        yield loc, value
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _strings(item, (*loc, index))


def _parts(value: Any, loc: Loc) -> Iterator[tuple[Loc, Part]]:
    if isinstance(value, Part):
        yield loc, value
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _parts(item, (*loc, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _parts(item, (*loc, key))
