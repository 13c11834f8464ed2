"""A dry run: which steps there are, with their inputs filled in. Pure; changes nothing and reads no secret.

Always true: what :func:`plan` accepts does not fail later for an input that is missing or a name that no
step can have (tests/playbooks/test_plan.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from watchkeeper.playbooks import secrets, templates
from watchkeeper.playbooks.decide import DEFAULT_TIMEOUT, TIMER
from watchkeeper.playbooks.models import PlaybookError
from watchkeeper.playbooks.templates import Later, TemplateError
from watchkeeper.runbook.models.playbooks import Input, Playbook, Step, StepKind

LONGEST_INPUT = 4000


class InputError(PlaybookError):
    """An input that is missing, unknown or of another kind."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One step as it would run. ``carried``: something here carries it out; else a person is asked."""

    id: str
    kind: StepKind
    verb: str | None
    words: str
    with_: Mapping[str, Any]
    expect: Mapping[str, Any] | None
    needs: tuple[str, ...]
    carried: bool
    limit: timedelta | None
    on_failure: str
    on_doubt: str | None
    undo: str | None
    asks: str | None


def inputs_of(name: str, playbook: Playbook, given: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` with defaults. Raises :class:`InputError`."""
    known = ", ".join(playbook.inputs) or "none"
    for key in given:
        if key not in playbook.inputs:
            raise InputError(f"playbook {name} has no input {key!r}; its inputs are {known}")
    missing = [
        f"{key} ({one.title})"
        for key, one in playbook.inputs.items()
        if one.required and one.default is None and given.get(key) in (None, "")
    ]
    if missing:
        raise InputError(f"playbook {name} needs {', '.join(missing)}")
    chosen: dict[str, Any] = {}
    for key, one in playbook.inputs.items():
        value = given.get(key)
        chosen[key] = one.default if value is None else _typed(key, one, value)
    return chosen


def plan(
    name: str,
    playbook: Playbook,
    inputs: Mapping[str, Any],
    run_id: str,
    subject: str | None,
    verbs: Collection[str],
) -> tuple[Planned, ...]:
    """The steps, filled as far as that is possible before any ran. ``verbs`` are those carried out here.

    Raises :class:`PlaybookError` naming the step whose template leads nowhere.
    """
    found: list[Planned] = []
    earlier: tuple[str, ...] = ()
    for step in playbook.steps:
        lookup = templates.of_plan(run_id, name, subject, inputs, earlier)
        try:
            found.append(_planned(step, lookup, verbs, {*earlier, step.id}, run_id, name, subject, inputs))
        except TemplateError as error:
            raise PlaybookError(f"step {step.id}: {error}") from None
        earlier += (step.id,)
    return tuple(found)


def _planned(
    step: Step,
    lookup: templates.Lookup,
    verbs: Collection[str],
    so_far: set[str],
    run_id: str,
    name: str,
    subject: str | None,
    inputs: Mapping[str, Any],
) -> Planned:
    filled = {key: _shown(templates.fill(item, lookup)) for key, item in step.with_.items()}
    expect = None if step.expect is None else _shown(templates.fill(step.expect, lookup))
    if step.undo is not None:
        afterwards = templates.of_plan(run_id, name, subject, inputs, tuple(so_far))
        templates.fill(step.undo.with_, afterwards)
    if step.idempotency:
        templates.fill_text(step.idempotency, lookup)
    manual = None if step.manual is None else templates.fill_text(step.manual, lookup)
    carried = step.verb is not None and (step.verb == TIMER or step.verb in verbs)
    return Planned(
        id=step.id,
        kind=step.kind,
        verb=step.verb,
        words=step.title or manual or step.words,
        with_=filled,
        expect=expect,
        needs=step.needs,
        carried=carried,
        limit=_limit(step, carried),
        on_failure=step.on_failure,
        on_doubt=step.doubt if carried else None,
        undo=step.undo.action if step.undo else None,
        asks=None if carried else ("two people" if step.four_eyes else step.role or "responder"),
    )


def _limit(step: Step, carried: bool) -> timedelta | None:
    return step.timeout or DEFAULT_TIMEOUT if carried else step.deadline


def _shown(value: Any) -> Any:
    if isinstance(value, Later):
        return value.text
    if isinstance(value, Mapping):
        return {key: _shown(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return secrets.places(value)


def _typed(key: str, declared: Input, value: Any) -> Any:
    """``value`` as the type of the declared default, where it came as text."""
    if not isinstance(value, (str, int, float, bool)):
        raise InputError(f"input {key} is a {type(value).__name__}; it takes text, a number, true or false")
    if isinstance(value, str) and len(value) > LONGEST_INPUT:
        raise InputError(f"input {key} is longer than {LONGEST_INPUT} characters")
    wanted = type(declared.default)
    if not isinstance(value, str) or wanted not in (bool, int, float):
        return value
    if wanted is bool:
        if value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise InputError(f"input {key} is {value!r}; it takes true or false")
    try:
        return wanted(value)
    except ValueError:
        raise InputError(f"input {key} is {value!r}; it takes a number such as {declared.default}") from None
