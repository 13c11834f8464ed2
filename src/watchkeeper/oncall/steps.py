"""Whom each step of an escalation means, and how they are reached. Pure.

Always true here: of one step nobody is reached twice in the same way; where a step asks for whoever is on
call and nobody is, it means everybody of that rota (tests/oncall/test_escalation_steps.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from watchkeeper.oncall.rota import REACH, Override, on_call, shifts
from watchkeeper.runbook.models.people import Rota
from watchkeeper.runbook.models.runbook import Runbook
from watchkeeper.runbook.ways import ways

ON_CALL, NEXT, EVERYBODY, ROTA = "oncall", "next", "everybody", "rota:"
ACKNOWLEDGE = timedelta(minutes=5)
"""How long a step waits where neither the rota nor ``incidents.deadlines`` says it."""

Overrides = Callable[[str], Sequence[Override]]
"""The stored overrides of a rota, oldest first."""


@dataclass(frozen=True, slots=True)
class Step:
    """Whom to tell, and how long to wait for an answer."""

    notify: tuple[str, ...]
    wait: timedelta


@dataclass(frozen=True, slots=True)
class Recipient:
    """One person in one way: through ``receiver``, to ``to`` instead of the receiver's own address."""

    contact: str
    receiver: str
    to: str | None = None


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom a step means at a moment. ``unreachable`` are those of ``contacts`` that no way leads to;
    ``unattended`` the rotas that it asked for and in which nobody is on call."""

    contacts: tuple[str, ...]
    recipients: tuple[Recipient, ...]
    unreachable: tuple[str, ...] = ()
    unattended: tuple[str, ...] = ()


def steps(rota: Rota, acknowledge: timedelta | None) -> tuple[Step, ...]:
    """The escalation of ``rota`` as written; else whoever is on call, then the next, then everybody."""
    if rota.escalation:
        return tuple(Step(tuple(one.notify), one.wait) for one in rota.escalation)
    wait = ACKNOWLEDGE if acknowledge is None else acknowledge
    return tuple(Step((whom,), wait) for whom in (ON_CALL, NEXT, EVERYBODY))


def audience(step: Step, runbook: Runbook, rota: Rota, overrides: Overrides, now: datetime) -> Audience:
    """Whom ``step`` of ``rota`` means at ``now``, and every way to reach them."""
    unattended: list[str] = []
    named = [who for entry in step.notify for who in _meant(entry, runbook, rota, overrides, now, unattended)]
    contacts = tuple(dict.fromkeys(named))
    reached: dict[tuple[str, str | None], Recipient] = {}
    unreachable = []
    for who in contacts:
        contact = runbook.contact(who)
        found = () if contact is None else ways(runbook, contact)
        for way in found:
            reached.setdefault((way.receiver, way.to), Recipient(who, way.receiver, way.to))
        if not found:
            unreachable.append(who)
    return Audience(contacts, tuple(reached.values()), tuple(unreachable), tuple(dict.fromkeys(unattended)))


def _meant(
    entry: str, runbook: Runbook, rota: Rota, overrides: Overrides, now: datetime, unattended: list[str]
) -> Iterator[str]:
    if entry == EVERYBODY:
        yield from everybody(rota)
    elif entry == NEXT:
        found = next_person(rota, overrides(rota.id), now)
        yield from () if found is None else (found,)
    elif entry == ON_CALL or entry.startswith(ROTA):
        asked = rota if entry == ON_CALL else runbook.oncall.rota(entry.removeprefix(ROTA))
        if asked is None:
            return
        watch = on_call(asked, overrides(asked.id), now).contact
        if watch is not None:
            yield watch
        else:
            unattended.append(asked.id)
            yield from everybody(asked)
    else:
        yield entry


def everybody(rota: Rota) -> tuple[str, ...]:
    """All who take turns in ``rota``, each once, in the order of the file."""
    return tuple(dict.fromkeys(who for layer in rota.layers for who in layer.participants))


def next_person(rota: Rota, overrides: Sequence[Override], now: datetime) -> str | None:
    """Who takes over next and is somebody else than has the watch now; None where nobody ever does."""
    current = on_call(rota, overrides, now).contact
    ahead = timedelta(days=8)
    while True:
        for shift in shifts(rota, overrides, now, now + ahead):
            if shift.contact is not None and shift.contact != current:
                return shift.contact
        if ahead >= REACH:
            return None
        ahead = min(ahead * 4, REACH)
