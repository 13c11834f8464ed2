"""runbook.yaml to :class:`Runbook`: either a whole valid policy comes out, or every problem with its place.

Nothing is guessed and nothing is skipped. What needs other packages (PromQL, step verbs) is handed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from watchkeeper.runbook.checks import dotted, duplicate_ids, whole_document
from watchkeeper.runbook.errors import Place, Problem, RunbookError, nearest
from watchkeeper.runbook.models.quantities import DURATION_EXAMPLES
from watchkeeper.runbook.models.references import ExprCheck, Known
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.models.secrets import Secret
from watchkeeper.runbook.redaction import without_secret_lines, without_secrets
from watchkeeper.runbook.scalars import place_in_scalar
from watchkeeper.runbook.schema import keys_of, model_at, required_keys
from watchkeeper.runbook.tree import MAX_BYTES, Node, read_tree
from watchkeeper.runbook.verbs import VERBS

OVERLAY_KEYS = ("metrics", "notifications")
"""What an overlay may hold: where this deployment's targets and receivers are, never what the policy says."""


@dataclass(frozen=True, slots=True)
class LoadedRunbook:
    """A valid runbook, the tree it came from, and the digest of the bytes it was read from."""

    runbook: Runbook
    tree: Node
    digest: str

    def place(self, loc: tuple[str | int, ...]) -> Place:
        """Where the value at ``loc`` stands in the file; its key, if it has one."""
        if loc and isinstance(loc[-1], str):
            parent = self.tree.at(loc[:-1])
            if loc[-1] in parent.keys:
                return parent.key_place(loc[-1])
        return self.tree.at(loc).place


def default_text() -> str:
    """The runbook that is shipped with Watchkeeper, as text."""
    return resources.files("watchkeeper.runbook").joinpath("default.yaml").read_text(encoding="utf-8")


def load(
    path: Path,
    *,
    overlay: Path | None = None,
    check_expr: ExprCheck | None = None,
    verbs: Collection[str] | None = None,
    today: date | None = None,
) -> LoadedRunbook:
    """The runbook at ``path``, with ``overlay`` merged over it.

    ``check_expr`` judges each PromQL expression with ``$window`` filled (None: not judged). ``verbs`` are the
    step verbs there are (None: the built-in ones). With ``today`` a waiver that is over is a problem too;
    a service that is only starting again leaves it out, so that a date cannot keep it from watching.

    Raises :class:`RunbookError` with every problem found.
    """
    raw = _read(path)
    raw_overlay = None if overlay is None else (str(overlay), _read(overlay))
    return load_bytes(str(path), raw, overlay=raw_overlay, check_expr=check_expr, verbs=verbs, today=today)


def load_bytes(
    name: str,
    raw: bytes,
    *,
    overlay: tuple[str, bytes] | None = None,
    check_expr: ExprCheck | None = None,
    verbs: Collection[str] | None = None,
    today: date | None = None,
) -> LoadedRunbook:
    """As :func:`load`, from bytes. ``name`` is what errors call them; paths in them start from its folder."""
    tree, problems = _tree(name, raw)
    digest = hashlib.sha256(raw)
    if overlay is not None:
        over, more = _tree(*overlay)
        digest.update(b"\0" + overlay[1])
        problems += more + list(_merge(tree, over))
    problems += duplicate_ids(tree)
    data = tree.plain()
    known = Known(_names(data, VERBS if verbs is None else verbs), check_expr, Path(name).parent)
    runbook: Runbook | None = None
    try:
        runbook = Runbook.model_validate(data, context=known)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=True)
        problems += [_explain(tree, item) for item in details if not _follows(item)]
    if runbook is not None:
        problems += whole_document(runbook, tree, today)
    if problems or runbook is None:
        ordered = sorted(problems, key=lambda p: (p.place.file != name, p.place.line, p.place.column))
        raise RunbookError(without_secrets(tree, ordered))
    return LoadedRunbook(runbook, tree, digest.hexdigest())


def _tree(name: str, raw: bytes) -> tuple[Node, list[Problem]]:
    try:
        return read_tree(name, raw)
    except RunbookError as error:
        raise RunbookError(without_secret_lines(error.problems)) from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        hint = ""
        if isinstance(error, FileNotFoundError):
            hint = (
                "`watchkeeper runbook init` writes one; `--runbook FILE` or WATCHKEEPER_RUNBOOK names another"
            )
        message = f"cannot be read: {error.strerror or error}"
        raise RunbookError([Problem(Place(str(path), 1, 1), message, hint=hint)]) from None


def _merge(tree: Node, over: Node) -> Iterator[Problem]:
    """Each key inside the overlay's sections takes the place of the same key of the runbook.

    Receivers come with their routes: an overlay that brings its own also drops the runbook's routes, and from
    its contacts those receivers, that are no longer there.
    """
    if tree.fields is None or over.fields is None:
        if over.fields is None:
            yield Problem(
                over.place, "an overlay is a mapping", hint=f"valid here: {', '.join(OVERLAY_KEYS)}"
            )
        return
    for key, section in over.fields.items():
        if key not in OVERLAY_KEYS:
            hint = (
                f"valid here: {', '.join(OVERLAY_KEYS)}; everything else is policy and belongs in the runbook"
            )
            yield Problem(over.key_place(key), f"an overlay may not hold `{key}`", hint=hint)
            continue
        mine = tree.fields.get(key)
        if mine is None or mine.fields is None or section.fields is None:
            tree.fields[key] = section
            tree.keys.setdefault(key, (0, 0))
        else:
            if key == "notifications" and "receivers" in section.fields:
                _drop_receivers(tree, _ids(mine) - _ids(section))
            dropped = ("routes", "default_receivers") if "receivers" in section.fields else ()
            kept = {name: node for name, node in mine.fields.items() if name not in dropped}
            section.fields = {**kept, **section.fields}
            tree.fields[key] = section


def _ids(notifications: Node) -> set[object]:
    receivers = (notifications.fields or {}).get("receivers")
    items = (receivers.items if receivers is not None else None) or []
    return {item.fields["id"].value for item in items if item.fields is not None and "id" in item.fields}


def _drop_receivers(tree: Node, gone: set[object]) -> None:
    contacts = (tree.fields or {}).get("contacts")
    for contact in (contacts.items if contacts is not None else None) or []:
        named = (contact.fields or {}).get("receivers")
        if named is not None and named.items is not None:
            named.items = [item for item in named.items if item.value not in gone]


def _names(data: Any, verbs: Collection[str]) -> Mapping[str, Collection[str]]:
    """What the document defines, read from data that may be wrong in any way."""

    def under(value: Any, *path: str) -> Any:
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def ids(value: Any) -> set[str]:
        items = value if isinstance(value, list) else []
        return {str(item["id"]) for item in items if isinstance(item, dict) and "id" in item}

    def keys(value: Any) -> set[str]:
        return {str(key) for key in value} if isinstance(value, dict) else set()

    signals: set[str] = set()
    layers = under(data, "monitoring", "layers")
    for layer in layers if isinstance(layers, list) else []:
        for signal in ids(under(layer, "signals")):
            name = f"{under(layer, 'id')}.{signal}"
            signals |= {name, f"{name}.warn", f"{name}.page"}
    return {
        "playbook": keys(under(data, "playbooks")),
        "contact": ids(under(data, "contacts")),
        "receiver": ids(under(data, "notifications", "receivers")),
        "rota": ids(under(data, "oncall", "rotas")),
        "store": keys(under(data, "backups", "stores")),
        "scenario": ids(under(data, "drills", "scenarios")),
        "stakeholder": ids(under(data, "incidents", "stakeholders")),
        "severity": ids(under(data, "incidents", "severities")),
        "signal": signals,
        "step verb": set(verbs),
    }


_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "tuple_type": "a list",
}
_EXAMPLES = {
    "bool_type": "write true or false",
    "tuple_type": "write a list: [a, b], or lines that begin with `- `",
}


def _explain(tree: Node, error: ErrorDetails) -> Problem:
    """One of pydantic's errors, as a problem with its place and what would be valid."""
    kind, loc, context = error["type"], error["loc"], error.get("ctx", {})
    node, subject = tree.at(loc), dotted(tree, loc)
    if loc and loc[-1] == "[key]":  # pydantic's name for: the key itself, not what it leads to
        parent = tree.at(loc[:-2])
        place = parent.key_place(str(loc[-2])) if str(loc[-2]) in parent.keys else node.place
        return Problem(
            place,
            f"`{loc[-2]}` does not have the right form",
            subject,
            _pattern_hint(str(context.get("pattern"))),
        )
    if model_at(loc) is Secret and not isinstance(error["input"], dict):
        message = "a secret is named here, never written: give the place of its value"
        return Problem(node.place, message, subject, "write {env: NAME} or {file: PATH}")
    if kind == "extra_forbidden":
        return _unknown_key(tree, loc)
    if kind == "missing":
        return _missing_key(tree, loc)
    if kind == "promql":
        place = place_in_scalar(node, int(context["offset"]))
        return Problem(place, error["msg"], subject)
    if kind == "unknown_reference":
        message = f"there is no {context['kind']} `{context['value']}`"
        return Problem(node.place, message, subject, nearest(str(context["value"]), context["valid"]))
    if kind == "time_zone":
        message = f"there is no time zone `{context['value']}`"
        return Problem(node.place, message, subject, nearest(str(context["value"]), context["valid"]))
    if kind == "literal_error":
        valid = [word.strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(", ")]
        message = f"`{_shown(error['input'])}` is not one of the words that are valid here"
        return Problem(node.place, message, subject, nearest(str(error["input"]), valid))
    if kind in _WANTED:
        found = _kind_of(error["input"])
        message = f"expected {_WANTED[kind]}, found {found}"
        return Problem(node.place, message, subject, _hint_for_type(kind, loc, error["input"]))
    if kind == "string_pattern_mismatch":
        message = f"`{_shown(error['input'])}` does not have the right form"
        return Problem(node.place, message, subject, _pattern_hint(str(context["pattern"])))
    if kind == "too_short":
        return Problem(node.place, "the list is empty; it needs at least one item", subject)
    return Problem(node.place, error["msg"], subject)


def _follows(error: ErrorDetails) -> bool:
    """Whether it only repeats another: a list counts as too short because its items are not valid."""
    return error["type"] == "too_short" and bool(error["input"])


def _unknown_key(tree: Node, loc: tuple[str | int, ...]) -> Problem:
    parent, key = tree.at(loc[:-1]), str(loc[-1])
    place = parent.key_place(key) if key in parent.keys else tree.at(loc).place
    model = model_at(loc[:-1])
    hint = nearest(key, keys_of(model)) if model is not None else ""
    return Problem(place, f"unknown key `{key}`", dotted(tree, loc[:-1]), hint)


def _missing_key(tree: Node, loc: tuple[str | int, ...]) -> Problem:
    model = model_at(loc[:-1])
    hint = f"required here: {', '.join(required_keys(model))}" if model is not None else ""
    return Problem(tree.at(loc[:-1]).place, f"the key `{loc[-1]}` is missing", dotted(tree, loc[:-1]), hint)


def _hint_for_type(kind: str, loc: tuple[str | int, ...], value: Any) -> str:
    if kind in ("model_type", "model_attributes_type"):
        model = model_at(loc)
        return f"keys here: {', '.join(keys_of(model))}" if model is not None else ""
    if kind == "string_type" and isinstance(value, (int, float, bool)):
        return f'put it in quotes: "{value}"'
    return _EXAMPLES.get(kind, "")


_PATTERNS = {
    r"^[a-z0-9]+(?:[-_][a-z0-9]+)*$": "an id is lower-case words joined by `-`, such as error-rate",
    r"^SEV-[1-9]$": "write SEV-1, SEV-2 or SEV-3",
    r"^(?:[01]\d|2[0-3]):[0-5]\d$": 'write a time of day like "09:00"',
    r"^/": "a path begins with /",
    r"^(s3|file)://": "write s3://bucket/prefix or file:///path",
    r"^[a-zA-Z_][a-zA-Z0-9_]*$": "a label name is letters, digits and _",
}


def _pattern_hint(pattern: str) -> str:
    if pattern.startswith("^https?"):
        return "write a URL like https://host:9090/path, without a user name or password in it"
    return _PATTERNS.get(pattern, f"it must match {pattern}")


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _kind_of(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text `{_shown(value)}`"
    return "a list" if isinstance(value, list) else "a mapping"


__all__ = ["DURATION_EXAMPLES", "LoadedRunbook", "default_text", "load", "load_bytes"]
