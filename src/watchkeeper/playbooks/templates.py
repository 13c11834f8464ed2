"""``{{ inputs.x }}`` in a step: names filled with values, and nothing else. No code is ever evaluated.

Always true: a value that is one template and nothing beside it keeps its type; an unknown name is an error
that lists the known ones; what a template is filled with is never read as a template or as the place of a
secret again (tests/playbooks/test_templates.py).

The names: ``inputs.NAME``, ``steps.ID.output.NAME`` (also ``steps.ID.NAME``), ``steps.ID.note``, ``run.id``,
``run.subject`` and ``run.playbook``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from watchkeeper.playbooks.models import PlaybookError, Run, StepState, Target

_TEMPLATE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_PATH = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
Lookup = Callable[[tuple[str, ...]], Any]


class TemplateError(PlaybookError):
    """A template that cannot be filled; the message names it and what there is."""


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """``{env: NAME}`` or ``{file: PATH}``, as the playbook has it; its value is read at the last moment."""

    kind: str
    name: str

    def document(self) -> dict[str, str]:
        """As it is written."""
        return {self.kind: self.name}


@dataclass(frozen=True, slots=True)
class Later:
    """What only the run itself will know: a dry run shows the template."""

    text: str


def fill(value: Any, lookup: Lookup) -> Any:
    """``value`` with every template in it filled, and secrets' places as :class:`SecretPlace`.

    Raises :class:`TemplateError`.
    """
    if isinstance(value, str):
        return _text(value, lookup)
    if isinstance(value, Mapping):
        place = _secret_place(value)
        if place is not None:
            return place
        return {key: fill(item, lookup) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [fill(item, lookup) for item in value]
    return value


def fill_text(text: str, lookup: Lookup) -> str:
    """A line for people, filled."""
    return _shown(_text(text, lookup))


def words(run: Run, target: Target) -> str:
    """The step as a line for people, filled as far as that is possible now."""
    text = run.spec(target).words
    try:
        return fill_text(text, of_run(run))
    except TemplateError:
        return text


def of_run(run: Run) -> Lookup:
    """The names of a run as it stands."""

    def lookup(path: tuple[str, ...]) -> Any:
        match path:
            case ("inputs", name):
                return _member(run.inputs, (name,), "the run's inputs")
            case ("steps", step, "note"):
                return _recorded(run, step).note
            case ("steps", step, "output", *names) if names:
                return _output(run, step, tuple(names))
            case ("steps", step, *names) if names:
                return _output(run, step, tuple(names))
        return _about_run(path, run.id, run.subject, run.name)

    return lookup


def of_plan(
    run_id: str, name: str, subject: str | None, inputs: Mapping[str, Any], earlier: tuple[str, ...]
) -> Lookup:
    """The names before anything ran: what a step will give is a :class:`Later`."""

    def lookup(path: tuple[str, ...]) -> Any:
        match path:
            case ("inputs", given):
                return _member(inputs, (given,), "the run's inputs")
            case ("steps", step, *names) if names and names != ["output"]:
                if step not in earlier:
                    raise TemplateError(_unknown(f"earlier step {step}", earlier))
                return Later("{{ " + ".".join(path) + " }}")
        return _about_run(path, run_id, subject, name)

    return lookup


def _about_run(path: tuple[str, ...], run_id: str, subject: str | None, name: str) -> Any:
    about = {"id": run_id, "subject": subject or "", "playbook": name}
    if len(path) == 2 and path[0] == "run" and path[1] in about:
        return about[path[1]]
    raise TemplateError(
        f"{{{{ {'.'.join(path)} }}}} names nothing; write inputs.NAME, steps.ID.output.NAME, steps.ID.note, "
        "run.id, run.subject or run.playbook"
    )


def _text(text: str, lookup: Lookup) -> Any:
    found = list(_TEMPLATE.finditer(text))
    if not found:
        return text
    if len(found) == 1 and found[0].span() == (0, len(text.strip())) and text == text.strip():
        return lookup(_path(found[0]))
    return _TEMPLATE.sub(lambda match: _shown(lookup(_path(match))), text)


def _path(match: re.Match[str]) -> tuple[str, ...]:
    inner = match[1].strip()
    if not _PATH.fullmatch(inner):
        raise TemplateError(
            f"{match[0]} is no name; between the braces stands one name, such as inputs.service"
        )
    return tuple(inner.split("."))


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Later):
        return value.text
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False)


def _recorded(run: Run, step: str) -> Any:
    if run.playbook.step(step) is None:
        raise TemplateError(_unknown(f"step {step}", [one.id for one in run.playbook.steps]))
    record = run.record(Target(step))
    if record.state not in (StepState.DONE, StepState.UNDONE, StepState.FAILED, StepState.SKIPPED):
        raise TemplateError(f"step {step} has not run yet, so nothing of it can be used")
    return record


def _output(run: Run, step: str, names: tuple[str, ...]) -> Any:
    record = _recorded(run, step)
    return _member(record.outputs, names, f"the outputs of step {step} ({record.state.value})")


def _member(values: Any, names: tuple[str, ...], what: str) -> Any:
    found = values
    for name in names:
        if isinstance(found, Mapping) and name in found:
            found = found[name]
        elif isinstance(found, (list, tuple)) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            known = list(found) if isinstance(found, Mapping) else []
            raise TemplateError(f"{what} have no {'.'.join(names)}; {_known(known)}")
    return found


def _unknown(what: str, known: Any) -> str:
    return f"there is no {what}; {_known(known)}"


def _known(names: Any) -> str:
    listed = [str(name) for name in names]
    return f"there is {', '.join(listed[:20])}" if listed else "there is none"


def _secret_place(value: Mapping[str, Any]) -> SecretPlace | None:
    if len(value) != 1:
        return None
    ((kind, name),) = value.items()
    if kind not in ("env", "file") or not isinstance(name, str) or not name:
        return None
    if "{{" in name:
        raise TemplateError(
            f"the place of a secret, {{{kind}: {name}}}, must stand in the playbook itself: "
            "an input that could choose it could read any secret"
        )
    if kind == "env" and not _VARIABLE.fullmatch(name):
        return None
    return SecretPlace(kind, name)
