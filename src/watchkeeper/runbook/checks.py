"""Checks that need the whole document: ids stand once, sentences and waivers lead somewhere, inputs exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Any

from watchkeeper.runbook.clauses import clauses
from watchkeeper.runbook.errors import Problem, nearest
from watchkeeper.runbook.models.playbooks import Playbook
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.scalars import place_in_scalar
from watchkeeper.runbook.sentences import UnknownPathError, fill, walk
from watchkeeper.runbook.tree import Node

_TEMPLATE = re.compile(r"\{\{\s*(inputs|steps)\.([A-Za-z0-9_-]+)[^}]*\}\}")


def duplicate_ids(tree: Node) -> Iterator[Problem]:
    """Two items of one list with one ``id``; two scrape groups with one ``job_name``."""
    for loc, node in tree.walk():
        for key in ("id", "job_name"):
            seen: dict[str, int] = {}
            for index, item in enumerate(node.items or ()):
                named = (item.fields or {}).get(key)
                if named is None or not isinstance(named.value, str):
                    continue
                if named.value in seen:
                    first = seen[named.value] + 1
                    message = f"the {key} `{named.value}` is taken; the first is on line {first}"
                    yield Problem(
                        named.place, message, dotted(tree, (*loc, index, key)), "give it another name"
                    )
                else:
                    seen[named.value] = named.line


def whole_document(runbook: Runbook, tree: Node, today: date | None) -> Iterator[Problem]:
    """What only a valid model can tell. ``today`` decides which waivers are over; None skips that."""
    sound = True
    for problem in _sentences(runbook, tree):
        sound = False
        yield problem
    for name, playbook in runbook.playbooks.items():
        yield from _playbook(name, playbook, tree)
    yield from _escalations(runbook, tree)
    if sound:
        yield from _waivers(runbook, tree, today)


def _sentences(runbook: Runbook, tree: Node) -> Iterator[Problem]:
    for loc, template, scopes in walk(runbook):
        try:
            fill(template, scopes)
        except UnknownPathError as error:
            place = place_in_scalar(tree.at(loc), error.offset, len(error.path) + 2)
            message = f"the placeholder {{{error.path}}} leads nowhere"
            hint = "name a key beside this line, or an id below it, such as {error-rate.warn.over}"
            yield Problem(place, message, dotted(tree, loc), hint)


def _playbook(name: str, playbook: Playbook, tree: Node) -> Iterator[Problem]:
    at: tuple[str | int, ...] = ("playbooks", name)
    ids = [step.id for step in playbook.steps]
    for index, line in enumerate(playbook.outline):
        for number, step_id in enumerate(line.steps):
            if step_id not in ids:
                loc = (*at, "outline", index, "steps", number)
                yield Problem(
                    tree.at(loc).place,
                    f"there is no step `{step_id}`",
                    dotted(tree, loc),
                    nearest(step_id, ids),
                )
    for index, step in enumerate(playbook.steps):
        loc = (*at, "steps", index)
        for number, needed in enumerate(step.needs):
            if needed not in ids[:index]:
                here = (*loc, "needs", number)
                hint = nearest(needed, ids[:index])
                yield Problem(
                    tree.at(here).place, f"there is no earlier step `{needed}`", dotted(tree, here), hint
                )
        for below, text in _strings({"with": step.with_, "expect": step.expect, "manual": step.manual}):
            for match in _TEMPLATE.finditer(text):
                valid = list(playbook.inputs) if match[1] == "inputs" else ids[:index]
                if match[2] not in valid:
                    kind = "input" if match[1] == "inputs" else "earlier step"
                    node = tree.at((*loc, *below))
                    place = place_in_scalar(node, match.start(2), len(match[2]))
                    yield Problem(
                        place,
                        f"there is no {kind} `{match[2]}`",
                        dotted(tree, (*loc, *below)),
                        nearest(match[2], valid),
                    )


def _escalations(runbook: Runbook, tree: Node) -> Iterator[Problem]:
    people = ["oncall", "next", "everybody", *(contact.id for contact in runbook.contacts)]
    valid = [*people, *(f"rota:{rota.id}" for rota in runbook.oncall.rotas)]
    for index, rota in enumerate(runbook.oncall.rotas):
        for number, step in enumerate(rota.escalation):
            for place, who in enumerate(step.notify):
                if who not in valid:
                    loc = ("oncall", "rotas", index, "escalation", number, "notify", place)
                    message = f"there is nobody called `{who}`"
                    yield Problem(tree.at(loc).place, message, dotted(tree, loc), nearest(who, valid))


def _strings(value: Any, loc: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield loc, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(item, (*loc, str(key)))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _strings(item, (*loc, index))


def _waivers(runbook: Runbook, tree: Node, today: date | None) -> Iterator[Problem]:
    known = {clause.id for clause in clauses(runbook)}
    seen: dict[str, int] = {}
    for index, waiver in enumerate(runbook.waivers):
        loc: tuple[str | int, ...] = ("waivers", index)
        place = tree.at((*loc, "clause")).place
        subject = f"waivers.{waiver.clause}"
        if waiver.clause not in known:
            message = f"there is no clause `{waiver.clause}`"
            yield Problem(place, message, subject, nearest(waiver.clause, known))
        elif waiver.clause in seen:
            message = (
                f"the clause `{waiver.clause}` is waived twice; the first is on line {seen[waiver.clause]}"
            )
            yield Problem(place, message, subject, "keep one waiver for it")
        seen.setdefault(waiver.clause, place.line)
        if today is not None and not waiver.active(today):
            message = f"this waiver ended on {waiver.until.isoformat()}"
            hint = "the clause holds again: remove the waiver, or give it a later `until` on purpose"
            yield Problem(tree.at((*loc, "until")).place, message, subject, hint)


def dotted(tree: Node, loc: tuple[str | int, ...]) -> str:
    """``loc`` for people: positions become ids where items have one, and go where no list was written."""
    words: list[str] = []
    node: Node | None = tree
    for step in loc:
        if isinstance(step, int) and node is not None and node.items is None:
            continue  # one item, written without the dash
        if isinstance(step, str) and node is not None and node.fields is None:
            break  # pydantic's own words: the member of a union
        if step == "[key]":
            break
        node = _descend(node, step)
        name = (node.fields or {}).get("id") if node is not None and isinstance(step, int) else None
        words.append(
            str(name.value) if name is not None else f"{step + 1}" if isinstance(step, int) else step
        )
    return ".".join(words)


def _descend(node: Node | None, step: str | int) -> Node | None:
    if node is None:
        return None
    if isinstance(step, int):
        return node.items[step] if node.items is not None and step < len(node.items) else None
    return (node.fields or {}).get(step)
